using System.Diagnostics;

namespace Archipelago.Core.Internals;

/// <summary>
/// In debug builds, after each flush: that rings, trees and tables say the same, that every tree proves what it is there to prove, and that nobody who should be met can be
/// overlooked. In other builds nothing of it is called.
/// </summary>
internal static class SelfCheck
{
    /// <summary>Pairs are gone through in worlds of at most so many.</summary>
    private const int MostInPairs = 80;

    /// <summary>Radii are floats, of which the smallest are not exact; and nobody walks farther than the largest.</summary>
    private const double Shortest = 1e-6;

    /// <summary>Radii are floats, and rounded down by more than this.</summary>
    private const double Rounding = 1 + 1e-6;

    [Conditional("DEBUG")]
    public static void Run(World world, NeighbourIndex neighbours, IslandOptions rules, bool newcomersOnly, bool restored)
    {
        int peers = 0, islands = 0;
        for (int index = 0; index < world.IslandTop; index++)
        {
            if (world.Islands[index].Count == 0)
                continue;
            islands++;
            peers += world.Islands[index].Count;
            CheckRing(world, index);
            // A restored world has no trees before its first flush of everybody.
            if (!restored && !IsPending(world, index))
                CheckTree(world, index, newcomersOnly ? double.PositiveInfinity : rules.LeaveDistance);
        }
        Expect(islands == world.IslandCount && peers == world.PeerCount && peers == world.Map.Count, "the totals are those of the islands");
        if (peers > MostInPairs)
            return;
        for (int a = 0; a < world.Map.Top; a++)
            for (int b = 0; b < a; b++)
                if (world.Map.IsTaken(a) && world.Map.IsTaken(b) && !IsPending(world, world.Bodies[a].Island) && !IsPending(world, world.Bodies[b].Island))
                    Expect(neighbours.IsGuarded(world, a, b, watchesAreMeasured: !newcomersOnly), "two who may come to be near, and fit, are told apart by their circles, or one of them looks around");
    }

    private static void CheckRing(World world, int index)
    {
        ref readonly Island island = ref world.Islands[index];
        Expect(island.Id > 0, "an island has a number");
        int members = 0, body = island.First;
        do
        {
            ref readonly Body member = ref world.Bodies[body];
            Expect(member.Island == index && world.Previous[member.Next] == body && world.Map.IsTaken(body), "the ring is whole, and its members know their island");
            Expect(++members <= island.Count, "the ring is as long as the island is large");
            body = member.Next;
        }
        while (body != island.First);
        Expect(members == island.Count, "everybody is in the ring");
    }

    private static void CheckTree(World world, int index, double leaveDistance)
    {
        int first = world.Islands[index].First, body = first, roots = 0;
        do
        {
            if (world.Bonds[body].Parent < 0)
                roots++;
            else
                CheckEdge(world, body, leaveDistance);
            body = world.Bodies[body].Next;
        }
        while (body != first);
        Expect(roots == 1, "the tree has one root");
    }

    /// <summary>Somebody has left it, and the next flush of everybody builds its tree again and lets its members look around.</summary>
    private static bool IsPending(World world, int island) => (world.Islands[island].Pending & Pending.Rebuild) != 0;

    private static void CheckEdge(World world, int body, double leaveDistance)
    {
        int steps = 0, at = body;
        for (; world.Bonds[at].Parent >= 0; at = world.Bonds[at].Parent)
            Expect(++steps < world.Islands[world.Bodies[body].Island].Count, "the tree has no circle");
        Expect(world.Bodies[at].Island == world.Bodies[body].Island, "the tree stays within the island");
        ref readonly Bonds child = ref world.Bonds[body];
        ref readonly Bonds parent = ref world.Bonds[child.Parent];
        Expect(world.At(body).SquaredDistance(world.At(child.Parent)) <= leaveDistance * leaveDistance, "an edge is no longer than the leave distance");
        if (!world.TiesDrawn || leaveDistance is < Shortest or > float.MaxValue)
            return;
        double centres = Math.Sqrt(new Point(child.Tie.X, child.Tie.Z).SquaredDistance(new Point(parent.Tie.X, parent.Tie.Z)));
        Expect(child.Tie.Holds(world.At(body)) && centres + child.Tie.Radius + parent.Tie.Radius <= leaveDistance * Rounding, "while both stay in their tie circles, the edge holds");
    }

    /// <summary>An exception rather than an assertion, which would end the process that runs the tests.</summary>
    private static void Expect(bool holds, string what)
    {
        if (!holds)
            throw new InvalidOperationException($"The engine is broken: it should be that {what}.");
    }
}
