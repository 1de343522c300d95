using Archipelago.Connector;
using Archipelago.Hosting;

return await HostRunner.RunAsync("CONNECTOR", ConnectorHost.Build);
