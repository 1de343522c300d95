using Archipelago.Core.Internals;

namespace Archipelago.Core.Tests;

/// <summary>Threads that do as they please, and an audit at the end; <c>InterleavingTests</c> leave nothing to chance.</summary>
/// <remarks>A slot that was given up serves again once nobody in the process is inside a report, so two loads at once would be in each other's way.</remarks>
[Collection("Heavy producers")]
public class ConcurrencyTests
{
    [Fact]
    public void Snapshots_leased_while_others_are_published_are_never_torn()
    {
        var pool = new SnapshotPool();
        using var stop = new CancellationTokenSource();
        Thread[] readers = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                using IslandSnapshot snapshot = pool.Acquire();
                long flush = snapshot.Flush;
                foreach (IslandMember member in snapshot.Members)
                    if (member.Position.X != flush)
                        torn = true;
                if (snapshot.Flush != flush)
                    torn = true;
            }
        }))];
        foreach (Thread reader in readers)
            reader.Start();
        for (int flush = 1; flush <= 3000; flush++)
        {
            IslandSnapshot next = pool.TakeFree();
            next.Begin(flush, 20, 20, 1);
            for (int i = 0; i < 20; i++)
                next.Add(new PeerHandle(i, 1), new Position(flush, 0, 0));
            next.EndIsland(new IslandId(1));
            pool.Publish(next);
        }
        stop.Cancel();
        foreach (Thread reader in readers)
            reader.Join();
        Assert.False(torn);
        // Three, and at most one more for each lease that was held at once.
        Assert.InRange(pool.Count, 3, 6);
    }

    private volatile bool torn;

    [Fact]
    public void Producers_flushes_and_readers_together_lose_nothing_and_mistake_nobody()
    {
        const int Producers = 4;
        using var engine = new IslandEngine(new IslandOptions { MaxIslandSize = 12 });
        using var stop = new CancellationTokenSource();
        var mine = new Dictionary<PeerHandle, Position>[Producers];
        Thread[] producers = [.. Enumerable.Range(0, Producers).Select(p => new Thread(() => mine[p] = Produce(engine, p, stop.Token)))];
        var reader = new Thread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                using IslandSnapshot snapshot = engine.AcquireSnapshot();
                Assert.Equal(snapshot.Members.Length, snapshot.Islands.ToArray().Sum(i => i.Count));
            }
        });
        foreach (Thread thread in (Thread[])[.. producers, reader])
            thread.Start();
        try
        {
            for (int flush = 0; flush < 400; flush++)
            {
                if (flush % 3 == 0)
                    engine.FlushNewcomers();
                else
                    engine.Flush();
                engine.PublishSnapshot();
            }
        }
        finally
        {
            stop.Cancel();
            foreach (Thread thread in (Thread[])[.. producers, reader])
                thread.Join();
        }

        engine.Flush();
        engine.PublishSnapshot();
        using IslandSnapshot last = engine.AcquireSnapshot();
        Dictionary<PeerHandle, Position> expected = mine.SelectMany(m => m).ToDictionary();
        Assert.Equal(expected.Count, last.Members.Length);
        foreach (IslandMember member in last.Members)
            Assert.Equal(expected[member.Peer], member.Position);
        Oracle.AssertInvariants(last, engine.Options);
        Assert.Empty(engine.Flush().Changes.ToArray());
    }

    /// <summary>Adds, moves and removes peers of its own; returns those that are left, with their last reports.</summary>
    private static Dictionary<PeerHandle, Position> Produce(IslandEngine engine, int seed, CancellationToken stop)
    {
        var random = new Random(seed);
        var peers = new Dictionary<PeerHandle, Position>();
        var order = new List<PeerHandle>();
        Position Anywhere() => new(600 * random.NextSingle(), seed, 600 * random.NextSingle());
        while (!stop.IsCancellationRequested)
        {
            int choice = random.Next(100);
            if (order.Count < 40 && choice < 10)
            {
                Position at = Anywhere();
                PeerHandle added = engine.Add(at);
                peers.Add(added, at);
                order.Add(added);
            }
            else if (order.Count > 0 && choice < 14)
            {
                int i = random.Next(order.Count);
                Assert.True(engine.Remove(order[i]));
                peers.Remove(order[i]);
                order.RemoveAt(i);
            }
            else if (order.Count > 0)
            {
                PeerHandle peer = order[random.Next(order.Count)];
                Position to = choice == 99 ? Anywhere() : peers[peer] with { X = peers[peer].X + random.NextSingle() - 0.5f };
                Assert.True(engine.Move(peer, to));
                peers[peer] = to;
            }
        }
        return peers;
    }
}
