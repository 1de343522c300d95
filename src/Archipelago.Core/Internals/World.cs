using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Archipelago.Core.Internals;

/// <summary>What an island is waiting for.</summary>
[Flags]
internal enum Pending : byte
{
    None = 0,

    /// <summary>Listed in <see cref="World.Touched"/>.</summary>
    Listed = 1,

    /// <summary>A member left its tie circle: the edges of the tree have to be measured again.</summary>
    Measure = 2,

    /// <summary>A member left for good, or an edge broke: the tree has to be built again, and may fall apart.</summary>
    Rebuild = 4,

    /// <summary>Created by the running flush of newcomers: whoever is in it has been told of no island yet.</summary>
    Fresh = 8,

    /// <summary>Listed in <see cref="World.Large"/>; nothing that has to be done.</summary>
    Large = 16,
}

/// <summary>An island of so many members that it may be part of a crowd, and the box in which its members stood when it was last looked at.</summary>
/// <param name="Index">The island.</param>
/// <param name="Order">Its place in the order of creation, by which it is known that the entry is of the island that has the index now.</param>
internal record struct LargeIsland(int Index, long Order)
{
    /// <summary>Where its members were.</summary>
    public Box Box;

    /// <summary>Where its box began in x when the list was last sorted.</summary>
    public float SortedBy;

    /// <summary>True once its box has been drawn.</summary>
    public bool IsDrawn;

    /// <summary>True when others may be near that do not fit with it.</summary>
    public bool IsCrowded;

    /// <summary>True while its first box has been drawn and nobody has looked around it.</summary>
    public bool IsNew;
}

/// <summary>A rectangle of the ground.</summary>
internal record struct Box(float West, float South, float East, float North)
{
    /// <summary>Holds nothing.</summary>
    public static Box Empty => new(float.PositiveInfinity, float.PositiveInfinity, float.NegativeInfinity, float.NegativeInfinity);

    /// <summary>Grows so that it holds this.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(Point point)
    {
        West = Math.Min(West, point.X);
        East = Math.Max(East, point.X);
        South = Math.Min(South, point.Z);
        North = Math.Max(North, point.Z);
    }

    /// <summary>False when nothing in the one is within this distance, along either axis, of anything in the other.</summary>
    public readonly bool IsNear(in Box other, double distance) =>
        (double)West - other.East <= distance && (double)other.West - East <= distance && (double)South - other.North <= distance && (double)other.South - North <= distance;

    /// <summary>The same for a point.</summary>
    public readonly bool IsNear(Point point, double distance) =>
        West - (double)point.X <= distance && point.X - (double)East <= distance && South - (double)point.Z <= distance && point.Z - (double)North <= distance;
}

/// <summary>One island as the flush keeps it. Its members form a ring through <see cref="Body.Next"/> and a tree through <see cref="Bonds.Parent"/>.</summary>
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

    public Pending Pending;

    /// <summary>The turn (<see cref="World.Turn"/>) in which it was made, or somebody came to it who is new in the world.</summary>
    public int FedAt;

    /// <summary>The flush in which this came off another island; 0 when it never did.</summary>
    public long SplitAt;
}

/// <summary>
/// A circle around the place where something was last measured. While its owner stays inside, what was measured still holds and nobody has to look.
/// </summary>
internal struct Circle
{
    public float X;
    public float Z;

    /// <summary>Metres; see <see cref="RadiusWithin"/>. Infinite where nothing constrains the owner.</summary>
    public float Radius;

    /// <summary>What to store of a radius: somewhat less, so that rounding does not matter; and none at all where floats have lost their digits.</summary>
    public static float RadiusWithin(double metres) => metres < 1e-30 ? 0 : (float)(metres * 0.99999);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool Holds(Point point)
    {
        double dx = (double)point.X - X, dz = (double)point.Z - Z;
        return (dx * dx) + (dz * dz) <= (double)Radius * Radius;
    }
}

/// <summary>
/// Neighbours, by their bodies, whose distance is measured at each flush of everybody: those who would leave the clear circles little room. The first ones are taken; -1 stands for none.
/// </summary>
[InlineArray(Most)]
internal struct Watches
{
    public const int Most = 3;

    private int first;

    public static Watches None
    {
        get
        {
            var none = default(Watches);
            ((Span<int>)none).Fill(-1);
            return none;
        }
    }
}

