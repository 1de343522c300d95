using Archipelago.Hosting;

namespace Archipelago.Connector;

/// <summary>Asks the gatekeeper about everybody who is in, a period after the other, and ends the sessions of the banned.</summary>
internal sealed class BanSweep(SessionRegistry registry, Gatekeeper gatekeeper, ConnectorOptions options, TimeProvider clock) : BackgroundService
{
    private const int QuestionsAtOnce = 20;

    public Task SweepAsync(CancellationToken cancellationToken) =>
        Parallel.ForEachAsync(
            registry.All,
            new ParallelOptions { MaxDegreeOfParallelism = QuestionsAtOnce, CancellationToken = cancellationToken },
            async (session, token) =>
            {
                if (session.IsCompleted && await gatekeeper.AskAsync(session.Address, token) == BanStatus.Banned)
                    await session.KickAsync(CloseReason.NotAllowed);
            });

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!gatekeeper.IsEnabled)
            return;
        using var timer = new PeriodicTimer(options.BanSweepPeriod, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            await SweepAsync(stoppingToken);
    }
}
