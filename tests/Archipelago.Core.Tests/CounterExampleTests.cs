namespace Archipelago.Core.Tests;

/// <summary>Worlds in which the engine once was, or could be, wrong.</summary>
public class CounterExampleTests
{
    /// <summary>Circles shrink to nothing around C and E; exactly the join distance must still count as near.</summary>
    [Fact]
    public void Exactly_the_join_distance_is_near_also_between_circles_of_no_size()
    {
        using var world = new CheckedWorld(new IslandOptions());
        world.Add(-128, 1e-6f);
        world.Add(-64, 0);
        world.Add(1e-6f, -64);
        world.Add(0, 0);
        world.Flush();
        using var other = new CheckedWorld(new IslandOptions());
        foreach (float x in (float[])[-5, 0, 69, 64])
            other.Add(x, 0);
        other.Flush();
    }

    /// <summary>A newcomer cuts P's circle down while P stands outside the rest; another newcomer must find P where it is.</summary>
    [Fact]
    public void Newcomers_find_somebody_whose_circle_another_newcomer_has_cut_down()
    {
        using var world = new CheckedWorld(new IslandOptions());
        PeerHandle p = world.Add(0, 0);
        world.Add(105, -68);
        world.Flush();
        world.Move(p, 30, 0);
        world.Add(-40, 0);
        world.Add(93, 0);
        world.FlushNewcomers();
        world.Flush();
    }

    [Fact]
    public void Newcomers_find_those_who_were_restored()
    {
        using var engine = new IslandEngine();
        engine.Add(default);
        engine.Flush();
        var buffer = new System.Buffers.ArrayBufferWriter<byte>();
        engine.Save(buffer);
        using IslandEngine restored = IslandEngine.Restore(buffer.WrittenSpan);
        restored.Add(new Position(1, 0, 0));
        Assert.Equal(new IslandId(1), Assert.Single(restored.FlushNewcomers().Changes.ToArray()).To);
        Assert.Empty(restored.Flush().Changes.ToArray());
    }

    [Fact]
    public void Rules_given_after_a_first_flush_of_newcomers_hold_from_the_next_flush()
    {
        using var world = new CheckedWorld(new IslandOptions { MaxIslandSize = 2 });
        for (int i = 0; i < 4; i++)
            world.Add(i, 0);
        world.FlushNewcomers();
        world.SetRules(new IslandOptions());
        Assert.Single(world.Announced.Values.Distinct());
    }

    [Fact]
    public void Who_merges_into_an_island_of_newcomers_is_told_a_merge()
    {
        using var world = new CheckedWorld(new IslandOptions());
        world.Add(0, 0);
        world.Flush();
        for (int i = 0; i < 10; i++)
            world.Add(30, i);
        IslandChange change = Assert.Single(world.Flush(), c => !c.From.IsNone);
        Assert.Equal(IslandChangeCause.Merge, change.Cause);
    }

    /// <summary>Everybody teleports to one place, each from an island of its own: a contact each with all others, were all looked for at once.</summary>
    [Theory]
    [InlineData(100)]
    [InlineData(100_000)]
    public void Thousands_who_meet_at_one_place_from_everywhere_do_not_multiply(int cap)
    {
        using var engine = new IslandEngine(new IslandOptions { MaxIslandSize = cap });
        PeerHandle[] peers = [.. Enumerable.Range(0, 5000).Select(i => engine.Add(new Position(1000 * i, 0, 0), new IslandId(i + 1)))];
        Assert.Equal(5000, engine.Flush().IslandCount);
        foreach (PeerHandle peer in peers)
            engine.Move(peer, default);
        Assert.Equal((5000 + cap - 1) / cap, engine.Flush().IslandCount);
    }

    /// <summary>Adding while the intake runs must not reach beyond the tables that the flush has prepared.</summary>
    [Fact]
    public void Peers_added_and_moved_while_a_flush_runs_wait_for_the_next()
    {
        using var engine = new IslandEngine();
        PeerHandle first = engine.Add(default);
        engine.Flush();
        var late = new List<PeerHandle>();
        engine.Table.TestHook = point =>
        {
            if (point != Internals.PeerTable.TestPoint.FlagsCleared || late.Count > 0)
                return;
            for (int i = 0; i < 200; i++)
            {
                late.Add(engine.Add(new Position(i, 0, 0)));
                engine.Table.TestHook = null;
                engine.Move(late[^1], new Position(i + 1, 0, 0));
            }
        };
        engine.Move(first, new Position(1, 0, 0));
        engine.Flush();
        // The hook is there in debug builds alone.
        Assert.Equal(late.Count, engine.Flush().Changes.ToArray().Count(c => c.From.IsNone));
    }
}
