using System.Diagnostics;
using System.Diagnostics.Metrics;
using Archipelago.Core;
using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Service;

/// <summary>The stages of a beat.</summary>
internal enum Stage
{
    Silence,
    Flush,
    Changes,
    Islands,
}

/// <summary>
/// What the flushes do, as metrics and as the report that the map and the console draw from. On the flushing thread, unless it says otherwise.
/// </summary>
internal sealed class FlushStatistics : IDisposable
{
    private static readonly double[] TimeBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
    private static readonly int[] Sizes = [1, 2, 5, 10, 25, 50, 100];
    private static readonly string[] Causes = ["newcomer", "split", "merge", "crowd"];

    private readonly Histogram<double> stages;
    private readonly Histogram<double> newcomerFlushes;
    private readonly TimeProvider clock;
    private readonly Intake intake;
    private readonly IMessageBus bus;
    private readonly long[] changes = new long[Causes.Length];
    private readonly long[] islandsBySize = new long[Sizes.Length + 1];
    private readonly double[] stageMs = new double[4];
    private readonly FlushReport report = new();
    private readonly NeighbourRecall recall = new();
    private readonly int recallPeople;
    private readonly int cap;
    private CrowdSummary crowds;
    private RecallFigures together;
    private int beats;
    private long begun;
    private long lastFlush;
    private long left;
    private double intakeLag;
    private Task probe = Task.CompletedTask;

    // What the last report had counted.
    private readonly long[] reportedChanges = new long[Causes.Length];
    private long reportedAt;
    private long reportedLeft;
    private long reportedHeartbeats;
    private long reportedDropped;
    private long reportedAllocated;
    private int newcomerFlushCount;
    private double slowestNewcomerFlushMs;

    public FlushStatistics(IMeterFactory meters, Intake intake, IMessageBus bus, ServiceOptions options, TimeProvider clock)
    {
        (this.intake, this.bus, this.clock) = (intake, bus, clock);
        (recallPeople, cap) = (options.RecallPeople, options.Islands.MaxIslandSize);
        (reportedAt, lastFlush, reportedAllocated) = (clock.GetTimestamp(), clock.GetTimestamp(), GC.GetTotalAllocatedBytes());
        Meter meter = meters.Create("archipelago.service.flush");
        var advice = new InstrumentAdvice<double> { HistogramBucketBoundaries = TimeBuckets };
        stages = meter.CreateHistogram("archipelago_beat_seconds", description: "Time of the stages of a beat, in seconds.", advice: advice);
        newcomerFlushes = meter.CreateHistogram("archipelago_newcomer_flush_seconds", description: "Time of flushes that place newcomers alone, in seconds.", advice: advice);
        meter.CreateObservableCounter("archipelago_changes_total", () => Labelled("cause", Causes, changes), description: "Changes of island, by cause.");
        meter.CreateObservableCounter("archipelago_left_total", () => intake.Departures, description: "Peers that left, or came anew.");
        meter.CreateObservableCounter("archipelago_given_up_total", () => Volatile.Read(ref left), description: "Peers that were silent for too long.");
        meter.CreateObservableGauge(
            "archipelago_islands_by_size",
            () => Labelled("size", [.. Sizes.Select((s, i) => i == 0 || Sizes[i - 1] == s - 1 ? $"{s}" : $"{Sizes[i - 1] + 1}-{s}"), $"over {Sizes[^1]}"], islandsBySize),
            description: "Islands by how many are in them, as of the last flush of everybody.");
        meter.CreateObservableGauge("archipelago_crowd_members", () => crowds.Members, description: "People in crowds larger than an island.");
        meter.CreateObservableGauge("archipelago_crowd_islands", () => crowds.Islands, description: "Islands that crowds are cut into.");
        meter.CreateObservableGauge("archipelago_crowd_islands_over_minimum", () => crowds.Islands - ((crowds.Members + cap - 1) / cap), description: "How many of them could be spared if all others were full.");
        meter.CreateObservableGauge("archipelago_neighbour_recall", MeasureRecall, description: "Of people's ten nearest, the share that is in the same island: the mean, and that of the lowest tenth of people. Sampled.");
        meter.CreateObservableGauge("archipelago_intake_lag_seconds", () => Volatile.Read(ref intakeLag), description: "How long a message lately waited between the bus and the engine.");
    }

    /// <summary>How long ago the last flush of everybody ended. Any thread.</summary>
    public TimeSpan SinceFlush => clock.GetElapsedTime(Volatile.Read(ref lastFlush));

    /// <summary>Begins a stage; <see cref="End"/> ends it.</summary>
    public void Begin() => begun = clock.GetTimestamp();

    /// <summary>Ends the stage that has begun.</summary>
    public void End(Stage stage)
    {
        TimeSpan time = clock.GetElapsedTime(begun);
        stages.Record(time.TotalSeconds, new KeyValuePair<string, object?>("stage", Names[(int)stage]));
        stageMs[(int)stage] = time.TotalMilliseconds;
        if (stage == Stage.Flush)
            Volatile.Write(ref lastFlush, clock.GetTimestamp());
    }

