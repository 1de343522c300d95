using System.Numerics;
using System.Runtime.CompilerServices;

namespace Archipelago.Core.Internals;

/// <summary>Two members of different islands within the join distance, whose islands fit together.</summary>
internal readonly record struct Contact(int IslandA, int IslandB, int SlotA, int SlotB);

/// <summary>
/// Finds those who came within the join distance of somebody of another island that theirs fits with, without looking at those who cannot have.
/// </summary>
/// <remarks>
/// <para>
/// Everybody has a clear circle: for any two of different islands that fit together, the circles' centres are farther apart than the join distance and
/// both radii. While both stay inside theirs, they are not near; so only who left its circle (was <em>activated</em>) looks around, draws a new
/// circle, and where a neighbour's circle leaves too little room, cuts that one down, activating the neighbour if it stands outside the rest. This is
/// the safe-region technique of moving-object databases, and the skin of Verlet's neighbour lists, one circle a person.
/// </para>
/// <para>
/// Pairs that do not fit are not guarded. They come to fit only when one of the islands loses members, and then all its members are activated. Islands
/// without room fit with nobody, so their members are not in the index at all: in a crowd at the cap there is next to nothing to look at.
/// </para>
/// <para>
/// Of two islands that fit together one is small: it holds at most half the cap. So members of small islands are kept apart from the others, and
/// members of large ones look at the small alone; in a dense world, where most islands are nearly full, that is next to nobody.
/// </para>
/// <para>
/// Circles are kept by their centres in hashed squares whose side is the join distance and twice the largest radius, so nine squares hold everybody who
/// matters. Squares that share a hash cost a few wasted looks, for distance decides anyway; and no coordinate is too far.
/// </para>
/// </remarks>
internal sealed class NeighbourIndex
{
    /// <summary>The largest radius, as a part of the join distance: larger ones mean fewer looks, each at more people.</summary>
    private const double LargestRadius = 0.5;
    private const double RoundingMargin = 0.99999;
    private const int Absent = -2;

    /// <summary>What a look reads of everybody in a bucket, side by side: most are dismissed for their circle alone.</summary>
    private struct Node
    {
        public Circle Clear;
        public int Next;
    }

    private Node[] nodes = [];
    private int[] previous = [];
    private int[] bucketOf = [];
    private bool[] isActive = [];

    /// <summary>First slot of each bucket: those of small islands, then, from <see cref="largeBase"/> on, those of large ones.</summary>
    private int[] heads = [];
    private int mask;
    private int largeBase;
    private int capacity;
    private double joinDistance;
    private double largest;
    private double perMetre;
    private int cap;

    private readonly Pool<int> active = new();

    /// <summary>How far a search has come in the list of the active, and how many of those it leaves active.</summary>
    private int searched;
    private int kept;
    private int[] lastContact = [];

    /// <summary>Makes room for these slots and takes over the rules. Circles drawn under other rules are void: then activate everybody.</summary>
    public void Prepare(World world, IslandOptions rules)
    {
        bool moved = joinDistance != rules.JoinDistance;
        joinDistance = rules.JoinDistance;
        largest = joinDistance * LargestRadius;
        perMetre = 1 / (joinDistance + (2 * largest));
        cap = rules.MaxIslandSize;
        if (capacity < world.Capacity)
        {
            int old = capacity;
            capacity = world.Capacity;
            Array.Resize(ref nodes, capacity);
            Array.Resize(ref previous, capacity);
            Array.Resize(ref bucketOf, capacity);
            Array.Resize(ref isActive, capacity);
            bucketOf.AsSpan(old).Fill(Absent);
            mask = (int)Math.Min(1 << 30, BitOperations.RoundUpToPowerOf2((uint)capacity) * 2) - 1;
            moved = true;
        }
        if (moved)
            Rehash();
    }

    /// <summary>Lets the peer look around at the next search.</summary>
    public void Activate(int slot)
    {
        if (isActive[slot])
            return;
        isActive[slot] = true;
        active.Add(slot);
    }

    /// <summary>
    /// A peer reported a new place. Outside its circle it is activated, and kept where it stands with a circle of no size, so that it is found there
    /// by newcomers who look around before it does.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Moved(World world, int slot, Point to)
    {
        if (bucketOf[slot] != Absent && !nodes[slot].Clear.Holds(to))
            LeaveCircle(world, slot, to);
    }

