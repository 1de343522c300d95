using System.Diagnostics;
using Archipelago.Core;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Archipelago.Service.Replication;

namespace Archipelago.Service;

/// <summary>
/// The Service's beats: at each period the silent leave, everybody is regrouped and everything is told; in between, often, newcomers are placed. While another Service leads it follows
/// that one instead, so as to take its place.
/// </summary>
internal sealed partial class FlushLoop(
    Worlds worlds, Intake intake, Arrivals arrivals, IslandPublisher publisher, Leadership leadership, Replicator replicator, Discovery discovery, FlushStatistics statistics, ActivitySource activities,
    IMessageBus bus, ServiceOptions options, TimeProvider clock, ILogger<FlushLoop> log) : BackgroundService
{
    /// <summary>
    /// Numbers of islands for each term: a leader's begin at its term times this, or where those end that it knows of. So no two leaders ever give the same one, unless one makes more islands than this
    /// in a term of which the next knows nothing.
    /// </summary>
    private const long IdsOfTerm = 36L * 36 * 36 * 36 * 36;

    /// <summary>How often a Service that may have to take over looks whether it has to.</summary>
    private static readonly TimeSpan Watch = TimeSpan.FromMilliseconds(25);

    /// <summary>How long a leader that leaves waits for its successor to be level, and then to lead.</summary>
    private static readonly TimeSpan HandOverLimit = TimeSpan.FromSeconds(1);

    private readonly List<IDisposable> subscriptions = [];
    private readonly List<IslandChange> untold = [];
    private readonly List<Peer> departed = [];
    private long nextCycle;
    private long lastPlaced;
    private long toldUpTo;

    /// <summary>The term in which it led last; 0 for none, or alone.</summary>
    private long ledTerm;
    private bool leads;
    private TimeSpan tick;

    /// <summary>Islands after the last flush.</summary>
    public int IslandCount { get; private set; }

    /// <summary>Times that it has come to lead with the islands of the leader before, and with none.</summary>
    public (int Warm, int Cold) Takeovers { get; private set; }

    /// <summary>What a beat is about to do; for tests, which end a Service there.</summary>
    internal enum Phase
    {
        Begun,
        Flushed,
        Replicated,
        Telling,
        Told,
        Done,
    }

    /// <summary>Called in each phase of a beat; for tests.</summary>
    internal Func<Phase, Task>? PhaseHook { get; set; }

    private Task EnterAsync(Phase phase) => PhaseHook?.Invoke(phase) ?? Task.CompletedTask;

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        subscriptions.Add(bus.Subscribe(Subjects.AllHeartbeats, intake.OnHeartbeat));
        subscriptions.Add(bus.Subscribe(Subjects.AllDisconnects, intake.OnDisconnect));
        subscriptions.Add(bus.Subscribe(Subjects.AllConnects, intake.OnConnect));
        subscriptions.Add(bus.Subscribe(Subjects.AllAsks, intake.OnAsk));
        leads = leadership.Role == Role.Alone;
        if (!leads)
            JoinOthers();
        return base.StartAsync(cancellationToken);
    }

    private void JoinOthers()
    {
        worlds.Follower = NewFollower();
        subscriptions.Add(bus.Subscribe(Subjects.Leader, OnLeader));
        subscriptions.Add(bus.Subscribe(Subjects.Standby, replicator.OnStandby));
        subscriptions.Add(bus.Subscribe(Subjects.ReplicaJoin, replicator.OnJoin));
        subscriptions.Add(bus.Subscribe(Subjects.Replica, message =>
        {
            leadership.Hear(TermFence.Read(message.Headers));
            worlds.Follower?.OnReplica(message);
        }));
        subscriptions.Add(bus.Subscribe(Subjects.ReplicaOf(leadership.Node), message =>
        {
            leadership.Hear(TermFence.Read(message.Headers));
            worlds.Follower?.OnSnapshot(message);
        }));
    }

    private Follower NewFollower()
    {
        var made = new Follower(bus, worlds, arrivals, leadership.Node, options.HeartbeatLifetime, clock, log);
        made.OnLeader(leadership.LatestTerm);
        return made;
    }

    private void OnLeader(BusMessage message)
    {
        if (!ClientFrames.TryParse(LeaderStatus.Parser, message.Payload, out LeaderStatus? status) || status.Term != TermFence.Read(message.Headers))
            return;
        if (leadership.Hear(status.Term))
            worlds.Follower?.OnLeader(status.Term);
        if (status.Successor == leadership.Node)
            leadership.Nudge();
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        // While it hands over it goes on listening: what comes is heard by both.
        bool handedOver = await LeaveAsync(cancellationToken);
        subscriptions.ForEach(s => s.Dispose());
        if (leads && !handedOver && options.StateFile is { } path)
            Save(path);
    }

    /// <summary>Lets another lead, where there is one; true when it does.</summary>
    private async Task<bool> LeaveAsync(CancellationToken cancellationToken)
    {
        try
        {
            if (worlds.Follower is { } follower)
                await follower.LeaveAsync(cancellationToken);
            return leads && leadership.Role == Role.Leader && await HandOverAsync(cancellationToken);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            LogFailure(log, e);
            return false;
        }
    }

    /// <summary>Tells what there is to tell, waits until somebody knows it all, and lets that one lead.</summary>
    private async Task<bool> HandOverAsync(CancellationToken cancellationToken)
    {
        await PlaceNewcomersAsync(cancellationToken);
        string? successor = null;
        await UntilAsync(
            async () =>
            {
                await replicator.AnswerJoinsAsync(cancellationToken);
                return (successor = replicator.Successor) is not null || !replicator.HasCandidates;
            },
            cancellationToken);
        bool handed = await leadership.HandOverAsync(successor ?? "", cancellationToken);
        if (successor is null)
            return false;
        LeaderStatus farewell = replicator.Describe();
        farewell.Successor = successor;
        await bus.PublishAsync(Subjects.Leader, Google.Protobuf.MessageExtensions.ToByteArray(farewell), WhenDisconnected.Drop, cancellationToken, leadership.Now.Headers);
        if (handed)
            await UntilAsync(() => Task.FromResult(leadership.LatestTerm > ledTerm), cancellationToken);
        // Named is not yet there: who does not say that it leads may have died meanwhile.
        if (leadership.LatestTerm <= ledTerm)
            return false;
        LogHandedOver(log, successor);
        return true;
    }

    private async Task UntilAsync(Func<Task<bool>> isSo, CancellationToken cancellationToken)
    {
        long start = clock.GetTimestamp();
        while (!await isSo() && clock.GetElapsedTime(start) < HandOverLimit)
            await Task.Delay(TimeSpan.FromMilliseconds(5), clock, cancellationToken);
    }

    private void Save(string path)
    {
        try
        {
            SavedState.Of(worlds.Now).Write(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            LogNotSaved(log, path, e);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The state could not be saved to {Path}; the next start places everybody anew.")]
    private static partial void LogNotSaved(ILogger log, string path, Exception e);

    [LoggerMessage(Level = LogLevel.Information, Message = "Handed over to {Successor}.")]
    private static partial void LogHandedOver(ILogger log, string successor);

    [LoggerMessage(Level = LogLevel.Information, Message = "Took over in term {Term} with {Peers} peers; {Untold} changes are told again, {Strangers} newcomers placed.")]
    private static partial void LogTookOver(ILogger log, long term, int peers, int untold, int strangers);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Leads in term {Term} without the islands of the leader before: {Strangers} people are placed anew.")]
    private static partial void LogTookOverCold(ILogger log, long term, int strangers);

    /// <summary>One beat: the silent leave, everybody is regrouped, and everything is told.</summary>
    public async Task CycleAsync(CancellationToken cancellationToken)
    {
        using Activity? activity = activities.StartActivity("flush");
        statistics.Probe();
        departed.Clear();
        await EnterAsync(Phase.Begun);
        statistics.Begin();
        worlds.Now.Silence.RemoveSilent(options.HeartbeatLifetime, departed);
        statistics.CountLeft(departed.Count);
        statistics.End(Stage.Silence);
        statistics.Begin();
        ValueTask replicated = Flush(newcomersOnly: false, cancellationToken);
        worlds.Now.Engine.PublishSnapshot();
        statistics.End(Stage.Flush);
        statistics.Begin();
        await EnterAsync(Phase.Flushed);
        await replicated;
        await TellAsync(cancellationToken);
        await publisher.PublishDeparturesAsync(departed, cancellationToken);
        statistics.End(Stage.Changes);
        using IslandSnapshot snapshot = worlds.Now.Engine.AcquireSnapshot();
        statistics.Begin();
        await publisher.PublishIslandsAsync(snapshot, cancellationToken);
        statistics.End(Stage.Islands);
        statistics.Count(snapshot);
        await publisher.PublishReportAsync(statistics.Report(snapshot), cancellationToken);
        activity?.SetTag("flush", snapshot.Flush).SetTag("peers", snapshot.Members.Length).SetTag("islands", snapshot.Islands.Length);
        await EnterAsync(Phase.Done);
    }

    /// <summary>Tells everybody who has another island. What the bus refuses to take now is not lost: the engine counts it as told, so it is told again by us.</summary>
    private async Task TellAsync(CancellationToken cancellationToken)
    {
        await EnterAsync(Phase.Replicated);
        bool any = untold.Count > 0;
        if (PhaseHook is not null && any)
        {
            // One of them alone, so that a test can end the Service between two.
            List<IslandChange> first = [untold[0]];
            untold.RemoveAt(0);
            await publisher.PublishChangesAsync(first, cancellationToken);
            untold.InsertRange(0, first);
            await EnterAsync(Phase.Telling);
        }
        await publisher.PublishChangesAsync(untold, cancellationToken);
        if (untold.Count > 0)
            return;
        toldUpTo = worlds.Now.Engine.FlushCount;
        await EnterAsync(Phase.Told);
        if (any)
            await replicator.PublishToldAsync(toldUpTo, cancellationToken);
    }

    /// <summary>Between beats: newcomers get an island, and nobody else moves.</summary>
    public async Task PlaceNewcomersAsync(CancellationToken cancellationToken)
    {
        lastPlaced = clock.GetTimestamp();
        bool hasNewcomers = worlds.Now.Engine.HasNewcomers;
        statistics.Begin();
        ValueTask replicated = Flush(newcomersOnly: true, cancellationToken);
        if (hasNewcomers)
            statistics.EndNewcomerFlush();
        await replicated;
        await TellAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        TimeSpan period = options.PlacesPromptly ? options.NewcomerPeriod : options.FlushPeriod;
        tick = leads || period < Watch ? period : Watch;
        using var timer = new PeriodicTimer(tick, clock);
        // The first beat does not wait for its time.
        nextCycle = lastPlaced = clock.GetTimestamp();
        // A beat that has begun is finished: half of one could not be handed over. A bus that takes nothing must not keep the process, though.
        using var giveUp = new CancellationTokenSource();
        await using CancellationTokenRegistration _ = stoppingToken.Register(() => giveUp.CancelAfter(HandOverLimit));
        do
            await GuardedAsync(TickAsync, giveUp.Token);
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    private async Task TickAsync(CancellationToken cancellationToken)
    {
        switch (leadership.Role)
        {
            case Role.Deciding or Role.Standby:
                if (leads)
                    StepDown();
                // Who does not know yet whether there are others asks them for nothing.
                if (leadership.Role == Role.Standby)
                    await worlds.Follower!.PumpAsync(cancellationToken);
                leadership.IsReady = worlds.Follower!.IsLevel;
                return;
            case Role.Leader when !leadership.MaySpeak:
                // It does not know whether it leads: it listens, moves nobody and says nothing.
                return;
            case Role.Leader when !leads || ledTerm != leadership.Now.Term:
                if (leads)
                    StepDown();
                if (!await TakeOverAsync(cancellationToken))
                    return;
                break;
            case Role.Alone when !leads:
                Inherit(term: 0);
                await discovery.TellAsync(cancellationToken);
                break;
        }
        await replicator.AnswerJoinsAsync(cancellationToken);
        await replicator.PublishStatusAsync(atOnce: false, cancellationToken);
        if (IsDue(nextCycle, TimeSpan.Zero))
        {
            // From when it was due, not from when it is: beats keep their rhythm, unless they have fallen behind it.
            long period = Ticks(options.FlushPeriod), now = clock.GetTimestamp();
            nextCycle = nextCycle + period > now ? nextCycle + period : now + period;
            await CycleAsync(cancellationToken);
        }
        else if (options.PlacesPromptly && IsDue(lastPlaced, options.NewcomerPeriod) && (worlds.Now.Engine.HasNewcomers || untold.Count > 0 || intake.HasAsks))
            await PlaceNewcomersAsync(cancellationToken);
    }

    private long Ticks(TimeSpan time) => (long)(time.TotalSeconds * clock.TimestampFrequency);

    /// <summary>True when so much time has passed; half a tick is not waited for.</summary>
    private bool IsDue(long since, TimeSpan time) => clock.GetTimestamp() >= since + Ticks(time - (tick / 2));

    /// <summary>Goes on where the leader before has ended. False when it may not any more.</summary>
    private async Task<bool> TakeOverAsync(CancellationToken cancellationToken)
    {
        // First of all, so that nothing of the one before counts any more, and standbys ask for what they need.
        replicator.Reset();
        await replicator.PublishStatusAsync(atOnce: true, cancellationToken);
        // The bus answers behind all that it has for us, so what the one before has told standbys is here.
        using (var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
        {
            limit.CancelAfter(HandOverLimit);
            await bus.FlushAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        long term = leadership.Now.Term;
        if (!leadership.MaySpeak)
            return false;
        ledTerm = term;
        (bool isWarm, int strangers) = Inherit(term);
        Takeovers = isWarm ? (Takeovers.Warm + 1, Takeovers.Cold) : (Takeovers.Warm, Takeovers.Cold + 1);
        if (isWarm)
            LogTookOver(log, term, worlds.Now.Peers.Count, untold.Count, strangers);
        else if (leadership.Now.Cause != "first")
            LogTookOverCold(log, term, strangers);
        await discovery.TellAsync(cancellationToken);
        // What the other may have told half of, and newcomers, at once; a beat when it is time for one.
        await PlaceNewcomersAsync(cancellationToken);
        return true;
    }

    /// <param name="term">The term that begins; 0 for none.</param>
    private (bool IsWarm, int Strangers) Inherit(long term)
    {
        Follower following = worlds.Follower!;
        Inheritance inherited = following.TakeOver(world =>
        {
            worlds.Now = world;
            worlds.Follower = null;
        });
        worlds.Now.Engine.SkipIdsTo(term * IdsOfTerm);
        // Its beats go on in the rhythm of the one before.
        nextCycle = inherited.IsWarm && following.LastBeat is { } beat ? beat + Ticks(options.FlushPeriod) : clock.GetTimestamp();
        untold.Clear();
        untold.AddRange(inherited.Untold);
        leads = true;
        toldUpTo = 0;
        foreach (Stranger stranger in inherited.Strangers)
            intake.Accept(stranger);
        return (inherited.IsWarm, inherited.Strangers.Count);
    }

    /// <summary>Another leads: what was made here since is void, and is kept only for want of better.</summary>
    private void StepDown()
    {
        leads = false;
        untold.Clear();
        intake.ForgetAsks();
        worlds.Follower = NewFollower();
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

    /// <summary>Flushes, and begins to tell standbys what that did.</summary>
    private ValueTask Flush(bool newcomersOnly, CancellationToken cancellationToken)
    {
        intake.BeginFlush();
        IslandEngine engine = worlds.Now.Engine;
        FlushResult result = newcomersOnly ? engine.FlushNewcomers() : engine.Flush();
        IslandCount = result.IslandCount;
        statistics.Count(result, newcomersOnly);
        untold.AddRange(result.Changes);
        ValueTask replicated = replicator.PublishFlushAsync(!newcomersOnly, result.Changes, toldUpTo, cancellationToken);
        intake.Answer(untold);
        return replicated;
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "A flush cycle failed")]
    private static partial void LogFailure(ILogger log, Exception e);
}
