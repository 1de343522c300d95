using Archipelago.Hosting;

namespace Archipelago.Connector;

/// <summary>Asks the gatekeeper about everybody who is in, a period after the other, and ends the sessions of the banned.</summary>
internal sealed class BanSweep(SessionRegistry registry, Gatekeeper gatekeeper, ConnectorOptions options, SessionMetrics metrics, TimeProvider clock) : BackgroundService
{
    private const int QuestionsAtOnce = 20;

    /// <summary>What an answer may take for everybody to be asked within a period; the gatekeeper itself is asked by a bounded number.</summary>
    private static readonly TimeSpan AnswerTime = TimeSpan.FromMilliseconds(200);

    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        long start = clock.GetTimestamp();
        int atOnce = (int)Math.Clamp(registry.Count * (AnswerTime / options.BanSweepPeriod), QuestionsAtOnce, Gatekeeper.QuestionsAtOnce);
        await Parallel.ForEachAsync(
            registry.All,
            new ParallelOptions { MaxDegreeOfParallelism = atOnce, CancellationToken = cancellationToken },
            async (session, token) =>
            {
                if (session.IsCompleted && await gatekeeper.AskAsync(session.Address, token) == BanStatus.Banned)
                    await session.KickAsync(CloseReason.NotAllowed);
            });
        metrics.SweptForBans(clock.GetElapsedTime(start));
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!gatekeeper.IsEnabled)
            return;
        using var timer = new PeriodicTimer(options.BanSweepPeriod, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            await SweepAsync(stoppingToken);
    }
}
