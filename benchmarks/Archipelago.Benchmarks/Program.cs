using System.CommandLine;
using Archipelago.Benchmarks;
using Archipelago.Benchmarks.Nats;
using Archipelago.Benchmarks.Probes;
using BenchmarkDotNet.Running;

// "probe …" runs a whole world and prints one line of JSON, "bench …" files results; everything else goes to BenchmarkDotNet.
if (args is ["probe" or "bench" or "nats-peer", ..])
    return new RootCommand("Benchmarks of Archipelago.") { ProbeCommand.Create(), BenchCommand.Create(), Peers.Create() }.Parse(args).Invoke();
BenchmarkSwitcher.FromAssembly(typeof(ProbeCommand).Assembly).Run(args);
return 0;
