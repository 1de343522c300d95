using System.Diagnostics;
using System.Globalization;
using System.Text;
using Archipelago.Core;

namespace Archipelago.Benchmarks.Crowds;

/// <summary>What was measured of a crowd.</summary>
internal sealed record CrowdFigures(
    string Scenario, string Policy, int People, double Recall, double RecallLowestTenth, double MovesPerPersonPer5Min, double Islands, double MinimumIslands,
    double NsPerMemberPerFlush, double AllocatedBytesPerFlush, int WorstFlushMoves, int LastMoveFlush, int LastArrivalFlush)
{
    public string ToJson() => string.Create(
        CultureInfo.InvariantCulture,
        $"{{\"scenario\":\"{Scenario}\",\"policy\":\"{Policy}\",\"people\":{People},\"r10\":{Recall:0.000},\"r10LowestTenth\":{RecallLowestTenth:0.000},\"movesPerPersonPer5Min\":{MovesPerPersonPer5Min:0.000},\"islands\":{Islands:0.00},\"minimumIslands\":{MinimumIslands:0.00},\"nsPerMemberPerFlush\":{NsPerMemberPerFlush:0.0},\"allocatedBytesPerFlush\":{AllocatedBytesPerFlush:0.0},\"worstFlushMoves\":{WorstFlushMoves},\"lastMoveFlush\":{LastMoveFlush},\"lastArrivalFlush\":{LastArrivalFlush}}}");
}

/// <summary>Lets the engine group a crowd, flush by flush, and measures what its people notice.</summary>
internal sealed class CrowdProbe(IslandOptions rules) : IDisposable
{
    private const double FlushesPer5Minutes = 150;

    /// <summary>Recall is measured every so many flushes, and not in the first two minutes.</summary>
    private const int SampleEvery = 15, SampleFrom = 60;

    private readonly IslandEngine engine = new(rules);
    private readonly NeighbourRecall recall = new();
    private readonly Dictionary<PeerHandle, (double Sum, int Count)> recallOf = [];
    private float[] shares = [];
    private long allocated;
    private double time;
    private long memberFlushes;
    private long measured;
    private int flush;
    private long moves;
    private int worst;
    private int lastMove;
    private int lastArrival;
    private double islands;
    private double minimum;
    private int most;

    public IslandEngine Engine => engine;

    public void Dispose() => engine.Dispose();

    /// <summary>Somebody came.</summary>
    public void NoteArrival() => lastArrival = flush + 1;

    /// <summary>Flushes and measures.</summary>
    public void Flush()
    {
        flush++;
        long bytes = GC.GetAllocatedBytesForCurrentThread(), start = Stopwatch.GetTimestamp();
        FlushResult result = engine.Flush();
        double took = Stopwatch.GetElapsedTime(start).TotalNanoseconds;
        bytes = GC.GetAllocatedBytesForCurrentThread() - bytes;
        int forced = 0;
        foreach (ref readonly IslandChange change in result.Changes)
            forced += change.From.IsNone ? 0 : 1;
        moves += forced;
        worst = Math.Max(worst, forced);
        if (forced > 0)
            lastMove = flush;
        most = Math.Max(most, result.PeerCount);
        if (flush <= SampleFrom)
            return;
        measured++;
        allocated += bytes;
        time += took;
        memberFlushes += result.PeerCount;
        islands += result.IslandCount;
        minimum += Math.Ceiling((double)result.PeerCount / rules.MaxIslandSize);
        if (flush % SampleEvery == 0)
            Sample();
    }

    private void Sample()
    {
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        if (shares.Length < snapshot.Members.Length)
            shares = new float[snapshot.Members.Length];
        recall.Measure(snapshot, shares);
        for (int i = 0; i < snapshot.Members.Length; i++)
        {
            if (float.IsNaN(shares[i]))
                continue;
            (double sum, int count) = recallOf.GetValueOrDefault(snapshot.Members[i].Peer);
            recallOf[snapshot.Members[i].Peer] = (sum + shares[i], count + 1);
        }
    }

    public CrowdFigures Figures(string scenario)
    {
        double[] people = [.. recallOf.Values.Select(v => v.Sum / v.Count).Order()];
        return new CrowdFigures(
            scenario, rules.Crowds.ToString().ToLowerInvariant(), most,
            recallOf.Values.Sum(v => v.Sum) / Math.Max(1, recallOf.Values.Sum(v => v.Count)), people.Length == 0 ? double.NaN : people.Take(Math.Max(1, people.Length / 10)).Average(),
            moves * FlushesPer5Minutes / Math.Max(1, memberFlushes), islands / Math.Max(1, measured), minimum / Math.Max(1, measured),
            time / Math.Max(1, memberFlushes), (double)allocated / Math.Max(1, measured), worst, lastMove, lastArrival);
    }

    /// <summary>Lets the runtime compile the engine's code before anything is timed.</summary>
    public static void Rehearse(IslandOptions rules)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(1.5))
            Run(CrowdScenario.Make("300", 1), rules, flushes: 200);
    }

    /// <summary>Runs one of our own crowds.</summary>
    public static CrowdFigures Run(CrowdScenario scenario, IslandOptions rules, int flushes = CrowdScenario.Flushes, Action<IslandEngine, int>? look = null)
    {
        using var probe = new CrowdProbe(rules);
        var handles = new PeerHandle?[scenario.Count];
        for (int flush = 0; flush < flushes; flush++)
        {
            for (int i = 0; i < handles.Length; i++)
            {
                if (!scenario.IsThere(i, flush))
                {
                    if (handles[i] is { } gone)
                        probe.Engine.Remove(gone);
                    handles[i] = null;
                }
                else if (handles[i] is { } here)
                {
                    probe.Engine.Move(here, scenario.Of(i));
                }
                else
                {
                    handles[i] = probe.Engine.Add(scenario.Of(i));
                    probe.NoteArrival();
                }
            }
            probe.Flush();
            look?.Invoke(probe.Engine, flush);
            scenario.Step();
        }
        return probe.Figures(scenario.Name);
    }

    /// <summary>Runs other people's motion: little-endian float32 x, z of everybody, frame by frame. Who has no finite place is not there.</summary>
    public static CrowdFigures RunTrack(Stream track, int people, IslandOptions rules)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(people, 1);
        using var probe = new CrowdProbe(rules);
        var handles = new PeerHandle?[people];
        byte[] frame = new byte[people * 2 * sizeof(float)];
        while (track.ReadAtLeast(frame, frame.Length, throwOnEndOfStream: false) is var read && read > 0)
        {
            if (read < frame.Length)
                throw new InvalidDataException($"The last frame has {read} bytes; a frame of {people} people has {frame.Length}. Is --people right?");
            for (int i = 0; i < people; i++)
            {
                var place = new Position(BitConverter.ToSingle(frame, 8 * i), 0, BitConverter.ToSingle(frame, (8 * i) + 4));
                if (!place.IsFinite)
                {
                    if (handles[i] is { } gone)
                        probe.Engine.Remove(gone);
                    handles[i] = null;
                }
                else if (handles[i] is { } here)
                {
                    probe.Engine.Move(here, place);
                }
                else
                {
                    handles[i] = probe.Engine.Add(place);
                    probe.NoteArrival();
                }
            }
            probe.Flush();
        }
        return probe.Figures("track");
    }
}