/// <summary>What keeps a member in its island, and others out of it; a flush in which many have moved goes through all of these.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct Bonds
{
    /// <summary>While all members of an island stay inside theirs, no edge of its tree is longer than the leave distance. Only while <see cref="World.TiesDrawn"/>.</summary>
    [FieldOffset(0)]
    public Circle Tie;

    /// <summary>Whom this one watches. Only while ties are not drawn: circles pay when few move, measuring when many do.</summary>
    [FieldOffset(0)]
    public Watches Watched;

    /// <summary>The other end of the member's edge towards the root of its island's tree; -1 at the root.</summary>
    [FieldOffset(12)]
    public int Parent;
}

/// <summary>Where somebody belongs.</summary>
internal struct Body
{
    /// <summary>The next member of the island's ring.</summary>
    public int Next;

    /// <summary>Index of the island; -1 outside any.</summary>
    public int Island;
}

/// <summary>A place on the ground.</summary>
internal readonly record struct Point(float X, float Z)
{
    /// <summary>Where nobody is: neither near nor far from anything.</summary>
    public static Point Nowhere => new(float.NaN, float.NaN);

    /// <summary>Squared distance in double precision: squares of any two float coordinates fit, and 64 and 80 metres are exact.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public double SquaredDistance(Point other)
    {
        double dx = (double)X - other.X, dz = (double)Z - other.Z;
        return (dx * dx) + (dz * dz);
    }
}

/// <summary>
/// The state that only the flushing thread touches: positions as of this flush, islands, and who belongs where.
/// Columns are indexed by body (<see cref="BodyMap"/>), islands by a table index that is reused when an island disappears.
/// </summary>
internal sealed class World
{
    public Body[] Bodies = [];
    public Bonds[] Bonds = [];
    public int[] Previous = [];
    public long[] Announced = [];

    // Of body i at i + 1: the first is of nobody, whom -1 stands for elsewhere, and is near nobody.
    private Point[] places = [Point.Nowhere];

    /// <summary>Which body belongs to which slot.</summary>
    public readonly BodyMap Map = new();

    /// <summary>Bodies that there is room for.</summary>
    public int Capacity;

    public Island[] Islands = new Island[16];
    public int IslandTop;
    public int IslandCount;
    public int PeerCount;

    /// <summary>
    /// True while tie circles stand for the edges of trees: when few move, so that next to no edge need be measured. While many move, circles would be
    /// left and drawn again all the time, and every edge is measured instead.
    /// </summary>
    public bool TiesDrawn { get; private set; }

    /// <summary>Peers that have left since the last flush of everything.</summary>
    public int Departed;

    private int[] freeIslands = new int[16];
    private int freeIslandCount;
    private long nextOrder = 1;

    /// <summary>Islands with something pending, by index; an entry may have disappeared meanwhile.</summary>
    public readonly Pool<int> Touched = new();

    /// <summary>Bodies that came to an island, perhaps more than once; the announcement goes through them.</summary>
    public readonly Pool<int> Reassigned = new();

    /// <summary>Islands with at least <see cref="LargeFrom"/> members, and some that had; see <see cref="LargeIsland.Order"/>.</summary>
    public readonly Pool<LargeIsland> Large = new();

    /// <summary>From how many members an island is listed as large.</summary>
    public int LargeFrom = int.MaxValue;

    /// <summary>The number of this flush of everybody, or of the last before flushes of newcomers.</summary>
    public int Turn;

    /// <summary>Islands created since numbers were last given.</summary>
    private readonly Pool<int> created = new();

    private readonly Pool<ulong> numbering = new();
    private readonly Pool<int> numbered = new();

    public long LastId { get; set; }

    /// <summary>Where a body is, as of this flush.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref Point At(int body) => ref places[body + 1];

    /// <summary>This body will be moved soon.</summary>
    public void Expect(int body)
    {
        Prefetch.Entry(places, body + 1);
        if (TiesDrawn)
            Prefetch.Entry(Bonds, body);
    }

    /// <summary>Where everybody is, body by body, after one entry that is of nobody.</summary>
    public Span<Point> Places => places.AsSpan(0, Map.Top + 1);

