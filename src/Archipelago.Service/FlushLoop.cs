using Archipelago.Core;
using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Service;

/// <summary>The Service's beat: subscribe, then at each period expire the silent, flush, publish.</summary>
internal sealed partial class FlushLoop(
    IslandEngine engine, Intake intake, IslandPublisher publisher, IMessageBus bus, ServiceOptions options, TimeProvider clock, ILogger<FlushLoop> log) : BackgroundService
{
    private readonly List<IDisposable> subscriptions = [];
    private readonly List<IslandChange> untold = [];

    /// <summary>Islands after the last flush.</summary>
    public int IslandCount { get; private set; }

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        subscriptions.Add(bus.Subscribe(Subjects.AllHeartbeats, intake.OnHeartbeat));
        subscriptions.Add(bus.Subscribe(Subjects.AllDisconnects, intake.OnDeparture));
        subscriptions.Add(bus.Subscribe(Subjects.AllConnects, intake.OnDeparture));
        return base.StartAsync(cancellationToken);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        subscriptions.ForEach(s => s.Dispose());
        await base.StopAsync(cancellationToken);
    }

    /// <summary>One beat.</summary>
    public async Task CycleAsync(CancellationToken cancellationToken)
    {
        intake.RemoveSilent(options.HeartbeatLifetime);
        intake.BeginFlush();
        IslandChange[] changes = Flush();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        // What the bus refuses to take now is not lost: the engine counts it as told, so it is told again by us.
        untold.AddRange(changes);
        await publisher.PublishChangesAsync(untold, snapshot, cancellationToken);
        await publisher.PublishIslandsAsync(snapshot, cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.FlushPeriod, clock);
        do
        {
            try
            {
                await CycleAsync(stoppingToken);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                // The rest of this cycle is skipped; the next one goes on from a whole world.
                LogFailure(log, e);
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    private IslandChange[] Flush()
    {
        FlushResult result = engine.Flush();
        IslandCount = result.IslandCount;
        IslandChange[] changes = result.Changes.ToArray();
        engine.PublishSnapshot();
        return changes;
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "A flush cycle failed")]
    private static partial void LogFailure(ILogger log, Exception e);
}