    private void LeaveCircle(World world, int slot, Point to)
    {
        Place(slot, to, IsSmall(world.Islands[world.Bodies[slot].Island].Count));
        nodes[slot].Clear.Radius = 0;
        Activate(slot);
    }

    /// <summary>True when an island of this size fits with another of its size.</summary>
    public bool IsSmall(int count) => 2L * count <= cap;

    /// <summary>An island has become small, or has room again: its members are kept with those like them, and look around at the next search.</summary>
    public void Expose(World world, int island)
    {
        int first = world.Islands[island].First, slot = first;
        if (first < 0)
            return;
        do
        {
            LeaveCircle(world, slot, world.Bodies[slot].At);
            slot = world.Bodies[slot].Next;
        }
        while (slot != first);
    }

    /// <summary>The peer is in no island any more, or in one without room.</summary>
    public void Remove(int slot)
    {
        if (bucketOf[slot] == Absent)
            return;
        Unlink(slot);
        bucketOf[slot] = Absent;
    }

    /// <summary>Forgets that the slot is active: its peer has left.</summary>
    public void Forget(int slot)
    {
        Remove(slot);
        isActive[slot] = false;
    }

    /// <summary>
    /// Lets those who are active look around, and adds whom they meet. With <paramref name="newcomersOnly"/> only members of fresh islands look, and
    /// everybody stays active for the next search of all.
    /// </summary>
    /// <returns>
    /// False when it stopped early: thousands who met at one place at once have a contact each with all others, and most of these are void once the
    /// first have merged. Deal with those found, and search again.
    /// </returns>
    public bool Search(World world, Pool<Contact> contacts, bool newcomersOnly)
    {
        if (lastContact.Length < world.IslandTop)
            lastContact = new int[world.Islands.Length];
        int enough = MostContacts(world.PeerCount);
        // The list grows while it is gone through: looking around may activate neighbours.
        while (searched < active.Count)
        {
            if (contacts.Count > enough)
                return false;
            int slot = active.Span[searched++];
            if (!isActive[slot] || world.Bodies[slot].Island < 0)
            {
                isActive[slot] = false;
                continue;
            }
            bool fresh = (world.Islands[world.Bodies[slot].Island].Pending & Pending.Fresh) != 0;
            if (newcomersOnly)
            {
                // What a newcomer finds may have to wait for a flush of everything, so it stays active.
                if (fresh)
                    Look(world, slot, contacts);
                active.Span[kept++] = slot;
                continue;
            }
            isActive[slot] = false;
            Look(world, slot, contacts);
        }
        active.Resize(kept);
        searched = kept = 0;
        return true;
    }

    private static int MostContacts(int peers) => (int)Math.Min(int.MaxValue / 4, 4096 + (4L * peers));

    private void Look(World world, int slot, Pool<Contact> contacts)
    {
        int island = world.Bodies[slot].Island, size = world.Islands[island].Count;
        if (size >= cap)
        {
            Remove(slot);
            return;
        }
        Point at = world.Bodies[slot].At;
        bool small = IsSmall(size);
        Place(slot, at, small);
        if (size == world.PeerCount)
        {
            // Nobody else is there.
            nodes[slot].Clear.Radius = (float)(largest * RoundingMargin);
            return;
        }
        double radius = largest;
        int column = Coordinate(at.X), row = Coordinate(at.Z);
        for (int z = -1; z <= 1; z++)
        {
            int start = RowStart(row + z);
            for (int x = -1; x <= 1; x++)
            {
                int bucket = (start + column + x) & mask;
                radius = LookInto(world, bucket, slot, at, island, size, radius, contacts);
                if (small)
                    radius = LookInto(world, bucket + largeBase, slot, at, island, size, radius, contacts);
            }
        }
        nodes[slot].Clear.Radius = (float)(radius * RoundingMargin);
    }