    /// <summary>Makes room for this many bodies; called before any is handed out.</summary>
    public void EnsureCapacity(int bodies)
    {
        if (bodies <= Capacity)
            return;
        int size = Growth.From(Capacity, bodies);
        Map.EnsureBodies(size);
        Array.Resize(ref Bodies, size);
        Array.Resize(ref Bonds, size);
        Array.Resize(ref places, size + 1);
        Array.Resize(ref Previous, size);
        Array.Resize(ref Announced, size);
        foreach (ref Body body in Bodies.AsSpan(Capacity))
            body.Island = -1;
        // Last, so that a failure to grow is met again rather than forgotten.
        Capacity = size;
    }

    /// <summary>Gives a slot a body that is in no island yet.</summary>
    public int Embody(int slot, Point at)
    {
        int body = Map.Embody(slot);
        Bodies[body] = new Body { Island = -1 };
        At(body) = at;
        Bonds[body].Parent = -1;
        Unbind(ref Bonds[body]);
        Announced[body] = 0;
        return body;
    }

    /// <summary>Takes the body of a slot back; it is in no island any more.</summary>
    public void Disembody(int body)
    {
        Bonds[body].Parent = -1;
        Unbind(ref Bonds[body]);
        Map.Disembody(body);
    }

    /// <summary>Numbers bodies anew: number <c>i</c> is what was <c>from[i]</c>; <paramref name="to"/> says the same the other way round.</summary>
    public void Renumber(ReadOnlySpan<int> from, ReadOnlySpan<int> to, ColumnPermuter permuter)
    {
        permuter.Apply(Bodies, from);
        permuter.Apply(Bonds, from);
        permuter.Apply(places.AsSpan(1), from);
        permuter.Apply(Previous, from);
        permuter.Apply(Announced, from);
        Map.Renumber(from, permuter);
        for (int body = 0; body < Map.Top; body++)
        {
            ref Body moved = ref Bodies[body];
            if (moved.Island < 0)
                continue;
            ref Bonds bonds = ref Bonds[body];
            if (!TiesDrawn)
                RenumberWatches(ref bonds.Watched, to);
            moved.Next = to[moved.Next];
            Previous[body] = to[Previous[body]];
            // The tree of an island that is still to be built again may hang on somebody who has left.
            int parent = bonds.Parent < 0 ? -1 : to[bonds.Parent];
            bonds.Parent = parent < Map.Top ? parent : -1;
        }
        foreach (ref Island island in Islands.AsSpan(0, IslandTop))
            if (island.Count > 0)
                island.First = to[island.First];
    }

    private void RenumberWatches(ref Watches watched, ReadOnlySpan<int> to)
    {
        Watches old = watched;
        watched = Watches.None;
        int kept = 0;
        foreach (int other in (ReadOnlySpan<int>)old)
            if (other >= 0 && to[other] < Map.Top) // or it belongs to nobody any more
                watched[kept++] = to[other];
    }

    /// <summary>Ties are drawn from now on, and nobody watches anybody; or the other way round.</summary>
    public void DrawTies(bool drawn)
    {
        TiesDrawn = drawn;
        foreach (ref Bonds bonds in Bonds.AsSpan(0, Map.Top))
            Unbind(ref bonds);
    }

    /// <summary>Nothing is known of what might happen to somebody, but its edge.</summary>
    private void Unbind(ref Bonds bonds)
    {
        if (TiesDrawn)
            bonds.Tie = new Circle { Radius = float.PositiveInfinity };
        else
            bonds.Watched = Watches.None;
    }

    /// <summary>Numbers islands in the order in which bodies name them; <paramref name="from"/> and <paramref name="to"/> are scratch.</summary>
    public void RenumberIslands(Pool<int> from, Pool<int> to, ColumnPermuter permuter)
    {
        Span<int> old = from.Resize(IslandTop), renamed = to.Resize(IslandTop);
        renamed.Fill(-1);
        int named = 0;
        foreach (ref Body body in Bodies.AsSpan(0, Map.Top))
        {
            if (body.Island < 0)
                continue;
            ref int name = ref renamed[body.Island];
            if (name < 0)
            {
                old[named] = body.Island;
                name = named++;
            }
            body.Island = name;
        }
        int spare = named;
        for (int index = 0; index < IslandTop; index++)
        {
            if (renamed[index] >= 0)
                continue;
            old[spare] = index;
            renamed[index] = spare++;
        }
        permuter.Apply(Islands, old);
        // Islands that are gone leave the list, and the flag that says that they are on it.
        int kept = 0;
        foreach (int touched in Touched.Span)
            if (renamed[touched] < named)
                Touched.Span[kept++] = renamed[touched];
        Touched.Resize(kept);
        Islands.AsSpan(named, IslandTop - named).Clear();
        foreach (ref LargeIsland large in Large.Span)
            if (large.Index < renamed.Length) // or it is long gone
                large.Index = renamed[large.Index];
        System.Diagnostics.Debug.Assert(named == IslandCount && created.Count == 0, "every island has a member, and all are numbered between flushes");
        IslandTop = named;
        freeIslandCount = 0;
    }

