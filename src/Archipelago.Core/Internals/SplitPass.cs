namespace Archipelago.Core.Internals;

/// <summary>
/// Takes apart the islands that lost touch with themselves: components under the leave distance, of which the largest keeps the island
/// and every other becomes a new one. On a tie of size the component with the member added earliest counts as larger.
/// </summary>
internal sealed class SplitPass
{
    private readonly UnionFind sets = new();
    private readonly Pool<int> members = new();
    private readonly Pool<ulong> keys = new();
    private readonly Pool<int> order = new();
    private readonly Pool<Square> squares = new();
    private readonly Pool<Component> components = new();
    private readonly Pool<int> componentOf = new();

    private readonly record struct Square(ulong Key, int Start, int End);

    private record struct Component(int Leader, int Count, long Earliest, int Island);

    /// <summary>Splits every dirty island that falls apart, in the order given.</summary>
    public void Run(World world, double leaveDistance)
    {
        // Parts that come off are whole and new; they join the list behind the islands examined here.
        int examined = world.DirtyIslands.Count;
        for (int i = 0; i < examined; i++)
        {
            int index = world.DirtyIslands.Span[i];
            if (world.Islands[index].Count > 1)
                Split(world, index, leaveDistance);
        }
    }

    private void Split(World world, int index, double leaveDistance)
    {
        members.Clear();
        int first = world.Islands[index].First, slot = first;
        do
        {
            members.Add(slot);
            slot = world.Next[slot];
        }
        while (slot != first);

        Connect(world, members.Span, leaveDistance);
        if (Components(world, members.Span) > 1)
            Separate(world, index, members.Span);
    }

    private void Connect(World world, ReadOnlySpan<int> slots, double distance)
    {
        double squared = distance * distance;
        sets.Reset(slots.Length);
        if (slots.Length <= 24)
        {
            ConnectAll(world, slots, squared);
            return;
        }

        var cells = new Cells(distance);
        Span<ulong> key = keys.Resize(slots.Length);
        Span<int> sorted = order.Resize(slots.Length);
        for (int i = 0; i < slots.Length; i++)
        {
            key[i] = cells.Key(world.X[slots[i]], world.Z[slots[i]]);
            sorted[i] = i;
        }
        key.Sort(sorted);

        squares.Clear();
        for (int start = 0; start < key.Length;)
        {
            int end = start + 1;
            while (end < key.Length && key[end] == key[start])
                end++;
            squares.Add(new Square(key[start], start, end));
            ConnectWithin(world, slots, sorted[start..end], Cells.ProvesNearness(key[start]), squared);
            start = end;
        }
        ConnectAcross(world, slots, sorted, squared);
    }

    private void ConnectAll(World world, ReadOnlySpan<int> slots, double squared)
    {
        for (int i = 1; i < slots.Length; i++)
        {
            float x = world.X[slots[i]], z = world.Z[slots[i]];
            for (int j = 0; j < i; j++)
                if (Ground.Near(x, z, world.X[slots[j]], world.Z[slots[j]], squared))
                    sets.Union(i, j);
        }
    }

    private void ConnectWithin(World world, ReadOnlySpan<int> slots, ReadOnlySpan<int> inside, bool allNear, double squared)
    {
        for (int a = 1; a < inside.Length; a++)
        {
            if (allNear)
            {
                sets.Union(inside[0], inside[a]);
                continue;
            }
            for (int b = 0; b < a; b++)
                if (Near(world, slots[inside[a]], slots[inside[b]], squared))
                    sets.Union(inside[a], inside[b]);
        }
    }

    /// <summary>Looks from each square at those of the 5×5 window that follow it in the order of keys; one moving pointer a row finds them.</summary>
    private void ConnectAcross(World world, ReadOnlySpan<int> slots, ReadOnlySpan<int> sorted, double squared)
    {
        ReadOnlySpan<Square> all = squares.Span;
        Span<int> pointer = [0, 0, 0];
        for (int s = 0; s < all.Length; s++)
        {
            int column = Cells.Column(all[s].Key), row = Cells.Row(all[s].Key);
            for (int d = 0; d <= Cells.Reach; d++)
            {
                ulong from = Cells.Key(column - Cells.Reach, row + d), to = Cells.Key(column + Cells.Reach, row + d);
                int p = Math.Max(pointer[d], s + 1);
                while (p < all.Length && all[p].Key < from)
                    p++;
                pointer[d] = p;
                for (; p < all.Length && all[p].Key <= to; p++)
                    ConnectSquares(world, slots, sorted, all[s], all[p], squared);
            }
        }
    }

    private void ConnectSquares(World world, ReadOnlySpan<int> slots, ReadOnlySpan<int> sorted, Square a, Square b, double squared)
    {
        bool whole = Cells.ProvesNearness(a.Key) && Cells.ProvesNearness(b.Key);
        if (whole && sets.Find(sorted[a.Start]) == sets.Find(sorted[b.Start]))
            return;
        for (int i = a.Start; i < a.End; i++)
        {
            for (int j = b.Start; j < b.End; j++)
            {
                if (Near(world, slots[sorted[i]], slots[sorted[j]], squared))
                {
                    sets.Union(sorted[i], sorted[j]);
                    if (whole)
                        return;
                }
            }
        }
    }

    private static bool Near(World world, int a, int b, double squared) =>
        Ground.Near(world.X[a], world.Z[a], world.X[b], world.Z[b], squared);

    private int Components(World world, ReadOnlySpan<int> slots)
    {
        components.Clear();
        Span<int> of = componentOf.Resize(slots.Length);
        for (int i = 0; i < slots.Length; i++)
        {
            // Leaders are the smallest number of their set, so each is met before its followers.
            int leader = sets.Find(i);
            if (leader == i)
            {
                of[i] = components.Count;
                components.Add(new Component(i, 0, long.MaxValue, -1));
            }
            of[i] = of[leader];
            ref Component component = ref components.Span[of[i]];
            component.Count++;
            component.Earliest = Math.Min(component.Earliest, world.AddOrder[slots[i]]);
        }
        return components.Count;
    }

    private void Separate(World world, int index, ReadOnlySpan<int> slots)
    {
        Span<Component> parts = components.Span;
        int keeper = 0;
        for (int c = 1; c < parts.Length; c++)
            if (parts[c].Count > parts[keeper].Count
                || (parts[c].Count == parts[keeper].Count && parts[c].Earliest < parts[keeper].Earliest))
                keeper = c;

        parts[keeper].Island = index;
        CreateInOrderOfEarliest(world, index, slots, keeper);
    }

    private readonly Pool<(long Earliest, int Component)> leaving = new();

    private void CreateInOrderOfEarliest(World world, int index, ReadOnlySpan<int> slots, int keeper)
    {
        Span<Component> parts = components.Span;
        leaving.Clear();
        for (int c = 0; c < parts.Length; c++)
            if (c != keeper)
                leaving.Add((parts[c].Earliest, c));
        leaving.Span.Sort(static (a, b) => a.Earliest.CompareTo(b.Earliest));

        ReadOnlySpan<int> of = componentOf.Span;
        foreach ((_, int c) in leaving.Span)
        {
            int leader = slots[parts[c].Leader];
            world.Detach(leader);
            parts[c].Island = world.CreateIsland(leader);
        }
        for (int i = 0; i < slots.Length; i++)
        {
            if (of[i] == keeper || parts[of[i]].Leader == i)
                continue;
            world.Detach(slots[i]);
            world.Append(parts[of[i]].Island, slots[i]);
        }
    }
}
