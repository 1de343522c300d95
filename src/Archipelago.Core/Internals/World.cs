namespace Archipelago.Core.Internals;

/// <summary>One island as the flush keeps it. Its members form a ring through <see cref="World.Next"/>.</summary>
internal struct Island
{
    /// <summary>The public number; 0 until the flush that created the island ends.</summary>
    public long Id;

    /// <summary>Place in the order of creation, by which ties of size are broken. Provisional for islands of the running flush.</summary>
    public long Order;

    /// <summary>A member, the head of the ring; -1 when the entry is unused.</summary>
    public int First;

    /// <summary>Members.</summary>
    public int Count;

    /// <summary>A member moved, arrived or left since the last flush of everything.</summary>
    public bool Dirty;

    /// <summary>Already listed in <see cref="World.DirtyIslands"/>.</summary>
    public bool Listed;
}

/// <summary>
/// The state that only the flushing thread touches: positions as of this flush, islands, and who belongs where.
/// Columns are indexed by slot, islands by a table index that is reused when an island disappears.
/// </summary>
internal sealed class World
{
    public float[] X = [];
    public float[] Z = [];
    public long[] AddOrder = [];
    public int[] IslandOf = [];
    public int[] Next = [];
    public int[] Previous = [];
    public long[] Announced = [];
    public int Capacity;

    public Island[] Islands = new Island[16];
    public int IslandTop;
    public int IslandCount;
    public int PeerCount;
    private int[] freeIslands = new int[16];
    private int freeIslandCount;
    private long nextOrder = 1;
    private long lastId;

    /// <summary>Islands to examine, by index; an entry may have disappeared meanwhile.</summary>
    public readonly Pool<int> DirtyIslands = new();

    /// <summary>Islands created by the running flush that have no number yet.</summary>
    private readonly Pool<int> created = new();

    public long LastId => lastId;

    public void EnsureCapacity(int slots)
    {
        if (slots <= Capacity)
            return;
        int size = Math.Max(64, Capacity);
        while (size < slots)
            size = checked(size * 2);
        int old = Capacity;
        Array.Resize(ref X, size);
        Array.Resize(ref Z, size);
        Array.Resize(ref AddOrder, size);
        Array.Resize(ref IslandOf, size);
        Array.Resize(ref Next, size);
        Array.Resize(ref Previous, size);
        Array.Resize(ref Announced, size);
        IslandOf.AsSpan(old).Fill(-1);
        Capacity = size;
    }

    /// <summary>Makes an island with this one member and marks it dirty.</summary>
    public int CreateIsland(int slot)
    {
        int index = freeIslandCount > 0 ? freeIslands[--freeIslandCount] : IslandTop++;
        if (index >= Islands.Length)
            Array.Resize(ref Islands, Islands.Length * 2);
        // An index that was freed and is used again may still be on the list of dirty islands.
        Islands[index] = new Island { Order = nextOrder++, First = slot, Count = 1, Listed = Islands[index].Listed };
        IslandCount++;
        IslandOf[slot] = index;
        Next[slot] = Previous[slot] = slot;
        created.Add(index);
        MarkDirty(index);
        return index;
    }

    public void MarkDirty(int index)
    {
        ref Island island = ref Islands[index];
        island.Dirty = true;
        if (island.Listed)
            return;
        island.Listed = true;
        DirtyIslands.Add(index);
    }

    /// <summary>Puts a slot that is in no ring at the end of an island's ring.</summary>
    public void Append(int index, int slot)
    {
        ref Island island = ref Islands[index];
        int first = island.First, last = Previous[first];
        Next[last] = slot;
        Previous[slot] = last;
        Next[slot] = first;
        Previous[first] = slot;
        IslandOf[slot] = index;
        island.Count++;
    }

    /// <summary>Takes a slot out of its island; the island disappears with its last member.</summary>
    public void Detach(int slot)
    {
        int index = IslandOf[slot];
        ref Island island = ref Islands[index];
        IslandOf[slot] = -1;
        if (--island.Count == 0)
        {
            Release(index);
            return;
        }
        int next = Next[slot], previous = Previous[slot];
        Next[previous] = next;
        Previous[next] = previous;
        if (island.First == slot)
            island.First = next;
        MarkDirty(index);
    }

    /// <summary>Moves every member of one island to the end of another's ring; the emptied one disappears.</summary>
    public void Absorb(int target, int absorbed)
    {
        int head = Islands[absorbed].First, tail = Previous[head];
        int slot = head;
        do
        {
            IslandOf[slot] = target;
            slot = Next[slot];
        }
        while (slot != head);

        ref Island into = ref Islands[target];
        int first = into.First, last = Previous[first];
        Next[last] = head;
        Previous[head] = last;
        Next[tail] = first;
        Previous[first] = tail;
        into.Count += Islands[absorbed].Count;
        Islands[absorbed].Count = 0;
        Release(absorbed);
        MarkDirty(target);
    }

    /// <summary>Gives the islands that this flush created, and that still exist, their numbers in order of creation.</summary>
    public void NumberNewIslands()
    {
        foreach (int index in created.Span)
        {
            ref Island island = ref Islands[index];
            // An index may have been freed and used again within the flush: then it is listed twice, in order.
            if (island.Count > 0 && island.Id == 0)
                pendingNumbers.Add(new Numbering(island.Order, index));
        }
        created.Clear();
        pendingNumbers.Span.Sort(static (a, b) => a.Order.CompareTo(b.Order));
        foreach (Numbering entry in pendingNumbers.Span)
            if (Islands[entry.Index].Id == 0)
                Islands[entry.Index].Id = ++lastId;
        pendingNumbers.Clear();
    }

    private readonly record struct Numbering(long Order, int Index);

    private readonly Pool<Numbering> pendingNumbers = new();

    private void Release(int index)
    {
        // A listed entry keeps its flag: the list is emptied only when the pass over it ends.
        bool listed = Islands[index].Listed;
        Islands[index] = new Island { First = -1, Listed = listed };
        IslandCount--;
        if (freeIslandCount == freeIslands.Length)
            Array.Resize(ref freeIslands, freeIslands.Length * 2);
        freeIslands[freeIslandCount++] = index;
    }
}
