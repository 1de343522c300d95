namespace Archipelago.Core.Internals;

/// <summary>
/// Connects a set of members under a distance and grows their trees on the way. Short edges are laid first, since an edge that is far from breaking
/// need not be measured again for long.
/// </summary>
/// <remarks>
/// Some hundreds are compared each with each (<see cref="SmallTreeBuilder"/>). More are sorted into squares in which everybody is within the distance of everybody, so most of the work is one union a member; squares of the
/// 5×5 window are compared only while they are not connected yet.
/// </remarks>
internal sealed class TreeBuilder
{
    private readonly UnionFind sets = new();
    private readonly SmallTreeBuilder small = new();
    private readonly Pool<ulong> keys = new();
    private readonly Pool<int> order = new();
    private readonly SquareGrid grid = new();

    /// <summary>Which members are connected, by their numbers in the span last given to <see cref="Build"/>.</summary>
    public UnionFind Sets => sets;

    /// <summary>Builds the trees of these bodies from nothing; returns the number of trees.</summary>
    public int Build(World world, ReadOnlySpan<int> bodies, double distance)
    {
        foreach (int body in bodies)
            world.Bonds[body].Parent = -1;
        sets.Reset(bodies.Length);
        if (small.TryBuild(world, bodies, distance, sets))
            return sets.Sets;
        Connect(world, bodies, distance / 2);
        if (sets.Sets > 1)
            Connect(world, bodies, distance);
        return sets.Sets;
    }

    private void Connect(World world, ReadOnlySpan<int> bodies, double distance)
    {
        double squared = distance * distance;
        var cells = new Cells(distance);
        Span<ulong> key = keys.Resize(bodies.Length);
        Span<int> sorted = order.Resize(bodies.Length);
        for (int i = 0; i < bodies.Length; i++)
        {
            Point at = world.At(bodies[i]);
            key[i] = cells.Key(at.X, at.Z);
            sorted[i] = i;
        }
        key.Sort(sorted);

        grid.Cut(key);
        foreach (ref readonly Square square in grid.Squares)
            ConnectWithin(world, bodies, sorted[square.Start..square.End], Cells.ProvesNearness(square.Key), squared);
        var connector = new Connector(this, world, bodies, sorted, squared);
        grid.VisitPairs(ref connector);
    }

    private void Join(World world, ReadOnlySpan<int> bodies, int a, int b)
    {
        if (!sets.TryUnion(a, b, out bool secondIsSmaller))
            return;
        if (secondIsSmaller)
            world.Link(bodies[a], bodies[b]);
        else
            world.Link(bodies[b], bodies[a]);
    }

    private void ConnectWithin(World world, ReadOnlySpan<int> bodies, ReadOnlySpan<int> inside, bool allNear, double squared)
    {
        for (int a = 1; a < inside.Length; a++)
        {
            if (allNear)
            {
                Join(world, bodies, inside[0], inside[a]);
                continue;
            }
            for (int b = 0; b < a; b++)
                if (Near(world, bodies[inside[a]], bodies[inside[b]], squared))
                    Join(world, bodies, inside[b], inside[a]);
        }
    }

    private readonly ref struct Connector(TreeBuilder builder, World world, ReadOnlySpan<int> bodies, ReadOnlySpan<int> sorted, double squared) : ISquarePairVisitor
    {
        private readonly ReadOnlySpan<int> bodies = bodies;
        private readonly ReadOnlySpan<int> sorted = sorted;

        public void Visit(in Square a, in Square b)
        {
            bool whole = Cells.ProvesNearness(a.Key) && Cells.ProvesNearness(b.Key);
            if (whole && builder.sets.Find(sorted[a.Start]) == builder.sets.Find(sorted[b.Start]))
                return;
            foreach (int one in sorted[a.Start..a.End])
            {
                foreach (int other in sorted[b.Start..b.End])
                {
                    if (!Near(world, bodies[one], bodies[other], squared))
                        continue;
                    builder.Join(world, bodies, one, other);
                    if (whole)
                        return;
                }
            }
        }
    }

    private static bool Near(World world, int a, int b, double squared) => world.At(a).SquaredDistance(world.At(b)) <= squared;
}
