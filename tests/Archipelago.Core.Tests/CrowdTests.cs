using Archipelago.Core.Internals;
using Archipelago.Core.Internals.Crowds;

namespace Archipelago.Core.Tests;

/// <summary>Crowds larger than an island, cut so that neighbours are together.</summary>
public class CrowdTests
{
    private static IslandOptions Coherent(int cap = 100) => new() { MaxIslandSize = cap, Crowds = CrowdPolicy.Coherent };

    /// <summary>People who come one by one into a square and stay.</summary>
    private static PeerHandle[] Fill(IslandEngine engine, int people, float side, int seed, int perFlush = 5)
    {
        var random = new Random(seed);
        var handles = new PeerHandle[people];
        for (int i = 0; i < people; i++)
        {
            handles[i] = engine.Add(new Position(side * random.NextSingle(), 0, side * random.NextSingle()));
            if (i % perFlush == perFlush - 1)
                engine.Flush();
        }
        return handles;
    }

    private static RecallFigures Recall(IslandEngine engine)
    {
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        return new NeighbourRecall().Sample(snapshot, snapshot.Members.Length);
    }

    [Theory]
    [InlineData(300, 150)]
    [InlineData(1000, 250)]
    [InlineData(500, 70)]
    public void In_a_crowd_that_stands_most_neighbours_are_together_and_it_comes_to_rest(int people, int side)
    {
        using var plain = new IslandEngine();
        using var coherent = new IslandEngine(Coherent());
        Fill(plain, people, side, seed: 1);
        Fill(coherent, people, side, seed: 1);
        int lastMove = 0;
        for (int flush = 1; flush <= 600; flush++)
        {
            plain.Flush();
            if (coherent.Flush().Changes.Length > 0)
                lastMove = flush;
        }
        RecallFigures before = Recall(plain), after = Recall(coherent);
        Assert.InRange(before.Mean, 0, 0.45);
        Assert.InRange(after.Mean, 0.6, 1);
        Assert.InRange(lastMove, 0, 150);
    }

    [Fact]
    public void No_move_lowers_the_potential_while_nobody_walks()
    {
        using var engine = new IslandEngine(new IslandOptions { MaxIslandSize = 30 });
        Fill(engine, 200, 120, seed: 2);
        engine.Options = Coherent(30);
        int moves = 0;
        double before = double.NaN;
        for (int flush = 0; flush < 200; flush++)
        {
            IslandChange[] changes = engine.Flush().Changes.ToArray();
            double potential = engine.CrowdPotential;
            // A cut makes room; what it costs is not the repair's.
            if (changes.Length < 20)
            {
                Assert.All(changes, c => Assert.Equal(IslandChangeCause.Crowd, c.Cause));
                if (!double.IsNaN(before))
                    Assert.True(potential >= before + (CrowdState.LeastGain * changes.Length) - 1e-6, $"{changes.Length} moves took the potential from {before} to {potential}");
                moves += changes.Length;
            }
            before = potential;
        }
        Assert.InRange(moves, 10, 2000);
    }

    [Fact]
    public void A_newcomer_goes_to_its_neighbours_rather_than_to_the_larger_island()
    {
        foreach (bool newcomersOnly in (bool[])[false, true])
        {
            using var world = new CheckedWorld(Coherent(10));
            for (int i = 0; i < 6; i++)
                world.Add(i, 0);
            PeerHandle near = world.Add(100, 0);
            for (int i = 1; i < 5; i++)
                world.Add(100 + i, 0);
            world.Flush();
            IslandId few = world.Announced[near];
            PeerHandle comes = world.Add(61, 0);
            IslandChange change = Assert.Single(newcomersOnly ? world.FlushNewcomers() : world.Flush());
            Assert.Equal((comes, few), (change.Peer, change.To));
        }
    }

    [Fact]
    public void Who_prefers_an_island_is_drawn_to_it_but_does_not_push_anybody_out()
    {
        using var world = new CheckedWorld(Coherent(20));
        for (int i = 0; i < 20; i++)
            world.Add(i % 5, i / 5);
        world.Flush();
        PeerHandle[] full = [.. world.Peers];
        IslandId wanted = world.Announced[full[0]];
        PeerHandle[] others = [.. Enumerable.Range(0, 12).Select(i => world.Add(2 + (i % 4), 6 + (i / 4), wanted))];
        for (int flush = 0; flush < 60; flush++)
            world.Flush();
        Assert.Equal(20, world.Announced.Values.Count(i => i == wanted));
        world.Remove(full[7]);
        for (int flush = 0; flush < 60; flush++)
            world.Flush();
        Assert.Contains(others, o => world.Announced[o] == wanted);
    }

