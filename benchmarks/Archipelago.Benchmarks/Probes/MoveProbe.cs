using System.Diagnostics;
using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using Archipelago.Core;

namespace Archipelago.Benchmarks.Probes;

/// <summary>What a flush costs a producer that goes on reporting on another core: its throughput by its own processor time, and how long single reports take.</summary>
internal sealed partial class MoveProbe(Position[] points, int seconds, int seed)
{
    private const int Batch = 4096;

    private readonly IslandEngine engine = new();
    private readonly Random random = new(seed);

    /// <summary>In random order, so that fetching arguments is sequential and only the engine's memory is visited at random.</summary>
    private readonly (PeerHandle Peer, Position At)[] reports = new (PeerHandle, Position)[points.Length];

    public string Run()
    {
        for (int i = 0; i < points.Length; i++)
            reports[i] = (engine.Add(points[i]), points[i]);
        random.Shuffle(reports);
        engine.Flush();
        Produce(TimeSpan.FromSeconds(1));
        double alone = Produce(TimeSpan.FromSeconds(seconds));
        double timedAlone = Quantile(Time(TimeSpan.FromSeconds(seconds)), 0.5);

        using var stop = new CancellationTokenSource();
        int flushes = 0;
        var flusher = new Thread(() =>
        {
            for (; !stop.IsCancellationRequested; flushes++)
                engine.Flush();
        });
        flusher.Start();
        double flushing = Produce(TimeSpan.FromSeconds(seconds));
        long[] histogram = Time(TimeSpan.FromSeconds(seconds));
        stop.Cancel();
        flusher.Join();
        return string.Create(CultureInfo.InvariantCulture,
            $"{{\"peers\":{points.Length},\"flushes\":{flushes},\"aloneNs\":{alone:0.#},\"flushingNs\":{flushing:0.#},\"lossPercent\":{100 * (1 - (alone / flushing)):0.#},\"timedAloneP50Ns\":{timedAlone:0},\"timedP50Ns\":{Quantile(histogram, 0.5):0},\"timedP99Ns\":{Quantile(histogram, 0.99):0},\"timedP999Ns\":{Quantile(histogram, 0.999):0},\"timedMaxUs\":{Quantile(histogram, 1) / 1000:0.#}}}");
    }

    /// <summary>Reports in random order for so long; nanoseconds of this thread's processor time each.</summary>
    private double Produce(TimeSpan time)
    {
        long start = Stopwatch.GetTimestamp(), processor = ThreadTime(), moves = 0;
        do
        {
            Report(ref moves);
        }
        while (Stopwatch.GetElapsedTime(start) < time);
        return (ThreadTime() - processor) / (double)moves;
    }

    private void Report(ref long moves)
    {
        float step = (moves & Batch) == 0 ? 1 : -1;
        foreach ((PeerHandle peer, Position at) in NextBatch())
            engine.Move(peer, at with { X = at.X + step });
        moves += Math.Min(Batch, reports.Length);
    }

    private ReadOnlySpan<(PeerHandle Peer, Position At)> NextBatch()
    {
        int size = Math.Min(Batch, reports.Length);
        return reports.AsSpan(random.Next(reports.Length - size + 1), size);
    }

    /// <summary>A histogram of single reports, by powers of two of the clock's ticks in sixteenths; the clock's own cost is in it.</summary>
    private long[] Time(TimeSpan time)
    {
        var histogram = new long[64 * 16];
        long start = Stopwatch.GetTimestamp();
        do
        {
            foreach ((PeerHandle peer, Position at) in NextBatch())
            {
                long before = Stopwatch.GetTimestamp();
                engine.Move(peer, at);
                histogram[BucketOf(Stopwatch.GetTimestamp() - before)]++;
            }
        }
        while (Stopwatch.GetElapsedTime(start) < time);
        return histogram;
    }

    private static int BucketOf(long ticks)
    {
        if (ticks < 16)
            return (int)Math.Max(0, ticks);
        int exponent = BitOperations.Log2((ulong)ticks);
        return (exponent * 16) + (int)((ticks >> (exponent - 4)) & 15);
    }

    /// <summary>The nanoseconds that this share of the reports did not exceed.</summary>
    private static double Quantile(long[] histogram, double share)
    {
        long wanted = (long)Math.Ceiling(histogram.Sum() * share), seen = 0;
        int bucket = 0;
        while (bucket < histogram.Length - 1 && (seen += histogram[bucket]) < wanted)
            bucket++;
        double ticks = bucket < 64 ? bucket : (16 + (bucket & 15)) * Math.Pow(2, (bucket >> 4) - 4);
        return ticks * 1e9 / Stopwatch.Frequency;
    }

    private static long ThreadTime()
    {
        const int ThreadClock = 3;
        clock_gettime(ThreadClock, out Timespec now);
        return (now.Seconds * 1_000_000_000) + now.Nanoseconds;
    }

    private struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [LibraryImport("libc")]
    private static partial int clock_gettime(int clock, out Timespec now);
}
