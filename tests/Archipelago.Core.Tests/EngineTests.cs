
namespace Archipelago.Core.Tests;

public class EngineTests
{
    [Fact]
    public void The_readme_sample_does_what_it_says()
    {
        using var engine = new IslandEngine(new IslandOptions { JoinDistance = 64, LeaveDistance = 80, MaxIslandSize = 100 });
        PeerHandle ann = engine.Add(new Position(0, 0, 0));
        PeerHandle bob = engine.Add(new Position(500, 0, 0));
        engine.Move(bob, new Position(10, 0, 0));
        IslandChange[] changes = engine.Flush().Changes.ToArray();
        Assert.Equal([new(ann, IslandId.None, new IslandId(1), IslandChangeCause.Newcomer), new(bob, IslandId.None, new IslandId(1), IslandChangeCause.Newcomer)], changes);
    }

    [Theory]
    [InlineData(float.NaN, 0, 0)]
    [InlineData(0, float.PositiveInfinity, 0)]
    [InlineData(0, 0, float.NegativeInfinity)]
    public void Positions_that_are_not_finite_are_refused_and_change_nothing(float x, float y, float z)
    {
        using var engine = new IslandEngine();
        PeerHandle peer = engine.Add(new Position(1, 2, 3));
        Assert.False(engine.Move(peer, new Position(x, y, z)));
        Assert.Throws<ArgumentException>(() => engine.Add(new Position(x, y, z)));
        engine.Flush();
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        Assert.Equal(new Position(1, 2, 3), Assert.Single(snapshot.Members.ToArray()).Position);
    }

    [Fact]
    public void A_stale_handle_is_refused_even_when_its_slot_lives_again()
    {
        using var engine = new IslandEngine();
        PeerHandle first = engine.Add(default);
        Assert.True(engine.Remove(first));
        Assert.False(engine.Remove(first));
        engine.Flush();
        PeerHandle second = engine.Add(default);
        Assert.Equal(first.Slot, second.Slot);
        Assert.False(engine.Move(first, new Position(900, 0, 0)));
        Assert.False(engine.Prefer(first, new IslandId(1)));
        Assert.False(engine.Remove(first));
        Assert.False(engine.Move(default, default));
        engine.Flush();
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        Assert.False(snapshot.TryFindIsland(first, out _));
        Assert.True(snapshot.TryFindIsland(second, out _));
    }

    [Fact]
    public void A_peer_that_left_and_came_back_is_new()
    {
        using var engine = new IslandEngine();
        PeerHandle stays = engine.Add(default);
        PeerHandle leaves = engine.Add(default);
        engine.Flush();
        engine.Remove(leaves);
        PeerHandle back = engine.Add(default);
        IslandChange change = Assert.Single(engine.Flush().Changes.ToArray());
        Assert.Equal(new IslandChange(back, IslandId.None, new IslandId(1), IslandChangeCause.Newcomer), change);
        Assert.NotEqual(leaves, back);
        Assert.True(engine.Move(stays, default));
    }

    [Fact]
    public void Added_and_removed_before_the_flush_leaves_no_trace()
    {
        using var engine = new IslandEngine();
        engine.Remove(engine.Add(default));
        Assert.Empty(engine.Flush().Changes.ToArray());
        engine.Add(default);
        Assert.Equal(new IslandId(1), Assert.Single(engine.Flush().Changes.ToArray()).To);
    }

    [Fact]
    public void A_second_flush_at_the_same_time_gets_a_clear_error()
    {
        using var engine = new IslandEngine();
        for (int i = 0; i < 20_000; i++)
            engine.Add(new Position(i * 10, 0, 0));
        using var start = new Barrier(2);
        int refused = 0;
        void Flush()
        {
            start.SignalAndWait();
            for (int i = 0; i < 50; i++)
            {
                try
                {
                    engine.Flush();
                }
                catch (InvalidOperationException e)
                {
                    Assert.Contains("one thread at a time", e.Message, StringComparison.Ordinal);
                    Interlocked.Increment(ref refused);
                }
            }
        }
        var other = new Thread(Flush);
        other.Start();
        Flush();
        other.Join();
        Assert.True(refused > 0);
    }

