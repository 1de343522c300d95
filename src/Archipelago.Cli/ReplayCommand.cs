using System.CommandLine;
using Archipelago.Cli.Replay;
using Archipelago.Hosting;

namespace Archipelago.Cli;

/// <summary><c>replay</c>: runs a recorded day through the engine.</summary>
internal static class ReplayCommand
{
    private sealed record Request(string File, string? Compare, bool Summary, TimeSpan Period);

    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "Lines of JSON; - reads standard input." };
        var compare = new Option<string?>("--compare") { Description = "Other options, such as join=48,leave=64,cap=150,crowds=coherent: tells what they would have done to that day, on standard error." };
        var summary = new Option<bool>("--summary") { Description = "Prints what people would have noticed, and nothing else." };
        var period = new Option<double>("--period") { Description = "Seconds between flushes that do not say when they were.", DefaultValueFactory = _ => 2 };
        period.Require(s => s is > 0 and <= 86_400, "--period must be above 0 and at most a day, in seconds.");
        var command = new Command("replay", "Runs recorded reports through the engine and prints islands and changes of each flush, a line of JSON each.") { file, compare, summary, period };
        command.SetAction((parsed, token) => RunAsync(
            new Request(parsed.GetValue(file)!, parsed.GetValue(compare), parsed.GetValue(summary), TimeSpan.FromSeconds(parsed.GetValue(period))), token));
        return command;
    }

    private static async Task<int> RunAsync(Request request, CancellationToken cancellationToken)
    {
        (ReplayOverrides? overrides, string? fault) = request.Compare is { } text ? ReplayComparison.Parse(text) : default;
        if (fault is not null)
            return await FailAsync(fault);
        await using Stream output = new BufferedStream(Console.OpenStandardOutput(), 1 << 16);
        try
        {
            bool measures = request.Summary || overrides is not null;
            var columns = new List<(string Name, ReplayMeasures Measures)>();
            var worlds = new List<ReplayWorld>();
            ReplayMeasures? Column(string name)
            {
                if (measures)
                    columns.Add((name, new ReplayMeasures(request.Period)));
                return measures ? columns[^1].Measures : null;
            }
            worlds.Add(new ReplayWorld(request.Summary ? null : output, Column("as recorded")));
            if (overrides is not null)
                worlds.Add(new ReplayWorld(null, Column(request.Compare!), overrides));
            await using (Stream input = request.File == "-" ? Console.OpenStandardInput() : new FileStream(request.File, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, useAsync: false))
                await ReplayReader.RunAsync(input, worlds, cancellationToken);
            await output.FlushAsync(cancellationToken);
            if (measures)
                await (request.Summary ? Console.Out : Console.Error).WriteAsync(ReplayComparison.Table(columns));
            return 0;
        }
        catch (OperationCanceledException)
        {
            return 130;
        }
        catch (BadLineException e)
        {
            await output.FlushAsync();
            return await FailAsync($"Line {e.Line}: {e.Message}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return await FailAsync(e.Message);
        }
    }

    private static async Task<int> FailAsync(string message)
    {
        await Console.Error.WriteLineAsync(message);
        return HostRunner.ConfigurationFault;
    }
}
