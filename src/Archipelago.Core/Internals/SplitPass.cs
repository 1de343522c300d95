namespace Archipelago.Core.Internals;

/// <summary>
/// Keeps every island connected. An island's tree of edges is its certificate: while no edge is longer than the leave distance, it is connected, and
/// while its members stay in their tie circles, no edge is. So only islands of which a member left its circle are measured again, and only those of
/// which an edge broke, or a member left for good, are built again. (While many move there are no tie circles, and <see cref="EdgeSweep"/> measures all edges.) Parts that came off become islands of their own: the largest part stays, and on a
/// tie of size the one with the member added earliest.
/// </summary>
internal sealed class SplitPass(PeerTable peers, NeighbourIndex neighbours)
{
    /// <summary>Edges longer than this part of the leave distance (squared) are replaced before they break, if a shorter one is to be had.</summary>
    private const double ReplaceAbove = 0.5;

    private const int LargestMended = 256;

    /// <summary>An edge no longer than this part of the leave distance (squared) is as good as the shortest: it lasts.</summary>
    private const double GoodEnough = 0.16;

    private readonly TreeBuilder trees = new();
    private readonly Pool<int> members = new();
    private readonly Pool<Component> components = new();
    private readonly Pool<int> componentOf = new();
    private readonly Pool<int> componentOfLeader = new();
    private readonly Pool<(long Earliest, int Component)> leaving = new();

    private record struct Component(int Body, int Count, long Earliest, int Island);

    /// <summary>Measures or builds again what is pending, in the order given by the list of touched islands.</summary>
    /// <param name="world">The world.</param>
    /// <param name="rules">The rules.</param>
    /// <param name="flush">The number of the flush, noted on parts that come off.</param>
    /// <param name="mayFitAnew">False when no two islands can have been too large for each other before.</param>
    public void Run(World world, IslandOptions rules, long flush, bool mayFitAnew)
    {
        // Parts that come off are whole and new, and are not listed.
        int examined = world.Touched.Count;
        for (int i = 0; i < examined; i++)
        {
            int index = world.Touched.Span[i];
            Pending pending = world.Islands[index].Pending;
            world.Islands[index].Pending &= ~(Pending.Measure | Pending.Rebuild);
            if (world.Islands[index].Count == 0)
                continue;
            if ((pending & Pending.Rebuild) != 0 || ((pending & Pending.Measure) != 0 && !Prove(world, index, rules.LeaveDistance)))
                Rebuild(world, index, rules, flush, mayFitAnew);
        }
    }

    /// <summary>
    /// Makes sure that no edge of an island's tree is too long and draws its tie circles, where these are in use; elsewhere <see cref="EdgeSweep"/> has measured all edges. False when the
    /// tree must be built again.
    /// </summary>
    public static bool Prove(World world, int index, double leaveDistance) => !world.TiesDrawn || Measure(world, index, leaveDistance);

    /// <summary>Replaces a member's edge, which is too long, by one to a near member that does not hang on it; false when there is none in reach.</summary>
    public static bool TryMend(World world, int body, double squared)
    {
        int index = world.Bodies[body].Island;
        if (world.Islands[index].Count > LargestMended || (world.Islands[index].Pending & Pending.Rebuild) != 0)
            return false;
        double length = double.PositiveInfinity;
        int parent = HangOnNearest(world, body, squared * GoodEnough, ref length);
        if (length > squared)
            return false;
        world.Bonds[body].Parent = parent;
        return true;
    }

    /// <summary>
    /// Measures the edges of an island's tree and draws the tie circles anew. An edge that is too long, or soon will be, is replaced by one to the nearest
    /// member that does not hang on it; false when there is none in reach, and the circles are then void.
    /// </summary>
    private static bool Measure(World world, int index, double leaveDistance)
    {
        int first = world.Islands[index].First, body = first;
        do
        {
            Point at = world.At(body);
            world.Bonds[body].Tie = new Circle { X = at.X, Z = at.Z, Radius = float.PositiveInfinity };
            body = world.Bodies[body].Next;
        }
        while (body != first);

        // In a large island looking for the nearest costs more than a better edge saves, and building again is quicker than mending many.
        bool mends = world.Islands[index].Count <= LargestMended;
        double squared = leaveDistance * leaveDistance, replaceAbove = mends ? squared * ReplaceAbove : squared;
        do
        {
            int parent = world.Bonds[body].Parent;
            if (parent >= 0)
            {
                double length = world.At(body).SquaredDistance(world.At(parent));
                if (length > replaceAbove)
                {
                    if (mends)
                        parent = HangOnNearest(world, body, squared * GoodEnough, ref length);
                    if (length > squared)
                        return false;
                    world.Bonds[body].Parent = parent;
                }
                // Each end may use up half of what is left.
                float half = Circle.RadiusWithin((leaveDistance - Math.Sqrt(length)) / 2);
                world.Bonds[body].Tie.Radius = Math.Min(world.Bonds[body].Tie.Radius, half);
                world.Bonds[parent].Tie.Radius = Math.Min(world.Bonds[parent].Tie.Radius, half);
            }
            body = world.Bodies[body].Next;
        }
        while (body != first);
        return true;
    }

