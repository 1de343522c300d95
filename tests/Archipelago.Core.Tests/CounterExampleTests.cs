using Archipelago.Core.Internals;

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

    /// <summary>Islands that wait to be looked at, and are gone before they are, while bodies and islands are numbered anew more than once.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Islands_that_go_between_flushes_of_everybody_are_forgotten(int seed)
    {
        using var world = new CheckedWorld(new IslandOptions());
        var random = new Random(seed);
        for (int round = 0; round < 60; round++)
        {
            for (int i = random.Next(12); i > 0; i--)
                world.Add(5000 * random.NextSingle(), 200 * random.NextSingle());
            for (int i = random.Next(12); i > 0 && world.Peers.Count > 0; i--)
                world.Remove(world.Peers[random.Next(world.Peers.Count)]);
            world.FlushNewcomers();
        }
        world.Flush();
        world.AssertCalm();
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
        Interleaving.Stepping = step =>
        {
            if (step != PeerTable.FlagsCleared)
                return;
            Interleaving.Stepping = null;
            for (int i = 0; i < 200; i++)
            {
                late.Add(engine.Add(new Position(i, 0, 0)));
                engine.Move(late[^1], new Position(i + 1, 0, 0));
            }
        };
        engine.Move(first, new Position(1, 0, 0));
        engine.Flush();
        Interleaving.Stepping = null;
        // Steps are told in debug builds alone.
        Assert.Equal(late.Count, engine.Flush().Changes.ToArray().Count(c => c.From.IsNone));
    }

    [Theory]
    [InlineData(300)]
    [InlineData(1500)]
    public void Who_is_with_whom_in_a_sudden_crowd_does_not_depend_on_what_came_before(int people)
    {
        // The same people in the same order and the same last reports; one world has seen them wander about in between, and its departures in another order.
        static Dictionary<int, IslandId> Run(int people, bool wandering)
        {
            using var engine = new IslandEngine();
            var random = new Random(7);
            Position Spread() => new(100_000 * random.NextSingle(), 0, 100_000 * random.NextSingle());
            PeerHandle[] handles = [.. Enumerable.Range(0, people).Select(_ => engine.Add(Spread()))];
            engine.Flush();
            int[] leaving = [.. Enumerable.Range(0, 40)];
            foreach (int i in wandering ? leaving.Reverse() : leaving)
                engine.Remove(handles[i]);
            engine.Flush();
            for (int i = 0; i < leaving.Length; i++)
                handles[i] = engine.Add(Spread());
            var wander = new Random(8);
            for (int round = 0; wandering && round < 12; round++)
            {
                foreach (PeerHandle peer in handles)
                    engine.Move(peer, new Position(100_000 * wander.NextSingle(), 0, 100_000 * wander.NextSingle()));
                engine.FlushNewcomers();
            }
            if (!wandering)
                engine.FlushNewcomers();
            foreach (PeerHandle peer in handles)
                engine.Move(peer, new Position(7 * random.NextSingle(), 0, 11 * random.NextSingle()));
            engine.Flush();
            engine.PublishSnapshot();
            using IslandSnapshot snapshot = engine.AcquireSnapshot();
            Oracle.AssertInvariants(snapshot, engine.Options);
            return handles.Select((peer, i) => (i, snapshot.TryFindIsland(peer, out IslandInfo island) ? island.Id : default)).ToDictionary();
        }
        Assert.Equal(Run(people, wandering: false), Run(people, wandering: true));
    }

    [Fact]
    public void A_restored_world_with_many_waiting_goes_on()
    {
        using var engine = new IslandEngine();
        for (int i = 0; i < 8; i++)
            engine.Add(new Position(1000 * i, 0, 0));
        engine.Flush();
        for (int i = 0; i < 20; i++)
            engine.Add(new Position(1000 * i, 0, 10));
        var saved = new System.Buffers.ArrayBufferWriter<byte>();
        engine.Save(saved);
        using IslandEngine restored = IslandEngine.Restore(saved.WrittenSpan);
        Assert.Equal(20, restored.Flush().Changes.Length);
        Assert.Empty(restored.Flush().Changes.ToArray());
    }

    [Fact]
    public void Members_are_read_where_the_engine_keeps_them()
    {
        using var engine = new IslandEngine();
        PeerHandle ann = engine.Add(new Position(0, 5, 0)), bob = engine.Add(new Position(10, 6, 0)), far = engine.Add(new Position(5000, 0, 0));
        Assert.True(engine.HasNewcomers);
        Assert.Equal(0, engine.MembersOf(ann).Count);
        engine.FlushNewcomers();
        Assert.False(engine.HasNewcomers);
        IslandMembers members = engine.MembersOf(bob);
        var seen = new Dictionary<PeerHandle, Position>();
        foreach (IslandMember member in members)
            seen.Add(member.Peer, member.Position);
        Assert.Equal(new() { [ann] = new Position(0, 5, 0), [bob] = new Position(10, 6, 0) }, seen);
        Assert.Equal(2, members.Count);
        Assert.Equal(1, engine.MembersOf(far).Count);
        Assert.NotEqual(members.Island, engine.MembersOf(far).Island);
        engine.Remove(far);
        engine.Flush();
        Assert.Equal(IslandId.None, engine.MembersOf(far).Island);
        Assert.Equal(IslandId.None, engine.MembersOf(new PeerHandle(-5, 1)).Island);
    }

    /// <summary>Where squared distances leave the range of single precision, or lose their digits in it, nothing may be decided by them.</summary>
    [Theory]
    [InlineData(1e-22, 1e-22, 4e-22)]
    [InlineData(4e-23, 1e-22, 4e-22)]
    [InlineData(1e-30, 2e-30, 4e-30)]
    [InlineData(1e-44, 1e-44, 4e-44)]
    [InlineData(8e-16, 1e-15, 4e-15)]
    [InlineData(5e19, 1e20, 2.5e20)]
    [InlineData(1.8e19, 1.9e19, 6e19)]
    [InlineData(1e38, 2e38, 6e38)]
    [InlineData(1e100, 1e200, 6e38)]
    public void At_the_ends_of_the_range_of_floats_the_rules_hold(double join, double leave, double side)
    {
        for (int seed = 0; seed < 12; seed++)
        {
            var random = new Random(seed);
            using var world = new CheckedWorld(new IslandOptions { JoinDistance = join, LeaveDistance = leave, MaxIslandSize = random.Next(2) == 0 ? 4 : 50 });
            float Anywhere(double within) => (float)((random.NextDouble() - 0.5) * within);
            for (int i = 0; i < 14; i++)
                world.Add(Anywhere(side), Anywhere(side));
            for (int tick = 0; tick < 20; tick++)
            {
                world.Flush();
                foreach (PeerHandle peer in world.Peers)
                {
                    if (random.Next(2) == 0)
                        continue;
                    Position at = world.PositionOf(peer);
                    float x = at.X + Anywhere(join < 1 ? join / 2 : side / 8), z = at.Z + Anywhere(join < 1 ? join / 2 : side / 8);
                    if (float.IsFinite(x) && float.IsFinite(z))
                        world.Move(peer, x, z);
                }
                if (random.Next(3) == 0 && world.Peers.Count > 4)
                    world.Remove(world.Peers[random.Next(world.Peers.Count)]);
                if (random.Next(3) == 0)
                    world.Add(Anywhere(side), Anywhere(side));
            }
        }
    }

    [Fact]
    public void An_edge_that_is_too_long_by_less_than_the_smallest_float_breaks()
    {
        double unit = Math.Pow(2, -149), leave = Math.Sqrt(7.6 * unit);
        using var world = new CheckedWorld(new IslandOptions { JoinDistance = leave, LeaveDistance = leave });
        PeerHandle a = world.Add(0, 0), b = world.Add(0, 0);
        world.Flush();
        world.Move(b, (float)Math.Sqrt(3.49 * unit), (float)Math.Sqrt(4.49 * unit));
        world.Flush();
        Assert.NotEqual(world.Announced[a], world.Announced[b]);
    }

    [Fact]
    public void Who_leaves_a_circle_by_less_than_the_smallest_float_has_left_it()
    {
        double unit = Math.Sqrt(Math.Pow(2, -149)), join = 1e-22, radius = join / 2 * 0.99999;
        double dx = 0.7, dz = 1.22, length = Math.Sqrt((dx * dx) + (dz * dz)), apart = join + (2 * radius * 1.001);
        using var world = new CheckedWorld(new IslandOptions { JoinDistance = join, LeaveDistance = join });
        PeerHandle a = world.Add(0, 0), b = world.Add((float)(dx / length * apart), (float)(dz / length * apart));
        world.Flush();
        world.Move(a, (float)(0.699 * unit), (float)(1.219 * unit));
        world.Move(b, (float)((dx / length * apart) - (0.699 * unit)), (float)((dz / length * apart) - (1.219 * unit)));
        world.Flush();
        Assert.Equal(world.Announced[a], world.Announced[b]);
    }
}
