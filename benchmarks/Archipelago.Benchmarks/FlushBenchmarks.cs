using Archipelago.Benchmarks.Probes;
using Archipelago.Core;
using BenchmarkDotNet.Attributes;
using NetTopologySuite.Geometries;
using NetTopologySuite.Index.HPRtree;
using Position = Archipelago.Core.Position;

namespace Archipelago.Benchmarks;

/// <summary>
/// A whole flush (split, cap, merge, ids, changes) beside what a good engineer would write first, which only finds components under the leave distance.
/// Everybody moves up to 6 m before each run.
/// </summary>
[SimpleJob(warmupCount: 40, iterationCount: 25, invocationCount: 1)]
[MemoryDiagnoser]
public class FlushBenchmarks
{
    private const double Leave = 80;
    private Position[] points = [];
    private PeerHandle[] handles = [];
    private IslandEngine engine = null!;
    private Random random = null!;

    [Params("sparse", "dense", "city")]
    public string World { get; set; } = "";

    [Params(1_000, 10_000, 100_000)]
    public int Peers { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        random = new Random(1);
        points = Worlds.Make(World, Peers, 1);
        engine = new IslandEngine();
        handles = [.. points.Select(p => engine.Add(p))];
        for (int tick = 0; tick < 300; tick++)
        {
            Move();
            engine.Flush();
        }
    }

    [IterationSetup]
    public void Move()
    {
        for (int i = 0; i < points.Length; i++)
        {
            (double sin, double cos) = Math.SinCos(random.NextDouble() * 2 * Math.PI);
            double length = random.NextDouble() * 6;
            points[i] = new Position(points[i].X + (float)(length * cos), 0, points[i].Z + (float)(length * sin));
            engine.Move(handles[i], points[i]);
        }
    }

    [Benchmark]
    public int Engine() => engine.Flush().IslandCount;

    [Benchmark(Baseline = true)]
    public int DictionaryGrid()
    {
        var sets = new Sets(points.Length);
        var cells = new Dictionary<(int, int), List<int>>();
        for (int i = 0; i < points.Length; i++)
        {
            (int, int) key = ((int)Math.Floor(points[i].X / Leave), (int)Math.Floor(points[i].Z / Leave));
            for (int dx = -1; dx <= 1; dx++)
                for (int dz = -1; dz <= 1; dz++)
                    if (cells.TryGetValue((key.Item1 + dx, key.Item2 + dz), out List<int>? there))
                        foreach (int other in there)
                            if (Near(i, other))
                                sets.Union(i, other);
            if (!cells.TryGetValue(key, out List<int>? mine))
                cells[key] = mine = [];
            mine.Add(i);
        }
        return sets.Count;
    }

    [Benchmark]
    public int NetTopologySuiteTree()
    {
        var sets = new Sets(points.Length);
        var tree = new HPRtree<int>();
        for (int i = 0; i < points.Length; i++)
            tree.Insert(new Envelope(new Coordinate(points[i].X, points[i].Z)), i);
        for (int i = 0; i < points.Length; i++)
            foreach (int other in tree.Query(new Envelope(points[i].X - Leave, points[i].X + Leave, points[i].Z - Leave, points[i].Z + Leave)))
                if (other < i && Near(i, other))
                    sets.Union(i, other);
        return sets.Count;
    }

    [Benchmark]
    public int BruteForce()
    {
        // Hours at more than this.
        if (Peers > 10_000)
            return 0;
        var sets = new Sets(points.Length);
        for (int i = 1; i < points.Length; i++)
            for (int j = 0; j < i; j++)
                if (Near(i, j))
                    sets.Union(i, j);
        return sets.Count;
    }

    private bool Near(int a, int b)
    {
        double dx = (double)points[a].X - points[b].X, dz = (double)points[a].Z - points[b].Z;
        return (dx * dx) + (dz * dz) <= Leave * Leave;
    }

    private sealed class Sets(int count)
    {
        private readonly int[] parent = [.. Enumerable.Range(0, count)];

        public int Count { get; private set; } = count;

        public void Union(int a, int b)
        {
            a = Find(a);
            b = Find(b);
            if (a == b)
                return;
            parent[a] = b;
            Count--;
        }

        private int Find(int item)
        {
            while (parent[item] != item)
                item = parent[item] = parent[parent[item]];
            return item;
        }
    }
}
