namespace Archipelago.Core.Internals;

/// <summary>
/// Connects a set of members under a distance and grows their trees on the way. Short edges are laid first, since an edge that is far from breaking
/// need not be measured again for long.
/// </summary>
/// <remarks>
/// Members are sorted into squares in which everybody is within the distance of everybody, so most of the work is one union a member; squares of the
/// 5×5 window are compared only while they are not connected yet.
/// </remarks>
internal sealed class TreeBuilder
{
    private const int FewMembers = 24;

    private readonly UnionFind sets = new();
    private readonly Pool<ulong> keys = new();
    private readonly Pool<int> order = new();
    private readonly Pool<Square> squares = new();

    private readonly record struct Square(ulong Key, int Start, int End);

    /// <summary>Which members are connected, by their numbers in the span last given to <see cref="Build"/>.</summary>
    public UnionFind Sets => sets;

    /// <summary>Builds the trees of these slots from nothing; returns the number of trees.</summary>
    public int Build(World world, ReadOnlySpan<int> slots, double distance)
    {
        foreach (int slot in slots)
            world.Bodies[slot].Parent = -1;
        sets.Reset(slots.Length);
        Connect(world, slots, distance / 2);
        if (sets.Sets > 1)
            Connect(world, slots, distance);
        return sets.Sets;
    }

    private void Connect(World world, ReadOnlySpan<int> slots, double distance)
    {
        double squared = distance * distance;
        if (slots.Length <= FewMembers)
        {
            for (int i = 1; i < slots.Length; i++)
                for (int j = 0; j < i; j++)
                    if (world.Bodies[slots[i]].At.SquaredDistance(world.Bodies[slots[j]].At) <= squared)
                        Join(world, slots, j, i);
            return;
        }

        var cells = new Cells(distance);
        Span<ulong> key = keys.Resize(slots.Length);
        Span<int> sorted = order.Resize(slots.Length);
        for (int i = 0; i < slots.Length; i++)
        {
            Point at = world.Bodies[slots[i]].At;
            key[i] = cells.Key(at.X, at.Z);
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

    private void Join(World world, ReadOnlySpan<int> slots, int a, int b)
    {
        if (!sets.TryUnion(a, b, out bool secondIsSmaller))
            return;
        if (secondIsSmaller)
            world.Link(slots[a], slots[b]);
        else
            world.Link(slots[b], slots[a]);
    }

    private void ConnectWithin(World world, ReadOnlySpan<int> slots, ReadOnlySpan<int> inside, bool allNear, double squared)
    {
        for (int a = 1; a < inside.Length; a++)
        {
            if (allNear)
            {
                Join(world, slots, inside[0], inside[a]);
                continue;
            }
            for (int b = 0; b < a; b++)
                if (Near(world, slots[inside[a]], slots[inside[b]], squared))
                    Join(world, slots, inside[b], inside[a]);
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
                if (!Near(world, slots[sorted[i]], slots[sorted[j]], squared))
                    continue;
                Join(world, slots, sorted[i], sorted[j]);
                if (whole)
                    return;
            }
        }
    }

    private static bool Near(World world, int a, int b, double squared) => world.Bodies[a].At.SquaredDistance(world.Bodies[b].At) <= squared;
}