    private static readonly string[] Names = ["silence", "flush", "changes", "islands"];

    /// <summary>Ends a flush of newcomers that has begun.</summary>
    public void EndNewcomerFlush()
    {
        TimeSpan time = clock.GetElapsedTime(begun);
        newcomerFlushes.Record(time.TotalSeconds);
        newcomerFlushCount++;
        slowestNewcomerFlushMs = Math.Max(slowestNewcomerFlushMs, time.TotalMilliseconds);
    }

    private const int RecallEvery = 15;

    private IEnumerable<Measurement<double>> MeasureRecall() => together.People == 0
        ? []
        : [
            new Measurement<double>(together.Mean, new KeyValuePair<string, object?>("of", "all")),
            new Measurement<double>(together.LowestTenth, new KeyValuePair<string, object?>("of", "lowest tenth")),
        ];

    /// <summary>Counts what a flush changed.</summary>
    /// <param name="result">What it did.</param>
    /// <param name="newcomersOnly">Whether it was one of newcomers alone, which knows nothing of crowds.</param>
    public void Count(in FlushResult result, bool newcomersOnly)
    {
        if (!newcomersOnly)
            crowds = result.Crowds;
        foreach (ref readonly IslandChange change in result.Changes)
            changes[(int)change.Cause]++;
    }

    /// <summary>Counts those who were given up for their silence.</summary>
    public void CountLeft(int peers) => left += peers;

    /// <summary>Counts the islands of a snapshot by size, and now and then looks at how many neighbours are together.</summary>
    public void Count(IslandSnapshot snapshot)
    {
        if (recallPeople > 0 && beats++ % RecallEvery == 0)
            together = recall.Sample(snapshot, recallPeople);
        Array.Clear(islandsBySize);
        foreach (ref readonly IslandInfo island in snapshot.Islands)
        {
            int bucket = Array.BinarySearch(Sizes, island.Count);
            islandsBySize[bucket < 0 ? ~bucket : bucket]++;
        }
    }

    /// <summary>What happened since the last report; valid until the next.</summary>
    public FlushReport Report(IslandSnapshot snapshot)
    {
        long allocated = GC.GetTotalAllocatedBytes(), gone = left + intake.Departures;
        report.Flush = (ulong)snapshot.Flush;
        report.Peers = (uint)snapshot.Members.Length;
        report.Islands = (uint)snapshot.Islands.Length;
        report.Seconds = clock.GetElapsedTime(reportedAt).TotalSeconds;
        (report.SilenceMs, report.FlushMs, report.ChangesMs, report.IslandsMs) = (stageMs[0], stageMs[1], stageMs[2], stageMs[3]);
        (report.NewcomerFlushes, report.SlowestNewcomerFlushMs) = ((uint)newcomerFlushCount, slowestNewcomerFlushMs);
        report.Newcomers = (uint)(changes[0] - reportedChanges[0]);
        report.Splits = (uint)(changes[1] - reportedChanges[1]);
        report.Merges = (uint)(changes[2] - reportedChanges[2]);
        report.CrowdMoves = (uint)(changes[3] - reportedChanges[3]);
        (report.CrowdMembers, report.CrowdIslands) = ((uint)crowds.Members, (uint)crowds.Islands);
        report.ClearNeighbourRecall();
        report.ClearNeighbourRecallLowestTenth();
        if (together.People > 0)
            (report.NeighbourRecall, report.NeighbourRecallLowestTenth) = (together.Mean, together.LowestTenth);
        report.Left = (uint)(gone - reportedLeft);
        report.Heartbeats = (ulong)(intake.Heartbeats - reportedHeartbeats);
        report.HeartbeatsDropped = (ulong)(intake.Dropped - reportedDropped);
        report.AllocatedBytes = (ulong)(allocated - reportedAllocated);
        report.IntakeLagMs = intakeLag * 1000;
        changes.CopyTo(reportedChanges, 0);
        (reportedAt, reportedLeft, reportedHeartbeats, reportedDropped, reportedAllocated) = (clock.GetTimestamp(), gone, intake.Heartbeats, intake.Dropped, allocated);
        (newcomerFlushCount, slowestNewcomerFlushMs) = (0, 0);
        return report;
    }

    /// <summary>Measures how long a message waits on its way in; before a beat, whose own messages would be in the way.</summary>
    public void Probe()
    {
        if (probe.IsCompleted && bus.IsConnected)
            probe = ProbeAsync();
    }

    public void Dispose() => probe = Task.CompletedTask;

    /// <summary>The bus answers behind everything that it has sent before, so the way there and back takes as long as a heartbeat waits.</summary>
    private async Task ProbeAsync()
    {
        long start = Stopwatch.GetTimestamp();
        try
        {
            await bus.FlushAsync();
            if (bus.IsConnected)
                Volatile.Write(ref intakeLag, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            // The host is stopping.
        }
    }

    private static IEnumerable<Measurement<long>> Labelled(string label, string[] names, long[] values) =>
        names.Select((name, i) => new Measurement<long>(Volatile.Read(ref values[i]), new KeyValuePair<string, object?>(label, name)));
}
