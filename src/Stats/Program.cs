using Archipelago.Hosting;
using Archipelago.Stats;

return await HostRunner.RunAsync("STATS", StatsHost.Build);
