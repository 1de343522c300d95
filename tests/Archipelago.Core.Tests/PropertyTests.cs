using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Archipelago.Core.Tests;

/// <summary>Random worlds against the oracle. A failure prints the seed and a shrunk script of operations.</summary>
public class PropertyTests
{
    /// <summary>One thing that happens to a world; a script is a list of them, so that a failure shrinks to the few that matter.</summary>
    public abstract record Step
    {
        public sealed record Arrive(int Count, float X, float Z, float Spread, int Wish) : Step;

        public sealed record Walk(int Seed, float Length) : Step;

        public sealed record Teleport(int Who, float X, float Z) : Step;

        public sealed record Leave(int Who) : Step;

        public sealed record Rules(int Cap, float Join) : Step;

        public sealed record Flush : Step;

        public sealed record FlushNewcomers : Step;
    }

    public static class Arbitraries
    {
        private static readonly float[] Exact = [0, 64, MathF.BitIncrement(64), 80, MathF.BitIncrement(80), 45, 113, 160, -64, -80];

        private static Gen<float> Place =>
            Gen.Frequency(
                (4, Gen.Choose(-400, 400).Select(v => v / 2f)),
                (2, Gen.Elements(Exact)),
                (1, Gen.Elements(1e6f, -1e6f, 1e6f + 64, float.MaxValue, float.MinValue)));

        public static Arbitrary<Step> Steps() => Arb.From(Gen.Frequency(
            (4, from n in Gen.Choose(1, 12)
                from x in Place
                from z in Place
                from spread in Gen.Elements(0f, 1f, 30f, 90f, 300f)
                from wish in Gen.Choose(0, 6)
                select (Step)new Step.Arrive(n, x, z, spread, wish)),
            (4, from seed in Gen.Choose(0, 1_000_000)
                from length in Gen.Elements(0.5f, 6f, 40f, 120f)
                select (Step)new Step.Walk(seed, length)),
            (2, from who in Gen.Choose(0, 200) from x in Place from z in Place select (Step)new Step.Teleport(who, x, z)),
            (2, Gen.Choose(0, 200).Select(who => (Step)new Step.Leave(who))),
            (1, from cap in Gen.Elements(1, 2, 3, 5, 10, 100, 200)
                from near in Gen.Elements(30f, 64f, 80f)
                select (Step)new Step.Rules(cap, near)),
            (4, Gen.Constant((Step)new Step.Flush())),
            (2, Gen.Constant((Step)new Step.FlushNewcomers()))));
    }

    [Property(Arbitrary = [typeof(Arbitraries)], MaxTest = 500, EndSize = 60)]
    public void Whatever_happens_the_rules_hold(PositiveInt cap, Step[] script)
    {
        using var world = new CheckedWorld(new IslandOptions { MaxIslandSize = 1 + (cap.Get % 200) });
        Run(world, script);
        world.Flush();
        world.AssertCalm();
    }

    [Property(Arbitrary = [typeof(Arbitraries)], MaxTest = 500, EndSize = 60)]
    public void Whatever_happens_the_rules_hold_where_crowds_are_kept_together(PositiveInt cap, Step[] script)
    {
        using var world = new CheckedWorld(new IslandOptions { MaxIslandSize = 1 + (cap.Get % 20), Crowds = CrowdPolicy.Coherent, CrowdMovesPerFlush = 1 });
        Run(world, script);
        world.Flush();
        world.Settle();
    }

    [Property(Arbitrary = [typeof(Arbitraries)], MaxTest = 300, EndSize = 60)]
    public void Where_everybody_who_is_near_fits_together_both_policies_are_the_same(Step[] script)
    {
        const int Enough = 1000;
        script = [.. script.Where(s => s is not Step.Rules)];
        Assert.Equal(Outcome(script, null, new IslandOptions { MaxIslandSize = Enough }), Outcome(script, null, new IslandOptions { MaxIslandSize = Enough, Crowds = CrowdPolicy.Coherent }));
    }

    [Property(Arbitrary = [typeof(Arbitraries)], MaxTest = 100, EndSize = 40)]
    public void The_order_of_reports_does_not_matter(Step[] script, int seed)
    {
        foreach (CrowdPolicy policy in Enum.GetValues<CrowdPolicy>())
        {
            var rules = new IslandOptions { MaxIslandSize = 5, Crowds = policy, CrowdMovesPerFlush = 1 };
            Assert.Equal(Outcome(script, null, rules), Outcome(script, new Random(seed), rules));
        }
    }

