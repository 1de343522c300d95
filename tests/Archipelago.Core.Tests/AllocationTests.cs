namespace Archipelago.Core.Tests;

/// <summary>In the steady state the garbage collector hears nothing, however many are there.</summary>
public class AllocationTests
{
    [Theory]
    [InlineData(100, 40, CrowdPolicy.Plain, 1)]
    [InlineData(100, 40, CrowdPolicy.Plain, 2)]
    [InlineData(100_000, 40, CrowdPolicy.Plain, 1)]
    [InlineData(100_000, 40, CrowdPolicy.Plain, 2)]
    [InlineData(100, 40, CrowdPolicy.Coherent, 1)]
    [InlineData(2000, 8, CrowdPolicy.Coherent, 1)]
    [InlineData(100_000, 20, CrowdPolicy.Coherent, 1)]
    public void Reports_flushes_and_readings_allocate_nothing(int people, int spread, CrowdPolicy policy, int threads)
    {
        using var engine = new IslandEngine(new IslandOptions { Crowds = policy }) { FlushThreads = threads };
        var recall = new NeighbourRecall();
        var random = new Random(1);
        float side = spread * MathF.Sqrt(people);
        var handles = new PeerHandle[people];
        var at = new Position[people];
        for (int i = 0; i < people; i++)
            handles[i] = engine.Add(at[i] = new Position(side * random.NextSingle(), 0, side * random.NextSingle()));
        int ticks = people > 1000 ? 4 : 60;
        // Buffers grow to their size first; several times the measured load leaves them room.
        for (int tick = 0; tick < (people > 10_000 ? 5 : 20) * ticks; tick++)
            Tick(engine, recall, handles, at, random, 20, people / 20);

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int tick = 0; tick < ticks; tick++)
            Tick(engine, recall, handles, at, random, 6, people / 100);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    /// <summary>Everybody moves, a few leave and as many come, both kinds of flush run, and somebody reads.</summary>
    private static void Tick(IslandEngine engine, NeighbourRecall recall, PeerHandle[] handles, Position[] at, Random random, float step, int turnover)
    {
        for (int i = 0; i < handles.Length; i++)
        {
            at[i] = new Position(at[i].X + (step * (random.NextSingle() - 0.5f)), 0, at[i].Z + (step * (random.NextSingle() - 0.5f)));
            engine.Move(handles[i], at[i]);
        }
        for (int i = 0; i < turnover; i++)
        {
            int who = random.Next(handles.Length);
            engine.Remove(handles[who]);
            handles[who] = engine.Add(at[who], new IslandId(1 + random.Next(5)));
            engine.Prefer(handles[who], IslandId.None);
        }
        engine.FlushNewcomers();
        engine.Flush();
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        if (!snapshot.TryFindIsland(handles[0], out IslandInfo island) || snapshot.MembersOf(island).IsEmpty)
            throw new InvalidOperationException("The first peer is in no island.");
        recall.Sample(snapshot, 50);
    }

    [Fact]
    public void Reporting_by_the_bytes_of_a_key_allocates_nothing()
    {
        using var engine = new IslandEngine<string>(comparer: StringComparer.Ordinal);
        engine.Report("0xab", default);
        ReadOnlySpan<char> key = "peer.0xab.heartbeat".AsSpan(5, 4);
        Assert.True(engine.TryReport(key, new Position(1, 2, 3)));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
            engine.TryReport(key, new Position(i, 2, 3));
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }
}
