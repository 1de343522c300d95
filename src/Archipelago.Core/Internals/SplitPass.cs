namespace Archipelago.Core.Internals;

/// <summary>
/// Keeps every island connected. An island's tree of edges is its certificate: while no edge is longer than the leave distance, it is connected, and
/// while its members stay in their tie circles, no edge is. So only islands of which a member left its circle are measured again, and only those of
/// which an edge broke, or a member left for good, are built again. Parts that came off become islands of their own: the largest part stays, and on a
/// tie of size the one with the member added earliest.
/// </summary>
internal sealed class SplitPass(NeighbourIndex neighbours)
{
    /// <summary>Keeps circles clear of rounding: radii are stored as floats.</summary>
    private const double RoundingMargin = 0.99999;

    /// <summary>Edges longer than this part of the leave distance (squared) are replaced before they break, if a shorter one is to be had.</summary>
    private const double ReplaceAbove = 0.5;

    private const int LargestMended = 256;

    private readonly TreeBuilder trees = new();
    private readonly Pool<int> members = new();
    private readonly Pool<Component> components = new();
    private readonly Pool<int> componentOf = new();
    private readonly Pool<int> componentOfLeader = new();
    private readonly Pool<(long Earliest, int Component)> leaving = new();

    private record struct Component(int Slot, int Count, long Earliest, int Island);

    /// <summary>Measures or builds again what is pending, in the order given by the list of touched islands.</summary>
    /// <param name="world">The world.</param>
    /// <param name="rules">The rules.</param>
    /// <param name="flush">The number of the flush, noted on parts that come off.</param>
    /// <param name="mayFitAnew">False when no two islands can have been too large for each other before.</param>
    public void Run(World world, IslandOptions rules, long flush, bool mayFitAnew)
    {
        // Parts that come off are whole and new; they join the list behind the islands examined here.
        int examined = world.Touched.Count;
        for (int i = 0; i < examined; i++)
        {
            int index = world.Touched.Span[i];
            Pending pending = world.Islands[index].Pending;
            world.Islands[index].Pending &= ~(Pending.Measure | Pending.Rebuild);
            if (world.Islands[index].Count == 0)
                continue;
            if ((pending & Pending.Rebuild) != 0 || ((pending & Pending.Measure) != 0 && !Measure(world, index, rules.LeaveDistance)))
                Rebuild(world, index, rules, flush, mayFitAnew);
        }
    }

    /// <summary>
    /// Measures the edges of an island's tree and draws the tie circles anew. An edge that is too long is replaced by one to the nearest member that
    /// does not hang on it; false when there is none in reach, and the circles are then void.
    /// </summary>
    public static bool Measure(World world, int index, double leaveDistance)
    {
        int first = world.Islands[index].First, slot = first;
        do
        {
            Point at = world.Bodies[slot].At;
            world.Bodies[slot].Tie = new Circle { X = at.X, Z = at.Z, Radius = float.PositiveInfinity };
            slot = world.Bodies[slot].Next;
        }
        while (slot != first);

        // In a large island looking for the nearest costs more than a better edge saves, and building again is quicker than mending many.
        bool mends = world.Islands[index].Count <= LargestMended;
        double squared = leaveDistance * leaveDistance, replaceAbove = mends ? squared * ReplaceAbove : squared;
        do
        {
            int parent = world.Bodies[slot].Parent;
            if (parent >= 0)
            {
                double length = world.Bodies[slot].At.SquaredDistance(world.Bodies[parent].At);
                if (length > replaceAbove)
                {
                    if (mends)
                        parent = HangOnNearest(world, slot, ref length);
                    if (length > squared)
                        return false;
                    world.Bodies[slot].Parent = parent;
                }
                // Each end may use up half of what is left.
                float half = (float)((leaveDistance - Math.Sqrt(length)) / 2 * RoundingMargin);
                world.Bodies[slot].Tie.Radius = Math.Min(world.Bodies[slot].Tie.Radius, half);
                world.Bodies[parent].Tie.Radius = Math.Min(world.Bodies[parent].Tie.Radius, half);
            }
            slot = world.Bodies[slot].Next;
        }
        while (slot != first);
        return true;
    }

    /// <summary>The nearest member outside the slot's own subtree, and its squared distance, where it is nearer than the present parent.</summary>
    private static int HangOnNearest(World world, int slot, ref double length)
    {
        int best = world.Bodies[slot].Parent;
        Point at = world.Bodies[slot].At;
        for (int other = world.Bodies[slot].Next; other != slot; other = world.Bodies[other].Next)
        {
            double squared = at.SquaredDistance(world.Bodies[other].At);
            if (squared < length && !HangsOn(world, other, slot))
                (best, length) = (other, squared);
        }
        return best;
    }

    private static bool HangsOn(World world, int slot, int above)
    {
        while (slot >= 0 && slot != above)
            slot = world.Bodies[slot].Parent;
        return slot == above;
    }

    private void Rebuild(World world, int index, IslandOptions rules, long flush, bool mayFitAnew)
    {
        members.Clear();
        int first = world.Islands[index].First, slot = first;
        do
        {
            members.Add(slot);
            slot = world.Bodies[slot].Next;
        }
        while (slot != first);

        if (trees.Build(world, members.Span, rules.LeaveDistance) > 1)
        {
            Separate(world, members.Span, index, flush);
            foreach (ref readonly Component part in components.Span)
                Measure(world, part.Island, rules.LeaveDistance);
        }
        else
        {
            Measure(world, index, rules.LeaveDistance);
            if (!mayFitAnew)
                return;
        }
        // Whoever was too many for a neighbour may fit now.
        foreach (int member in members.Span)
            neighbours.Activate(member);
    }

    private void Separate(World world, ReadOnlySpan<int> slots, int index, long flush)
    {
        Classify(world, slots);
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
            int parent = world.Bodies[parts[c].Slot].Parent;
            world.Detach(parts[c].Slot);
            parts[c].Island = world.CreateIsland(parts[c].Slot);
            world.Islands[parts[c].Island].SplitAt = flush;
            world.Bodies[parts[c].Slot].Parent = parent;
        }

        ReadOnlySpan<int> of = componentOf.Span;
        for (int i = 0; i < slots.Length; i++)
        {
            if (of[i] == keeper || parts[of[i]].Slot == slots[i])
                continue;
            world.Detach(slots[i]);
            world.Append(parts[of[i]].Island, slots[i]);
        }
    }

    private void Classify(World world, ReadOnlySpan<int> slots)
    {
        components.Clear();
        Span<int> of = componentOf.Resize(slots.Length), ofLeader = componentOfLeader.Resize(slots.Length);
        ofLeader.Fill(-1);
        for (int i = 0; i < slots.Length; i++)
        {
            int leader = trees.Sets.Find(i);
            if (ofLeader[leader] < 0)
            {
                ofLeader[leader] = components.Count;
                components.Add(new Component(slots[i], 0, long.MaxValue, -1));
            }
            of[i] = ofLeader[leader];
            ref Component component = ref components.Span[of[i]];
            component.Count++;
            component.Earliest = Math.Min(component.Earliest, world.AddOrder[slots[i]]);
        }
    }
}