    [Fact]
    public void Two_crowds_that_meet_and_part_keep_the_rules()
    {
        using var world = new CheckedWorld(Coherent(30));
        var random = new Random(5);
        for (int i = 0; i < 54; i++)
            world.Add((i % 2 * 200) + (60 * random.NextSingle()), 60 * random.NextSingle());
        for (int tick = 0; tick < 120; tick++)
        {
            foreach (PeerHandle peer in world.Peers)
            {
                Position at = world.PositionOf(peer);
                float way = peer.Slot % 2 == 0 ? 0 : tick < 40 ? -5 : tick > 80 ? 5 : 0;
                world.Move(peer, at.X + way + random.NextSingle() - 0.5f, at.Z + random.NextSingle() - 0.5f);
            }
            world.Flush();
        }
        world.Settle();
    }

    [Fact]
    public void Arrivals_and_departures_around_the_cap_move_few()
    {
        using var world = new CheckedWorld(Coherent());
        var random = new Random(6);
        int moved = 0;
        for (int tick = 0; tick < 450; tick++)
        {
            if (world.Peers.Count < 106 && random.Next(2) == 0)
                world.Add(60 * random.NextSingle(), 60 * random.NextSingle());
            else if (world.Peers.Count > 95)
                world.Remove(world.Peers[random.Next(world.Peers.Count)]);
            moved += world.Flush().Count(c => !c.From.IsNone);
        }
        // A quarter of an hour with a hundred people in it.
        Assert.InRange(moved, 0, 3 * 100);
    }

    /// <summary>Circles may stand a radius from their owners, on both sides: an island that shrinks has to look that far for those who fit now.</summary>
    [Fact]
    public void Who_fits_with_an_island_that_has_shrunk_is_met_though_both_walk_within_their_circles()
    {
        using var world = new CheckedWorld(Coherent(10));
        PeerHandle[] nine = [.. Enumerable.Range(0, 9).Select(i => world.Add(10000 + (i * 0.5f), 0))];
        PeerHandle[] two = [.. Enumerable.Range(0, 2).Select(i => world.Add(20000, i))];
        PeerHandle[] eight = [.. Enumerable.Range(0, 8).Select(i => world.Add(30000, i))];
        world.Flush();
        void Put(PeerHandle[] who, float x)
        {
            for (int i = 0; i < who.Length; i++)
                world.Move(who[i], x, i * 0.25f);
        }
        Put(nine, -112);
        Put(two, 0);
        Put(eight, -212);
        world.Flush();
        Put(nine, -143);
        Put(two, 31);
        world.Move(nine[8], -205, 1);
        bool moved = false;
        for (int flush = 0; flush < 20; flush++)
            moved |= world.Flush().Any(c => c.Peer == nine[8]);
        Assert.True(moved);
        Put(nine[..8], -81);
        Put(two, -31);
        world.Flush();
    }

    [Fact]
    public void An_island_above_a_lowered_cap_gets_nobody()
    {
        for (int seed = 0; seed < 25; seed++)
        {
            var random = new Random(seed);
            using var world = new CheckedWorld(Coherent(random.Next(10, 30)) with { CrowdMovesPerFlush = 1 });
            float side = 60 + (60 * random.Next(4));
            for (int tick = 0; tick < 60; tick++)
            {
                for (int i = random.Next(8); i > 0 && world.Peers.Count < 110; i--)
                    world.Add(side * random.NextSingle(), side * random.NextSingle());
                foreach (PeerHandle peer in world.Peers)
                    world.Move(peer, world.PositionOf(peer).X + (3 * (random.NextSingle() - 0.5f)), world.PositionOf(peer).Z + (3 * (random.NextSingle() - 0.5f)));
                if (random.Next(8) == 0)
                    world.SetRules(world.Engine.Options with { MaxIslandSize = random.Next(2, 30), JoinDistance = random.Next(20, 80), Crowds = random.Next(4) == 0 ? CrowdPolicy.Plain : CrowdPolicy.Coherent });
                world.Flush();
            }
        }
    }

