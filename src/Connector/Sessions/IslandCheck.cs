namespace Archipelago.Connector;

/// <summary>Lets every session compare the island that it was told with the one that it is in, now and then, so that a message that the bus lost is not lost for good.</summary>
internal sealed class IslandCheck(SessionRegistry registry, ConnectorOptions options, TimeProvider clock) : BackgroundService
{
    /// <summary>Rounds in a period: the first question of a session comes after a tenth of it.</summary>
    private const int Rounds = 30;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (options.IslandCheckPeriod == TimeSpan.Zero)
            return;
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(Math.Max(1, options.IslandCheckPeriod.TotalMilliseconds / Rounds)), clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            foreach (Session session in registry.All)
                await session.CompareIslandAsync(stoppingToken);
    }
}
