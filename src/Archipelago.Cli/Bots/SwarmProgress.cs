using System.Globalization;
using Spectre.Console;

namespace Archipelago.Cli.Bots;

/// <summary>Shows how the bots are doing, on standard error: a live line on a terminal, a plain line every few seconds elsewhere.</summary>
internal sealed class SwarmProgress
{
    private static readonly TimeSpan PlainPeriod = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LivePeriod = TimeSpan.FromMilliseconds(250);

    public async Task ShowAsync(Bot[] bots, CancellationToken cancellationToken)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        if (Console.IsErrorRedirected || !console.Profile.Capabilities.Interactive)
        {
            await RepeatAsync(PlainPeriod, () => Console.Error.WriteLine(Line(bots)), cancellationToken);
            return;
        }
        await console.Status().StartAsync(Line(bots), status => RepeatAsync(LivePeriod, () => status.Status(Markup.Escape(Line(bots))), cancellationToken));
    }

    private static async Task RepeatAsync(TimeSpan period, Action show, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(period);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken))
                show();
        }
        catch (OperationCanceledException)
        {
            show();
        }
    }

    private static string Line(Bot[] bots)
    {
        SwarmSummary now = Swarm.Summarize(bots);
        int islands = bots.Select(b => b.Island).Where(i => i is not null).Distinct().Count();
        return string.Create(CultureInfo.InvariantCulture, $"{now.Welcomed} of {now.Count} in, {now.Assigned} on {islands} islands, {now.Heartbeats} heartbeats, {now.IslandChanges} island changes, {now.Errors} errors");
    }
}