    [Fact]
    public void Ten_thousand_in_one_point_are_looked_at_a_few_at_a_time()
    {
        using var engine = new IslandEngine(Coherent());
        for (int i = 0; i < 10_030; i++)
            engine.Add(new Position(5, 0, 5));
        long looks = 0;
        for (int flush = 0; flush < 200; flush++)
        {
            int changes = engine.Flush().Changes.Length;
            Assert.True(flush < 3 || changes == 0);
            looks += engine.CrowdLooks;
        }
        // Each look costs what stands around: together not more than some hundred comparisons a member and flush.
        Assert.InRange(looks, 1, 200 * 10_030 / 100);
    }

    [Fact]
    public void Where_nobody_may_be_moved_nobody_is()
    {
        using var engine = new IslandEngine(Coherent() with { CrowdMovesPerFlush = 0 });
        Fill(engine, 400, 120, seed: 4);
        for (int flush = 0; flush < 60; flush++)
            Assert.DoesNotContain(engine.Flush().Changes.ToArray(), c => c.Cause == IslandChangeCause.Crowd);
    }

    [Fact]
    public void A_large_island_does_not_give_half_of_itself_to_a_smaller_one()
    {
        using var engine = new IslandEngine(Coherent(2000));
        var random = new Random(1);
        for (int i = 0; i < 1900; i++)
            engine.Add(new Position(200 * random.NextSingle(), 0, 300 * random.NextSingle()));
        var group = new List<PeerHandle>();
        for (int i = 0; i < 400; i++)
            group.Add(engine.Add(new Position(1000 + (40 * random.NextSingle()), 0, 300 * random.NextSingle())));
        engine.Flush();
        foreach (PeerHandle peer in group)
            engine.Move(peer, new Position(205 + (40 * random.NextSingle()), 0, 300 * random.NextSingle()));
        int moved = 0;
        for (int flush = 0; flush < 200; flush++)
            moved += engine.Flush().Changes.Length;
        Assert.InRange(moved, 0, 250);
        Assert.InRange(Recall(engine).Mean, 0.95, 1);
    }

    [Fact]
    public void The_bonds_of_a_person_are_those_of_all_pairs()
    {
        foreach (float side in (float[])[30, 150, 600, 1e9f])
        {
            var world = new World();
            var random = new Random(7);
            world.EnsureCapacity(400);
            world.Map.EnsureSlots(400);
            int[] islands = new int[8];
            for (int slot = 0; slot < 400; slot++)
            {
                int body = world.Embody(slot, new Point(side * (random.NextSingle() - 0.5f), side * random.NextSingle()));
                if (slot < islands.Length)
                    islands[slot] = world.CreateIsland(body);
                else
                    world.Append(islands[random.Next(islands.Length)], body);
            }
            var grid = new CrowdGrid();
            grid.Build(world, islands, 64);
            Assert.Equal(400, grid.Count);
            for (int member = 0; member < grid.Count; member++)
            {
                int[] expected = new int[islands.Length];
                for (int other = 0; other < grid.Count; other++)
                {
                    Assert.Equal(grid.BondOf(member, other), grid.BondOf(other, member));
                    expected[grid.IslandOf(other)] += other == member ? 0 : grid.BondOf(member, other);
                }
                grid.Weigh(member);
                for (int island = 0; island < islands.Length; island++)
                    Assert.Equal(expected[island], grid.Met.Contains(island) ? grid.WeightOf(island) : 0);
                int nearest = grid.NearestOf(member, 3, -1, 64);
                double least = Enumerable.Range(0, grid.Count).Where(o => o != member && grid.IslandOf(o) == 3).Min(o => grid.PlaceOf(o).SquaredDistance(grid.PlaceOf(member)));
                Assert.Equal(least <= 64 * 64, nearest >= 0);
                if (nearest >= 0)
                    Assert.Equal(least, grid.PlaceOf(nearest).SquaredDistance(grid.PlaceOf(member)));
            }
        }
    }