    /// <summary>Long walks: circles are left, cut down and drawn anew many thousand times, and the oracle must never find what the engine missed.</summary>
    [Theory]
    [InlineData(1, 150, 600, 6f, 100)]
    [InlineData(2, 150, 600, 6f, 5)]
    [InlineData(3, 150, 1500, 1.5f, 3)]
    [InlineData(4, 120, 300, 20f, 10)]
    [InlineData(5, 200, 400, 3f, 200)]
    [InlineData(6, 60, 200, 0.2f, 2)]
    [InlineData(7, 60, 150, 8f, 2)]
    [InlineData(8, 100, 200, 3f, 7)]
    [InlineData(9, 200, 150, 2f, 20, true)]
    [InlineData(10, 200, 100, 6f, 11, true)]
    [InlineData(11, 150, 250, 4f, 6, true)]
    [InlineData(12, 150, 600, 6f, 5, true)]
    [InlineData(13, 120, 60, 1f, 40, true)]
    [InlineData(14, 150, 150, 20f, 3, true)]
    public void Hundreds_of_ticks_of_walking_keep_the_rules(int seed, int people, int side, float step, int cap, bool coherent = false)
    {
        using var world = new CheckedWorld(new IslandOptions { MaxIslandSize = cap, Crowds = coherent ? CrowdPolicy.Coherent : CrowdPolicy.Plain, CrowdMovesPerFlush = 1 });
        var random = new Random(seed);
        float Place() => side * random.NextSingle();
        for (int tick = 0; tick < 250; tick++)
        {
            if (world.Peers.Count < people && random.Next(3) > 0)
                world.Add(Place(), Place(), new IslandId(random.Next(4)));
            if (world.Peers.Count > 0 && random.Next(20) == 0)
                world.Remove(world.Peers[random.Next(world.Peers.Count)]);
            foreach (PeerHandle peer in world.Peers)
                if (random.Next(8) > 0)
                    world.Move(peer, world.PositionOf(peer).X + (step * ((2 * random.NextSingle()) - 1)), world.PositionOf(peer).Z + (step * ((2 * random.NextSingle()) - 1)));
            if (random.Next(3) == 0)
                world.FlushNewcomers();
            else
                world.Flush();
        }
        world.Flush();
        if (coherent)
            world.Settle();
        else
            world.AssertCalm();
    }

    private static string Outcome(Step[] script, Random? shuffle, IslandOptions rules)
    {
        using var world = new CheckedWorld(rules);
        var text = new System.Text.StringBuilder();
        foreach (Step step in script)
        {
            if (step is Step.Walk walk)
                Walk(world, walk, shuffle);
            else
                Apply(world, step);
            if (step is Step.Flush or Step.FlushNewcomers)
                text.AppendJoin(' ', world.Announced.Select(a => (Name: world.NameOf(a.Key), Island: a.Value)).OrderBy(a => a.Name).Select(a => $"{a.Name}:{a.Island}")).AppendLine();
        }
        return text.ToString();
    }

    private static void Run(CheckedWorld world, Step[] script)
    {
        foreach (Step step in script)
            Apply(world, step);
    }

    private static void Apply(CheckedWorld world, Step step)
    {
        switch (step)
        {
            case Step.Arrive a:
                var random = new Random(a.Count);
                for (int i = 0; i < a.Count; i++)
                    world.Add(
                        Finite(a.X + (a.Spread * random.NextSingle())),
                        Finite(a.Z + (a.Spread * random.NextSingle())),
                        a.Wish < 4 ? new IslandId(a.Wish) : IslandId.Unknown);
                break;
            case Step.Walk walk:
                Walk(world, walk, null);
                break;
            case Step.Teleport t when world.Peers.Count > 0:
                world.Move(world.Peers[t.Who % world.Peers.Count], t.X, t.Z);
                break;
            case Step.Leave l when world.Peers.Count > 0:
                world.Remove(world.Peers[l.Who % world.Peers.Count]);
                break;
            case Step.Rules r:
                world.SetRules(world.Engine.Options with { MaxIslandSize = r.Cap, JoinDistance = r.Join });
                break;
            case Step.Flush:
                world.Flush();
                break;
            case Step.FlushNewcomers:
                world.FlushNewcomers();
                break;
        }
    }

    private static void Walk(CheckedWorld world, Step.Walk walk, Random? shuffle)
    {
        var random = new Random(walk.Seed);
        var moves = new List<(PeerHandle Peer, float X, float Z)>();
        foreach (PeerHandle peer in world.Peers)
        {
            Position at = world.PositionOf(peer);
            moves.Add((peer, Finite(at.X + (walk.Length * (random.NextSingle() - 0.5f))), Finite(at.Z + (walk.Length * (random.NextSingle() - 0.5f)))));
        }
        if (shuffle is not null)
        {
            moves = [.. moves.OrderBy(_ => shuffle.Next())];
            foreach ((PeerHandle peer, _, _) in moves)
                world.Move(peer, 12, 34); // overwritten below: only the last report counts
        }
        foreach ((PeerHandle peer, float x, float z) in moves)
            world.Move(peer, x, z);
    }

    private static float Finite(float value) => Math.Clamp(value, float.MinValue, float.MaxValue);
}
