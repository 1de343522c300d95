using System.Diagnostics;
using Archipelago.Core;
using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Service;

/// <summary>The Service's beats: at each period the silent leave, everybody is regrouped and everything is told; in between, often, newcomers are placed.</summary>
internal sealed partial class FlushLoop(
    IslandEngine engine, Intake intake, SilenceWatch silence, PeerDirectory peers, IslandNames names, IslandPublisher publisher, FlushStatistics statistics, ActivitySource activities, IMessageBus bus, ServiceOptions options, TimeProvider clock,
    ILogger<FlushLoop> log) : BackgroundService
{
    private readonly List<IDisposable> subscriptions = [];
    private readonly List<IslandChange> untold = [];
    private readonly List<Peer> departed = [];
    private long lastCycle;

    /// <summary>Islands after the last flush.</summary>
    public int IslandCount { get; private set; }

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        subscriptions.Add(bus.Subscribe(Subjects.AllHeartbeats, intake.OnHeartbeat));
        subscriptions.Add(bus.Subscribe(Subjects.AllDisconnects, intake.OnDisconnect));
        subscriptions.Add(bus.Subscribe(Subjects.AllConnects, intake.OnConnect));
        subscriptions.Add(bus.Subscribe(Subjects.AllAsks, intake.OnAsk));
        return base.StartAsync(cancellationToken);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        subscriptions.ForEach(s => s.Dispose());
        await base.StopAsync(cancellationToken);
        if (options.StateFile is { } path)
            Save(path);
    }

    private void Save(string path)
    {
        try
        {
            var saved = new System.Buffers.ArrayBufferWriter<byte>();
            engine.Save(saved);
            new SavedState(names.Prefix, saved.WrittenSpan.ToArray(), peers.ToList()).Write(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            LogNotSaved(log, path, e);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The state could not be saved to {Path}; the next start places everybody anew.")]
    private static partial void LogNotSaved(ILogger log, string path, Exception e);

    /// <summary>One beat: the silent leave, everybody is regrouped, and everything is told.</summary>
    public async Task CycleAsync(CancellationToken cancellationToken)
    {
        using Activity? activity = activities.StartActivity("flush");
        lastCycle = clock.GetTimestamp();
        statistics.Probe();
        departed.Clear();
        statistics.Begin();
        silence.RemoveSilent(options.HeartbeatLifetime, departed);
        statistics.CountLeft(departed.Count);
        statistics.End(Stage.Silence);
        statistics.Begin();
        Flush(newcomersOnly: false);
        engine.PublishSnapshot();
        statistics.End(Stage.Flush);
        statistics.Begin();
        // What the bus refuses to take now is not lost: the engine counts it as told, so it is told again by us.
        await publisher.PublishChangesAsync(untold, cancellationToken);
        await publisher.PublishDeparturesAsync(departed, cancellationToken);
        statistics.End(Stage.Changes);
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        statistics.Begin();
        await publisher.PublishIslandsAsync(snapshot, cancellationToken);
        statistics.End(Stage.Islands);
        statistics.Count(snapshot);
        await publisher.PublishReportAsync(statistics.Report(snapshot), cancellationToken);
        activity?.SetTag("flush", snapshot.Flush).SetTag("peers", snapshot.Members.Length).SetTag("islands", snapshot.Islands.Length);
    }

    /// <summary>Between beats: newcomers get an island, and nobody else moves.</summary>
    public Task PlaceNewcomersAsync(CancellationToken cancellationToken)
    {
        bool hasNewcomers = engine.HasNewcomers;
        statistics.Begin();
        Flush(newcomersOnly: true);
        if (hasNewcomers)
            statistics.EndNewcomerFlush();
        return publisher.PublishChangesAsync(untold, cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        bool prompt = options.NewcomerPeriod > TimeSpan.Zero && options.NewcomerPeriod < options.FlushPeriod;
        using var timer = new PeriodicTimer(prompt ? options.NewcomerPeriod : options.FlushPeriod, clock);
        await GuardedAsync(CycleAsync, stoppingToken);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            if (!prompt || clock.GetElapsedTime(lastCycle) >= options.FlushPeriod)
                await GuardedAsync(CycleAsync, stoppingToken);
            else if (engine.HasNewcomers || untold.Count > 0 || intake.HasAsks)
                await GuardedAsync(PlaceNewcomersAsync, stoppingToken);
        }
    }

    private async Task GuardedAsync(Func<CancellationToken, Task> act, CancellationToken cancellationToken)
    {
        try
        {
            await act(cancellationToken);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // The rest is skipped; the next time goes on from a whole world.
            LogFailure(log, e);
        }
    }

    private void Flush(bool newcomersOnly)
    {
        intake.BeginFlush();
        FlushResult result = newcomersOnly ? engine.FlushNewcomers() : engine.Flush();
        IslandCount = result.IslandCount;
        statistics.Count(result, newcomersOnly);
        untold.AddRange(result.Changes);
        intake.Answer(untold);
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "A flush cycle failed")]
    private static partial void LogFailure(ILogger log, Exception e);
}