    [Theory]
    [InlineData(0, 80, 100, "JoinDistance")]
    [InlineData(81, 80, 100, "JoinDistance")]
    [InlineData(64, double.NaN, 100, "LeaveDistance")]
    [InlineData(64, 80, 0, "MaxIslandSize")]
    public void Rules_out_of_range_are_refused_by_name(double join, double leave, int cap, string name)
    {
        var rules = new IslandOptions { JoinDistance = join, LeaveDistance = leave, MaxIslandSize = cap };
        Assert.StartsWith(name, Assert.Throws<ArgumentException>(() => new IslandEngine(rules)).Message, StringComparison.Ordinal);
        using var engine = new IslandEngine();
        Assert.Throws<ArgumentException>(() => engine.Options = rules);
        Assert.Equal(64, engine.Options.JoinDistance);
    }

    [Fact]
    public void Thousands_who_arrive_in_one_place_fill_islands_to_the_cap()
    {
        using var world = new CheckedWorld(new IslandOptions { MaxIslandSize = 100 });
        for (int i = 0; i < 1050; i++)
            world.Add(5, 5);
        world.Flush();
        using IslandSnapshot snapshot = world.Engine.AcquireSnapshot();
        Assert.Equal(11, snapshot.Islands.Length);
        world.AssertCalm();
    }

    [Fact]
    public void A_crowd_spread_over_squares_keeps_the_rules_and_is_calm()
    {
        using var world = new CheckedWorld(new IslandOptions { MaxIslandSize = 20 });
        var random = new Random(7);
        for (int i = 0; i < 400; i++)
            world.Add(200 * random.NextSingle(), 200 * random.NextSingle());
        world.Flush();
        world.AssertCalm();
        for (int tick = 0; tick < 20; tick++)
        {
            foreach (PeerHandle peer in world.Peers)
                world.Move(peer, world.PositionOf(peer).X + (6 * (random.NextSingle() - 0.5f)), world.PositionOf(peer).Z + (6 * (random.NextSingle() - 0.5f)));
            world.Flush();
        }
        world.AssertCalm();
    }

    [Fact]
    public void The_ends_of_the_float_range_are_ordinary_places()
    {
        using var world = new CheckedWorld(new IslandOptions());
        const float Far = float.MaxValue;
        foreach (float x in (float[])[-Far, Far, 1e20f, 0])
            foreach (float z in (float[])[-Far, Far, -1e20f, 0])
                for (int twins = 0; twins < 2; twins++)
                    world.Add(x, z);
        world.Flush();
        using IslandSnapshot snapshot = world.Engine.AcquireSnapshot();
        Assert.Equal(16, snapshot.Islands.Length);
        world.AssertCalm();
    }

    [Fact]
    public void A_large_island_is_split_along_its_gaps()
    {
        using var world = new CheckedWorld(new IslandOptions { MaxIslandSize = 500 });
        for (int i = 0; i < 300; i++)
            world.Add(i * 40, i % 7 * 5);
        Assert.All(world.Flush(), c => Assert.Equal(new IslandId(1), c.To));
        world.Move(world.Peers[100], 100 * 40, 4000);
        world.Move(world.Peers[101], 101 * 40, 4000);
        IslandChange[] changes = world.Flush();
        // 0…99 go, 102…299 stay and the two that walked off go together.
        Assert.Equal(102, changes.Length);
        Assert.All(changes, c => Assert.Equal(IslandChangeCause.Split, c.Cause));
        world.AssertCalm();
    }

    [Fact]
    public void A_lease_keeps_its_picture_while_flushes_go_on()
    {
        using var engine = new IslandEngine();
        PeerHandle peer = engine.Add(default);
        engine.Flush();
        engine.PublishSnapshot();
        IslandSnapshot[] leases = new IslandSnapshot[8];
        for (int i = 0; i < leases.Length; i++)
        {
            leases[i] = engine.AcquireSnapshot();
            engine.Move(peer, new Position(i + 1, 0, 0));
            engine.Flush();
            engine.PublishSnapshot();
        }
        for (int i = 0; i < leases.Length; i++)
        {
            Assert.Equal(i + 1, leases[i].Flush);
            Assert.Equal(i, leases[i].Members[0].Position.X);
            leases[i].Dispose();
        }
    }
}