    /// <summary>Makes room for so many more islands, so that the tables grow once.</summary>
    public void ReserveIslands(int more)
    {
        int needed = IslandTop + more - freeIslandCount;
        if (needed > Islands.Length)
            Array.Resize(ref Islands, Math.Max(needed, Islands.Length * 2));
        created.Reserve(more);
        Reassigned.Reserve(more);
    }

    /// <summary>Makes an island with this one member.</summary>
    public int CreateIsland(int body)
    {
        int index = freeIslandCount > 0 ? freeIslands[--freeIslandCount] : IslandTop++;
        if (index >= Islands.Length)
            Array.Resize(ref Islands, Islands.Length * 2);
        // An index that was freed and is used again may still be on the list of touched islands.
        Islands[index] = new Island { Order = nextOrder++, First = body, Count = 1, FedAt = Turn, Pending = Islands[index].Pending & Pending.Listed };
        IslandCount++;
        Bodies[body].Island = index;
        Bodies[body].Next = Previous[body] = body;
        Bonds[body].Parent = -1;
        if (TiesDrawn)
            Unbind(ref Bonds[body]);
        created.Add(index);
        Reassigned.Add(body);
        return index;
    }

    public void Touch(int index, Pending pending)
    {
        ref Island island = ref Islands[index];
        if ((island.Pending & Pending.Listed) == 0)
            Touched.Add(index);
        island.Pending |= pending | Pending.Listed;
    }

    /// <summary>Puts a body that is in no ring at the end of an island's ring. Its place in the tree is the caller's business.</summary>
    public void Append(int index, int body)
    {
        ref Island island = ref Islands[index];
        int first = island.First, last = Previous[first];
        Bodies[last].Next = body;
        Previous[body] = last;
        Bodies[body].Next = first;
        Previous[first] = body;
        Bodies[body].Island = index;
        island.Count++;
        Reassigned.Add(body);
        NoteSize(index);
    }

    /// <summary>Lists an island that has become large.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void NoteSize(int index)
    {
        ref Island island = ref Islands[index];
        if (island.Count < LargeFrom || (island.Pending & Pending.Large) != 0)
            return;
        island.Pending |= Pending.Large;
        Large.Add(new LargeIsland(index, island.Order));
    }

    /// <summary>Takes a body out of its island's ring; the island disappears with its last member.</summary>
    public void Detach(int body)
    {
        int index = Bodies[body].Island;
        ref Island island = ref Islands[index];
        Bodies[body].Island = -1;
        if (--island.Count == 0)
        {
            Release(index);
            return;
        }
        int next = Bodies[body].Next, previous = Previous[body];
        Bodies[previous].Next = next;
        Previous[next] = previous;
        if (island.First == body)
            island.First = next;
    }

    /// <summary>
    /// Moves every member of one island to the end of another's ring, and hangs its tree by <paramref name="to"/> onto <paramref name="from"/> of the
    /// other; the emptied island disappears.
    /// </summary>
    public void Absorb(int target, int absorbed, int from, int to)
    {
        int head = Islands[absorbed].First, tail = Previous[head];
        int body = head;
        do
        {
            Bodies[body].Island = target;
            Reassigned.Add(body);
            body = Bodies[body].Next;
        }
        while (body != head);
        Link(from, to);

        ref Island into = ref Islands[target];
        int first = into.First, last = Previous[first];
        Bodies[last].Next = head;
        Previous[head] = last;
        Bodies[tail].Next = first;
        Previous[first] = tail;
        into.Count += Islands[absorbed].Count;
        into.FedAt = Math.Max(into.FedAt, Islands[absorbed].FedAt);
        NoteSize(target);
        // A tree that was to be built again lends that to the whole.
        Touch(target, Pending.Measure | (Islands[absorbed].Pending & (Pending.Measure | Pending.Rebuild)));
        Release(absorbed);
    }

