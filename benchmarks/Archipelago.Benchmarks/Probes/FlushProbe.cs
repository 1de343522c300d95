using System.Diagnostics;
using System.Globalization;
using Archipelago.Core;

namespace Archipelago.Benchmarks.Probes;

/// <summary>Moves a world tick by tick and times each flush. Points move between flushes, since branch predictors learn a repeated one.</summary>
internal sealed class FlushProbe(Position[] points, IslandOptions rules, float step, double moving, int seed, int threads)
{
    private const int RehearsalPeers = 20_000;

    private readonly Random random = new(seed);
    private readonly PeerHandle[] handles = new PeerHandle[points.Length];
    private readonly int[] order = [.. Enumerable.Range(0, points.Length)];
    private readonly (PeerHandle Peer, Position To)[] reports = new (PeerHandle, Position)[points.Length];
    private IslandEngine engine = null!;

    public string Run(int warmup, int ticks)
    {
        Rehearse();
        long before = GC.GetTotalMemory(forceFullCollection: true);
        engine = new IslandEngine(rules) { FlushThreads = threads };
        for (int i = 0; i < points.Length; i++)
            handles[i] = engine.Add(points[i]);
        double cold = Time(() => engine.Flush());
        random.Shuffle(order);
        for (int i = 0; i < warmup; i++)
        {
            Tick();
            engine.Flush();
        }
        double bytesPerPeer = (GC.GetTotalMemory(forceFullCollection: true) - before) / (double)points.Length;

        double[] times = new double[ticks];
        long changes = 0, moved = 0, allocated = GC.GetTotalAllocatedBytes(precise: true);
        double moveTime = 0;
        int islands = 0;
        for (int i = 0; i < ticks; i++)
        {
            (int n, double ms) = Tick();
            moved += n;
            moveTime += ms;
            long start = Stopwatch.GetTimestamp();
            FlushResult result = engine.Flush();
            times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            changes += result.Changes.Length;
            islands = result.IslandCount;
        }
        // Of all threads; moving people allocates nothing.
        allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
        Array.Sort(times);
        return string.Create(CultureInfo.InvariantCulture,
            $"{{\"peers\":{points.Length},\"threads\":{threads},\"coldMs\":{cold:0.###},\"medianMs\":{times[ticks / 2]:0.####},\"p99Ms\":{times[(int)(0.99 * (ticks - 1))]:0.####},\"maxMs\":{times[^1]:0.####},\"allocatedBytesPerFlush\":{allocated / ticks},\"islands\":{islands},\"changesPerFlush\":{changes / (double)ticks:0.#},\"bytesPerPeer\":{bytesPerPeer:0.#},\"moveNs\":{moveTime * 1e6 / Math.Max(1, moved):0.#}}}");
    }

    /// <summary>Checks that every island is connected, that no two that touch fit together, and that none exceeds the cap.</summary>
    public bool Verify()
    {
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        string? fault = SnapshotVerifier.FindFault(snapshot, rules);
        Console.Error.WriteLine(fault ?? "The last state keeps the rules.");
        return fault is null;
    }

    /// <summary>Moves people in random order; returns how many, and the milliseconds that the reports alone took.</summary>
    private (int Moved, double Ms) Tick()
    {
        int n = (int)Math.Round(points.Length * moving), from = n == points.Length ? 0 : random.Next(points.Length);
        for (int i = 0; i < n; i++)
        {
            int peer = order[(from + i) % points.Length];
            double angle = random.NextDouble() * 2 * Math.PI, length = random.NextDouble() * step;
            points[peer] = new Position(points[peer].X + (float)(length * Math.Cos(angle)), 0, points[peer].Z + (float)(length * Math.Sin(angle)));
        }
        // Laid out in the order of reporting, so that the time is the engine's and not that of fetching arguments.
        for (int i = 0; i < n; i++)
        {
            int peer = order[(from + i) % points.Length];
            reports[i] = (handles[peer], points[peer]);
        }
        long start = Stopwatch.GetTimestamp();
        foreach ((PeerHandle peer, Position to) in reports.AsSpan(0, n))
            engine.Move(peer, to);
        return (n, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
    }

    /// <summary>Lets the runtime compile the engine's code before anything is timed: small worlds, from cold to a few ticks, again and again.</summary>
    private void Rehearse()
    {
        long start = Stopwatch.GetTimestamp();
        do
        {
            using var small = new IslandEngine(rules) { FlushThreads = threads };
            PeerHandle[] some = [.. points.Take(RehearsalPeers).Select(point => small.Add(point))];
            for (int i = 0; i < 20; i++)
            {
                small.Flush();
                // Many who come anew let the engine put everything in order again.
                for (int peer = 0; i == 10 && peer < some.Length / 2; peer++)
                {
                    small.Remove(some[peer]);
                    some[peer] = small.Add(points[peer]);
                }
                foreach (PeerHandle peer in some.AsSpan(0, i % 2 == 0 ? some.Length : some.Length / 50))
                    small.Move(peer, new Position(points[peer.Slot % points.Length].X + ((i & 3) * step), 0, points[peer.Slot % points.Length].Z));
            }
        }
        while (Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(3));
    }

    private static double Time(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }
}
