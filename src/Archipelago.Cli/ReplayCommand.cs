using System.CommandLine;
using Archipelago.Cli.Replay;
using Archipelago.Hosting;

namespace Archipelago.Cli;

/// <summary><c>replay</c>: runs a recorded day through the engine.</summary>
internal static class ReplayCommand
{
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "Lines of JSON; - reads standard input." };
        var command = new Command("replay", "Runs recorded reports through the engine and prints islands and changes of each flush, a line of JSON each.") { file };
        command.SetAction((parsed, token) => RunAsync(parsed.GetValue(file)!, token));
        return command;
    }

    private static async Task<int> RunAsync(string file, CancellationToken cancellationToken)
    {
        await using Stream output = new BufferedStream(Console.OpenStandardOutput(), 1 << 16);
        try
        {
            await using Stream input = file == "-" ? Console.OpenStandardInput() : new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, useAsync: false);
            await ReplayReader.RunAsync(input, new ReplayWorld(output), cancellationToken);
            return 0;
        }
        catch (OperationCanceledException)
        {
            return 130;
        }
        catch (BadLineException e)
        {
            await output.FlushAsync();
            await Console.Error.WriteLineAsync($"Line {e.Line}: {e.Message}");
            return HostRunner.ConfigurationFault;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return HostRunner.ConfigurationFault;
        }
    }
}