    /// <summary>
    /// An island's place among those that may merge: larger first, then older. 24 bits of size, so that beyond 16 million members age alone decides, and
    /// 40 of age.
    /// </summary>
    public ulong Rank(int index)
    {
        ref readonly Island island = ref Islands[index];
        return ((ulong)(0xFFFFFF - Math.Min(island.Count, 0xFFFFFF)) << 40) | (ulong)island.Order;
    }

    /// <summary>True when island a goes into b in a merge rather than b into a: the larger stays, on a tie the older.</summary>
    public bool Yields(int a, int b)
    {
        ref readonly Island x = ref Islands[a];
        ref readonly Island y = ref Islands[b];
        return x.Count != y.Count ? x.Count < y.Count : x.Order > y.Order;
    }

    /// <summary>Makes <paramref name="child"/> the root of its tree and hangs it onto <paramref name="parent"/>, which is in another tree. Costs the depth of the child; hang the smaller tree.</summary>
    public void Link(int parent, int child)
    {
        int above = parent, body = child;
        while (body >= 0)
        {
            int next = Bonds[body].Parent;
            Bonds[body].Parent = above;
            above = body;
            body = next;
        }
    }

    /// <summary>True when a body is another, or hangs on it.</summary>
    public bool HangsOn(int body, int above)
    {
        while (body >= 0 && body != above)
            body = Bonds[body].Parent;
        return body == above;
    }

    /// <summary>Adds an island's members to a list, in the order of its ring.</summary>
    public void AddMembers(int index, Pool<int> to)
    {
        int first = Islands[index].First, body = first;
        do
        {
            to.Add(body);
            body = Bodies[body].Next;
        }
        while (body != first);
    }

    /// <summary>The box in which an island's members stand.</summary>
    public Box BoxOf(int index)
    {
        Box box = Box.Empty;
        int first = Islands[index].First, body = first;
        do
        {
            box.Add(At(body));
            body = Bodies[body].Next;
        }
        while (body != first);
        return box;
    }

    /// <summary>Gives the islands that were created and still exist their numbers, in order of creation.</summary>
    public void NumberNewIslands()
    {
        Span<int> indices = numbered.Resize(created.Count);
        Span<ulong> orders = numbering.Resize(created.Count);
        int n = 0;
        foreach (int index in created.Span)
        {
            ref readonly Island island = ref Islands[index];
            if (island.Count == 0 || island.Id != 0)
                continue;
            indices[n] = index;
            orders[n++] = (ulong)island.Order;
        }
        created.Clear();
        orders[..n].Sort(indices[..n]);
        // An index may have been freed and used again since: then it stands here twice, and gets its number once.
        foreach (int index in indices[..n])
            if (Islands[index].Id == 0)
                Islands[index].Id = ++LastId;
    }

    /// <summary>Restores an island as it was saved; its members are appended afterwards.</summary>
    public int RestoreIsland(long id, int body)
    {
        int index = CreateIsland(body);
        Islands[index].Id = id;
        return index;
    }

    /// <summary>What was restored has been told and numbered before.</summary>
    public void EndRestoring()
    {
        Reassigned.Clear();
        created.Clear();
    }

    /// <summary>Gives back the memory that an arrival of many has left behind; after a flush of everybody, when nothing is pending.</summary>
    public void ReleaseScratch(ColumnPermuter permuter)
    {
        RenumberIslands(new Pool<int>(), new Pool<int>(), permuter);
        numbered.Release();
        created.Release();
        numbering.Release();
        Reassigned.Release();
        freeIslands = new int[16];
        int islands = Growth.From(IslandTop, IslandTop + 1);
        Touched.Release();
        if (islands < Islands.Length)
            Array.Resize(ref Islands, islands);
    }

    private void Release(int index)
    {
        // A listed entry keeps its flag: the list is emptied only when the pass over it ends.
        Islands[index] = new Island { First = -1, Pending = Islands[index].Pending & Pending.Listed };
        IslandCount--;
        if (freeIslandCount == freeIslands.Length)
            Array.Resize(ref freeIslands, freeIslands.Length * 2);
        freeIslands[freeIslandCount++] = index;
    }
}
