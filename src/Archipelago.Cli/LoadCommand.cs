using System.CommandLine;
using System.ComponentModel;
using Archipelago.Cli.Load;
using Archipelago.Hosting;

namespace Archipelago.Cli;

/// <summary><c>load</c>: long runs that put the realm under load and faults, and say what held.</summary>
internal static class LoadCommand
{
    public static Command Create() => new("load", "Long runs under load and faults.") { CreateProcesses() };

    private static Command CreateProcesses()
    {
        var people = new Option<int>("--people") { Description = "Simulated people on each of two Connectors.", DefaultValueFactory = _ => 100 };
        people.Require(n => n is >= 1 and <= 5_000, "--people must be between 1 and 5000.");
        var command = new Command("processes", "Every host a process of its own on a nats-server (which must be installed); kills one after the other and measures what people notice.") { people };
        command.SetAction(async parsed =>
        {
            try
            {
                await using var drill = new ProcessDrill(parsed.GetValue(people), Console.WriteLine);
                return (await drill.RunAsync()).All(step => step.Held) ? 0 : 1;
            }
            catch (Win32Exception e)
            {
                throw new ConfigurationException([$"A program that the drill needs cannot be started: {e.Message} It needs nats-server and dotnet on the PATH."]);
            }
        });
        return command;
    }
}
