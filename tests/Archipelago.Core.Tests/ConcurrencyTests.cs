using Archipelago.Core.Internals;

namespace Archipelago.Core.Tests;

/// <summary>Interleavings that are forced, not hoped for, and a soak that is audited at its end.</summary>
/// <remarks>A slot that was given up serves again once nobody in the process is inside a report, so two loads at once would be in each other's way.</remarks>
[Collection("Heavy producers")]
public class ConcurrencyTests
{
#if DEBUG
    /// <summary>
    /// A producer is stopped between checking its handle and writing. Meanwhile the peer is removed, flushed away and others are added; when the
    /// producer goes on, it must hit none of them. Without waiting for producers (<see cref="Producers"/>) the slot is reused, and this test fails.
    /// </summary>
    [Fact]
    public void A_report_that_was_overtaken_by_a_removal_never_lands_in_a_successor()
    {
        using var engine = new IslandEngine();
        PeerHandle old = engine.Add(default);
        engine.Flush();
        using var checkedHandle = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        engine.Table.TestHook = point =>
        {
            if (point != PeerTable.TestPoint.BeforeReport || Thread.CurrentThread.Name != "stopped producer")
                return;
            checkedHandle.Set();
            goOn.Wait();
        };
        var producer = new Thread(() => engine.Move(old, new Position(999, 999, 999))) { Name = "stopped producer" };
        producer.Start();
        checkedHandle.Wait();

        engine.Remove(old);
        var later = new List<PeerHandle>();
        for (int i = 0; i < 3; i++)
        {
            engine.Flush();
            later.Add(engine.Add(new Position(i, 0, 0)));
        }
        engine.Flush();
        Assert.DoesNotContain(later, p => p.Slot == old.Slot);
        goOn.Set();
        producer.Join();

        engine.Flush();
        engine.PublishSnapshot();
        using (IslandSnapshot snapshot = engine.AcquireSnapshot())
            Assert.Equal([0f, 1f, 2f], snapshot.Members.ToArray().Select(m => m.Position.X).Order());
        // Once nobody can be on the way into it, the slot serves again.
        Assert.Equal(old.Slot, engine.Add(default).Slot);
    }

    /// <summary>A report that comes between the clearing of its flag and the reading of its place is seen now or at the next flush, never lost.</summary>
    [Fact]
    public void A_report_in_the_middle_of_the_intake_is_never_lost()
    {
        using var engine = new IslandEngine();
        PeerHandle peer = engine.Add(default);
        engine.Flush();
        float last = 0;
        engine.Table.TestHook = point =>
        {
            if (point == PeerTable.TestPoint.FlagsCleared)
                engine.Move(peer, new Position(++last, 0, 0));
        };
        for (int i = 0; i < 10; i++)
        {
            engine.Move(peer, new Position(++last, 0, 0));
            engine.Flush();
        }
        engine.Table.TestHook = null;
        engine.Flush();
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        Assert.Equal(last, snapshot.Members[0].Position.X);
    }
#endif

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
