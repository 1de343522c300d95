using System.CommandLine;
using Archipelago.Benchmarks;
using Archipelago.Benchmarks.Nats;
using Archipelago.Benchmarks.Probes;
using BenchmarkDotNet.Running;

// "probe …" runs a whole world and prints one line of JSON, "bench …" files results; everything else goes to BenchmarkDotNet.
if (args is ["probe" or "bench" or "nats-peer", ..])
    return Run(new RootCommand("Benchmarks of Archipelago.") { ProbeCommand.Create(), BenchCommand.Create(), Peers.Create() }.Parse(args));
BenchmarkSwitcher.FromAssembly(typeof(ProbeCommand).Assembly).Run(args);
return 0;

// Bad input is told in a line, with code 2, as the realm's own tool does.
static int Run(ParseResult parsed)
{
    if (parsed.Errors.Count > 0)
    {
        foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors)
            Console.Error.WriteLine(error.Message);
        return 2;
    }
    try
    {
        return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
    }
    catch (Exception e) when (e is ArgumentException or IOException or InvalidDataException or UnauthorizedAccessException)
    {
        Console.Error.WriteLine(e.Message);
        return 2;
    }
}