    private double LookInto(World world, int bucket, int slot, Point at, int island, int size, double radius, Pool<Contact> contacts)
    {
        int following;
        for (int other = heads[bucket]; other >= 0; other = following)
        {
            // Read now: cutting a circle down may move its owner to another bucket.
            following = nodes[other].Next;
            ref Circle circle = ref nodes[other].Clear;
            double apart = at.SquaredDistance(new Point(circle.X, circle.Z)), matters = joinDistance + circle.Radius + radius;
            // Beyond, not at: with circles of no size this is the join distance itself, which still counts as near.
            if (apart > matters * matters)
                continue;
            double centres = Math.Sqrt(apart), room = centres - joinDistance - circle.Radius;
            int otherIsland = world.Bodies[other].Island;
            if (otherIsland == island || world.Islands[otherIsland].Count + size > cap)
                continue;
            double squared = at.SquaredDistance(world.Bodies[other].At);
            if (squared <= joinDistance * joinDistance)
            {
                // They merge in this flush or come not to fit, for sizes only grow in it: a pair of neither kind needs no guard. A newcomer, whose pair
                // may have to wait, stays active.
                Meet(contacts, new Contact(island, otherIsland, slot, other));
                continue;
            }
            double half = Math.Max(0, (Math.Sqrt(squared) - joinDistance) / 2);
            if (room < half)
            {
                CutDown(world, other, ref circle, centres - joinDistance - half);
                room = half;
            }
            radius = Math.Min(radius, room);
        }
        return radius;
    }

    /// <summary>Makes a circle smaller, which holds for all its neighbours; activates its owner when that stands outside.</summary>
    private void CutDown(World world, int slot, ref Circle circle, double radius)
    {
        circle.Radius = (float)(Math.Max(0, radius) * RoundingMargin);
        if (!circle.Holds(world.Bodies[slot].At))
            LeaveCircle(world, slot, world.Bodies[slot].At);
    }

    private void Meet(Pool<Contact> contacts, Contact contact)
    {
        // Members of one island look one after the other as a rule; a contact just noted need not be noted again.
        if (lastContact[contact.IslandB] == contact.IslandA + 1)
            return;
        lastContact[contact.IslandB] = contact.IslandA + 1;
        contacts.Add(contact);
    }

    /// <summary>Forgets which contacts were noted; call it when the contacts have been dealt with.</summary>
    public void ForgetContacts(ReadOnlySpan<Contact> contacts)
    {
        foreach (ref readonly Contact contact in contacts)
            lastContact[contact.IslandB] = 0;
    }

    private void Place(int slot, Point at, bool small)
    {
        nodes[slot].Clear.X = at.X;
        nodes[slot].Clear.Z = at.Z;
        int bucket = Bucket(Coordinate(at.X), Coordinate(at.Z)) + (small ? 0 : largeBase);
        if (bucketOf[slot] == bucket)
            return;
        if (bucketOf[slot] != Absent)
            Unlink(slot);
        LinkInto(slot, bucket);
    }

    private void LinkInto(int slot, int bucket)
    {
        int head = heads[bucket];
        nodes[slot].Next = head;
        previous[slot] = -1;
        if (head >= 0)
            previous[head] = slot;
        heads[bucket] = slot;
        bucketOf[slot] = bucket;
    }

    private void Unlink(int slot)
    {
        int before = previous[slot], after = nodes[slot].Next;
        if (before >= 0)
            nodes[before].Next = after;
        else
            heads[bucketOf[slot]] = after;
        if (after >= 0)
            previous[after] = before;
    }

    private void Rehash()
    {
        int oldBase = largeBase;
        largeBase = mask + 1;
        if (heads.Length != 2 * largeBase)
            heads = new int[2 * largeBase];
        heads.AsSpan().Fill(-1);
        for (int slot = 0; slot < capacity; slot++)
            if (bucketOf[slot] != Absent)
                LinkInto(slot, Bucket(Coordinate(nodes[slot].Clear.X), Coordinate(nodes[slot].Clear.Z)) + (bucketOf[slot] < oldBase ? 0 : largeBase));
    }

    // Beyond 2²⁸ squares neighbouring floats are sixteen squares apart, so only equal coordinates are near: their bits are as good as a square.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Coordinate(float metres)
    {
        double squares = Math.Floor(metres * perMetre);
        return Math.Abs(squares) <= 1 << 28 ? (int)squares : BitConverter.SingleToInt32Bits(metres);
    }

    private int Bucket(int column, int row) => (RowStart(row) + column) & mask;

    /// <summary>A row's squares lie side by side from here on, so that three neighbours are one look into memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int RowStart(int row) => (int)((uint)row * 0x9E3779B97F4A7C15UL >> 29);
}