    [Fact]
    public void A_member_can_go_exactly_when_the_others_hold_together_without_it()
    {
        var random = new Random(8);
        var trees = new TreeBuilder();
        int could = 0, tried = 0;
        for (int round = 0; round < 400; round++)
        {
            var world = new World();
            int count = random.Next(2, 14);
            world.EnsureCapacity(count);
            world.Map.EnsureSlots(count);
            var bodies = new List<int>();
            var places = new List<Position>();
            while (bodies.Count < count)
            {
                // Each within reach of one before, so that the island is connected.
                Position near = places.Count == 0 ? default : places[random.Next(places.Count)];
                float angle = 2 * MathF.PI * random.NextSingle(), way = 45 + (34 * random.NextSingle());
                var place = new Position(near.X + (way * MathF.Cos(angle)), 0, near.Z + (way * MathF.Sin(angle)));
                places.Add(place);
                bodies.Add(world.Embody(bodies.Count, new Point(place.X, place.Z)));
                if (bodies.Count == 1)
                    world.CreateIsland(bodies[0]);
                else
                    world.Append(world.Bodies[bodies[0]].Island, bodies[^1]);
            }
            Assert.Equal(1, trees.Build(world, bodies.ToArray(), 80));
            int goes = random.Next(count);
            bool connected = Oracle.Components([.. places.Where((_, i) => i != goes)], 80).Count <= 1;
            Assert.Equal(connected, CrowdTrees.TryFree(world, bodies[goes], 80));
            tried++;
            could += connected ? 1 : 0;
            foreach (int body in bodies)
            {
                int root = body, steps = 0;
                for (; world.Bonds[root].Parent >= 0; root = world.Bonds[root].Parent)
                {
                    Assert.True(world.At(root).SquaredDistance(world.At(world.Bonds[root].Parent)) <= 80 * 80);
                    Assert.True(steps++ < count, "the tree has a circle");
                }
                if (connected && body != bodies[goes])
                    Assert.NotEqual(bodies[goes], world.Bonds[body].Parent);
            }
        }
        Assert.InRange(could, tried / 10, tried * 9 / 10);
    }

    [Fact]
    public void Recall_is_that_of_going_through_everybody()
    {
        using var engine = new IslandEngine(new IslandOptions { MaxIslandSize = 20 });
        Fill(engine, 150, 200, seed: 9);
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        IslandMember[] members = snapshot.Members.ToArray();
        float[] measured = new float[members.Length];
        var recall = new NeighbourRecall();
        recall.Measure(snapshot, measured);
        for (int i = 0; i < members.Length; i++)
        {
            Position at = members[i].Position;
            double Apart(Position other) => Math.Pow((double)other.X - at.X, 2) + Math.Pow((double)other.Z - at.Z, 2);
            IslandMember[] nearest = [.. members.Where((_, j) => j != i).Where(m => Apart(m.Position) <= 64 * 64).OrderBy(m => Apart(m.Position)).Take(NeighbourRecall.Nearest)];
            Assert.True(snapshot.TryFindIsland(members[i].Peer, out IslandInfo own));
            float expected = nearest.Length == 0 ? float.NaN : (float)nearest.Count(m => snapshot.TryFindIsland(m.Peer, out IslandInfo island) && island.Id == own.Id) / nearest.Length;
            Assert.Equal(expected, measured[i]);
        }
        RecallFigures figures = recall.Sample(snapshot, members.Length);
        Assert.Equal(measured.Where(float.IsFinite).Average(m => (double)m), figures.Mean, 6);
        Assert.Equal(measured.Where(float.IsFinite).Order().Take(figures.People / 10).Average(m => (double)m), figures.LowestTenth, 6);
    }

    [Fact]
    public void A_policy_that_does_not_exist_and_a_rate_out_of_range_are_refused()
    {
        Assert.Contains("Crowds is 7", Assert.Throws<ArgumentException>(() => new IslandEngine(new IslandOptions { Crowds = (CrowdPolicy)7 })).Message, StringComparison.Ordinal);
        foreach (double rate in (double[])[-0.1, 1.1, double.NaN])
            Assert.Contains("CrowdMovesPerFlush", Assert.Throws<ArgumentException>(() => new IslandEngine(new IslandOptions { CrowdMovesPerFlush = rate })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_policy_may_change_between_flushes()
    {
        using var world = new CheckedWorld(new IslandOptions { MaxIslandSize = 20 });
        var random = new Random(10);
        for (int i = 0; i < 90; i++)
        {
            world.Add(100 * random.NextSingle(), 100 * random.NextSingle());
            world.Flush();
        }
        world.AssertCalm();
        double plain = Recall(world.Engine).Mean;
        world.SetRules(Coherent(20));
        world.Settle();
        double coherent = Recall(world.Engine).Mean;
        world.SetRules(new IslandOptions { MaxIslandSize = 20 });
        world.AssertCalm();
        Assert.InRange(coherent, plain + 0.1, 1);
    }
}
