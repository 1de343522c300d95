using Archipelago.Hosting;
using Archipelago.Service;

return await HostRunner.RunAsync("SERVICE", ServiceHost.Build);