    /// <summary>
    /// The nearest member outside the body's own subtree, or the first that is near enough, and its squared distance, where it is nearer than the present
    /// parent.
    /// </summary>
    private static int HangOnNearest(World world, int body, double enough, ref double length)
    {
        int best = world.Bonds[body].Parent;
        Point at = world.At(body);
        for (int other = world.Bodies[body].Next; other != body; other = world.Bodies[other].Next)
        {
            double squared = at.SquaredDistance(world.At(other));
            if (squared >= length || world.HangsOn(other, body))
                continue;
            (best, length) = (other, squared);
            if (squared <= enough)
                break;
        }
        return best;
    }

    private void Rebuild(World world, int index, IslandOptions rules, long flush, bool mayFitAnew)
    {
        members.Clear();
        world.AddMembers(index, members);
        if (trees.Build(world, members.Span, rules.LeaveDistance) > 1)
        {
            Separate(world, members.Span, index, flush);
            foreach (ref readonly Component part in components.Span)
                Prove(world, part.Island, rules.LeaveDistance);
        }
        else
        {
            Prove(world, index, rules.LeaveDistance);
            if (!mayFitAnew)
                return;
        }
        // Whoever was too many for a neighbour may fit now.
        foreach (int member in members.Span)
            neighbours.Activate(member);
    }

    private void Separate(World world, ReadOnlySpan<int> bodies, int index, long flush)
    {
        Classify(world, bodies);
        Span<Component> parts = components.Span;
        int keeper = 0;
        for (int c = 1; c < parts.Length; c++)
            if (parts[c].Count > parts[keeper].Count
                || (parts[c].Count == parts[keeper].Count && parts[c].Earliest < parts[keeper].Earliest))
                keeper = c;
        parts[keeper].Island = index;

        leaving.Clear();
        for (int c = 0; c < parts.Length; c++)
            if (c != keeper)
                leaving.Add((parts[c].Earliest, c));
        leaving.Span.Sort(static (a, b) => a.Earliest.CompareTo(b.Earliest));
        foreach ((_, int c) in leaving.Span)
        {
            int parent = world.Bonds[parts[c].Body].Parent;
            world.Detach(parts[c].Body);
            parts[c].Island = world.CreateIsland(parts[c].Body);
            world.Islands[parts[c].Island].SplitAt = flush;
            world.Bonds[parts[c].Body].Parent = parent;
        }

        ReadOnlySpan<int> of = componentOf.Span;
        for (int i = 0; i < bodies.Length; i++)
        {
            if (of[i] == keeper || parts[of[i]].Body == bodies[i])
                continue;
            world.Detach(bodies[i]);
            world.Append(parts[of[i]].Island, bodies[i]);
        }
    }

    private void Classify(World world, ReadOnlySpan<int> bodies)
    {
        components.Clear();
        Span<int> of = componentOf.Resize(bodies.Length), ofLeader = componentOfLeader.Resize(bodies.Length);
        ofLeader.Fill(-1);
        for (int i = 0; i < bodies.Length; i++)
        {
            int leader = trees.Sets.Find(i);
            if (ofLeader[leader] < 0)
            {
                ofLeader[leader] = components.Count;
                components.Add(new Component(bodies[i], 0, long.MaxValue, -1));
            }
            of[i] = ofLeader[leader];
            ref Component component = ref components.Span[of[i]];
            component.Count++;
            component.Earliest = Math.Min(component.Earliest, peers.AddOrder(world.Map.SlotOf(bodies[i])));
        }
    }
}
