using System.CommandLine;
using Archipelago.Benchmarks.Probes;
using BenchmarkDotNet.Running;

// "probe …" runs a whole world and prints one line of JSON; everything else goes to BenchmarkDotNet.
if (args is ["probe", ..])
    return new RootCommand("Benchmarks of Archipelago.") { ProbeCommand.Create() }.Parse(args).Invoke();
BenchmarkSwitcher.FromAssembly(typeof(ProbeCommand).Assembly).Run(args);
return 0;
