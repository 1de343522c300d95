using System.Numerics;

namespace Archipelago.Core.Internals;

/// <summary>
/// Everybody sorted by square and, within a square, by island: what the merge pass searches. Rebuilt from nothing by <see cref="Build"/>,
/// by a counting sort over squares found through an open-addressing hash of their keys.
/// </summary>
internal sealed class CellIndex
{
    /// <summary>The members of one island in one square: <see cref="Slots"/>[Start..End].</summary>
    internal readonly record struct Group(int Island, int Square, int Start, int End);

    private ulong[] tableKeys = new ulong[64];
    private int[] tableSquares = new int[64];
    private int tableMask = 63;

    private readonly Pool<ulong> squareKeys = new();
    private readonly Pool<int> squareCounts = new();
    private readonly Pool<int> firstGroup = new();
    private readonly Pool<Group> groups = new();
    private readonly Pool<int> gatheredSlots = new();
    private readonly Pool<int> gatheredSquares = new();
    private readonly Pool<int> sortedSlots = new();

    public ReadOnlySpan<Group> Groups => groups.Span;

    public ReadOnlySpan<int> Slots => sortedSlots.Span;

    public int SquareCount => squareKeys.Count;

    public ulong KeyOf(int square) => squareKeys.Span[square];

    public ReadOnlySpan<Group> GroupsOf(int square) => groups.Span[firstGroup.Span[square]..firstGroup.Span[square + 1]];

    /// <summary>The number of the square with this key, or -1 when nobody is in it.</summary>
    public int Find(ulong key)
    {
        for (int at = Home(key); ; at = (at + 1) & tableMask)
        {
            int square = tableSquares[at];
            if (square < 0 || tableKeys[at] == key)
                return square;
        }
    }

    public void Build(World world, Cells cells)
    {
        Collect(world, cells);
        SortBySquare(world);
    }

    private void Collect(World world, Cells cells)
    {
        ClearTable(world.PeerCount);
        squareKeys.Clear();
        squareCounts.Clear();
        Span<int> slots = gatheredSlots.Resize(world.PeerCount);
        Span<int> squares = gatheredSquares.Resize(world.PeerCount);
        int n = 0;
        for (int index = 0; index < world.IslandTop; index++)
        {
            if (world.Islands[index].Count == 0)
                continue;
            int first = world.Islands[index].First, slot = first;
            do
            {
                int square = FindOrAdd(cells.Key(world.X[slot], world.Z[slot]));
                squareCounts.Span[square]++;
                slots[n] = slot;
                squares[n++] = square;
                slot = world.Next[slot];
            }
            while (slot != first);
        }
    }

    private void SortBySquare(World world)
    {
        Span<int> counts = squareCounts.Span;
        int at = 0;
        for (int s = 0; s < counts.Length; s++)
        {
            int count = counts[s];
            counts[s] = at;
            at += count;
        }
        // Islands were visited one after the other and the sort is stable, so within a square each island's members are neighbours.
        ReadOnlySpan<int> slots = gatheredSlots.Span, squares = gatheredSquares.Span;
        Span<int> sorted = sortedSlots.Resize(slots.Length);
        for (int i = 0; i < slots.Length; i++)
            sorted[counts[squares[i]]++] = slots[i];

        groups.Clear();
        Span<int> first = firstGroup.Resize(counts.Length + 1);
        int start = 0;
        for (int s = 0; s < counts.Length; s++)
        {
            first[s] = groups.Count;
            while (start < counts[s])
            {
                int island = world.IslandOf[sorted[start]], end = start + 1;
                while (end < counts[s] && world.IslandOf[sorted[end]] == island)
                    end++;
                groups.Add(new Group(island, s, start, end));
                start = end;
            }
        }
        first[counts.Length] = groups.Count;
    }

    private int Home(ulong key) => (int)((key * 0x9E3779B97F4A7C15UL) >> 32) & tableMask;

    private int FindOrAdd(ulong key)
    {
        for (int at = Home(key); ; at = (at + 1) & tableMask)
        {
            int square = tableSquares[at];
            if (square >= 0 && tableKeys[at] == key)
                return square;
            if (square < 0)
            {
                tableKeys[at] = key;
                tableSquares[at] = squareKeys.Count;
                squareKeys.Add(key);
                squareCounts.Add(0);
                return squareKeys.Count - 1;
            }
        }
    }

    private void ClearTable(int peers)
    {
        int wanted = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(64, peers * 2));
        if (tableSquares.Length < wanted)
        {
            tableKeys = new ulong[wanted];
            tableSquares = new int[wanted];
        }
        tableMask = wanted - 1;
        tableSquares.AsSpan(0, wanted).Fill(-1);
    }
}
