using System.CommandLine;
using Archipelago.Cli;
using Archipelago.Hosting;

var root = new RootCommand("Archipelago: groups moving people into islands, and hands each the room of its island.")
{
    UpCommand.Create(),
    BotsCommand.Create(),
    ReplayCommand.Create(), RecordCommand.Create(),
    TopCommand.Create(),
    LoadCommand.Create(),
};
ParseResult parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors)
        await Console.Error.WriteLineAsync(error.Message);
    await Console.Error.WriteLineAsync("Ask for help with --help.");
    return HostRunner.ConfigurationFault;
}
try
{
    using EndOfProcess end = HostRunner.WatchSignals();
    return await parsed.InvokeAsync(new InvocationConfiguration
    {
        EnableDefaultExceptionHandler = false,
        // Signals are watched here, from the first moment on; the library's own handling would cut a stop short and change its exit code.
        ProcessTerminationTimeout = null,
    }, end.Token);
}
catch (ConfigurationException e)
{
    await Console.Error.WriteLineAsync(e.Message);
    return HostRunner.ConfigurationFault;
}
