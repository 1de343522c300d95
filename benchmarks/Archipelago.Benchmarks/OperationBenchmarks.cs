using Archipelago.Core;
using BenchmarkDotNet.Attributes;

namespace Archipelago.Benchmarks;

/// <summary>What producers pay, in random order.</summary>
[ShortRunJob]
[MemoryDiagnoser]
public class OperationBenchmarks
{
    private const int Batch = 10_000;
    private (PeerHandle Peer, Position To)[] reports = [];
    private IslandEngine engine = null!;

    [Params(100_000, 1_000_000)]
    public int Peers { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(1);
        engine = new IslandEngine();
        var handles = new PeerHandle[Peers];
        for (int i = 0; i < Peers; i++)
            handles[i] = engine.Add(new Position(i, 0, 0));
        engine.Flush();
        reports = [.. Enumerable.Range(0, Batch).Select(_ => (handles[random.Next(Peers)], new Position(random.Next(1000), 0, 0)))];
    }

    [Benchmark(OperationsPerInvoke = Batch)]
    public bool Move()
    {
        bool all = true;
        foreach ((PeerHandle peer, Position to) in reports)
            all &= engine.Move(peer, to);
        return all;
    }
}
