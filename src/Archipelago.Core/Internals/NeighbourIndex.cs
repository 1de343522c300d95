using System.Numerics;
using System.Runtime.CompilerServices;

namespace Archipelago.Core.Internals;

/// <summary>Two members of different islands within the join distance, whose islands fit together.</summary>
internal readonly record struct Contact(int IslandA, int IslandB, int BodyA, int BodyB);

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
/// While many move (while no ties are drawn), a pair need not be told apart by circles if one of the two watches the other (<see cref="Watches"/>): then <see cref="EdgeSweep"/> measures
/// them at each flush of everybody. The few who leave the least room are watched, and circles kept clear of the others alone are large.
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
internal sealed partial class NeighbourIndex(Crew crew)
{
    /// <summary>The largest radius, as a part of the join distance: larger ones mean fewer looks, each at more people.</summary>
    private const double LargestRadius = 0.5;

    /// <summary>Where rounding in single precision may be neglected.</summary>
    private const float CertainPart = 0.999f;
    private const int Absent = -2;
    private const int FarthestSquare = 1 << 28;

    /// <summary>Neighbours that a newcomer chooses by.</summary>
    private const int Company = 10;

    /// <summary>Squares that are gone through for a box at most.</summary>
    private const int MostSquares = 4096;

    /// <summary>More than rounding can add to the distance from a square.</summary>
    private const double SquareMargin = 1.0001;

    /// <summary>What a look reads of everybody in a bucket, side by side: most are dismissed for their circle alone. Who is in no bucket has a circle that holds everything.</summary>
    private struct Node
    {
        public Circle Clear;
        public int Next;
    }

    private Node[] nodes = [];
    private int[] previous = [];
    private int[] bucketOf = [];

    /// <summary>One bit a body: who is to look around. Gone through in the order of bodies, which is an order in space.</summary>
    private ulong[] active = [];

    /// <summary>No word of <see cref="active"/> before this one has a bit set.</summary>
    private int firstActive = int.MaxValue;

    /// <summary>First body of each bucket. Two buckets a square, side by side: members of small islands, and of large ones.</summary>
    private int[] heads = [];
    private int squareBits;
    private int capacity;
    private double joinDistance;
    private double largest;
    private double side;
    private double perMetre;
    private int cap;

    private readonly Pool<int> wasActive = new();

    /// <summary>How often somebody left its circle since bodies were last numbered in the order of space.</summary>
    public long CirclesLeft { get; private set; }

    /// <summary>Makes room for these bodies and takes over the rules. Circles drawn under other rules are void: then activate everybody.</summary>
    public void Prepare(World world, IslandOptions rules)
    {
        bool moved = joinDistance != rules.JoinDistance;
        joinDistance = rules.JoinDistance;
        largest = joinDistance * LargestRadius;
        side = joinDistance + (2 * largest);
        perMetre = 1 / side;
        cap = rules.MaxIslandSize;
        if (capacity < world.Capacity)
        {
            int old = capacity;
            Array.Resize(ref nodes, world.Capacity);
            Array.Resize(ref previous, world.Capacity);
            Array.Resize(ref bucketOf, world.Capacity);
            Array.Resize(ref active, (world.Capacity + 63) >> 6);
            bucketOf.AsSpan(old).Fill(Absent);
            foreach (ref Node node in nodes.AsSpan(old))
                node.Clear.Radius = float.PositiveInfinity;
            // Last, so that a failure to grow is met again rather than forgotten.
            capacity = world.Capacity;
            squareBits = Math.Min(29, BitOperations.Log2((uint)capacity - 1) + 1);
            moved = true;
        }
        if (moved)
            Rehash();
    }

    /// <summary>Lets the peer look around at the next search.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Activate(int body)
    {
        int word = body >> 6;
        active[word] |= 1UL << body;
        if (word < firstActive)
            firstActive = word;
    }

    /// <summary>This body will be moved soon.</summary>
    public void Expect(int body) => Prefetch.Entry(nodes, body);

    /// <summary>True when a place is certainly inside a peer's circle; false as well where rounding might decide.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsInside(int body, Point at)
    {
        ref readonly Circle circle = ref nodes[body].Clear;
        float dx = at.X - circle.X, dz = at.Z - circle.Z;
        float certain = circle.Radius * circle.Radius * CertainPart;
        return certain > RoughLimit.Smallest && (dx * dx) + (dz * dz) < certain;
    }

    /// <summary>
    /// A peer reported a new place. Outside its circle it is activated, and kept where it stands with a circle of no size, so that it is found there
    /// by newcomers who look around before it does.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Moved(World world, int body, Point to)
    {
        if (!nodes[body].Clear.Holds(to))
            LeaveCircle(world, body, to);
    }

    private void LeaveCircle(World world, int body, Point to)
    {
        Place(body, to, IsSmall(world.Islands[world.Bodies[body].Island].Count));
        nodes[body].Clear.Radius = 0;
        Activate(body);
        CirclesLeft++;
    }

    /// <summary>True when an island of this size fits with another of its size.</summary>
    public bool IsSmall(int count) => 2L * count <= cap;

    /// <summary>An island has become small, or has room again: its members are kept with those like them, and look around at the next search.</summary>
    public void Expose(World world, int island)
    {
        int first = world.Islands[island].First, body = first;
        if (first < 0)
            return;
        do
        {
            LeaveCircle(world, body, world.At(body));
            body = world.Bodies[body].Next;
        }
        while (body != first);
    }

    /// <summary>True while somebody is to look around.</summary>
    public bool HasActive => firstActive < active.Length;

    /// <summary>A member has been taken over by another island where it stands: it looks around at the next search, unless its new island is full.</summary>
    public void Reassigned(World world, int body)
    {
        if (world.Islands[world.Bodies[body].Island].Count >= cap)
            Remove(body);
        else
            LeaveCircle(world, body, world.At(body));
    }

    /// <summary>
    /// An island has given members to others. Islands that were too large for it may fit now, so its circles may be void: then everybody in it looks around. As a rule there is no such
    /// island near, and then nobody need.
    /// </summary>
    /// <param name="world">The world.</param>
    /// <param name="island">The island.</param>
    /// <param name="before">Members that it had.</param>
    /// <param name="box">Where its members are.</param>
    public void Shrunk(World world, int island, int before, in Box box)
    {
        int now = world.Islands[island].Count;
        // Still in no index, as nobody fits with it.
        if (now >= cap)
            return;
        // The distance that two circles have to leave between them, and for each of the two its radius, and once more the way from its centre to its owner.
        double reach = joinDistance + (4 * largest);
        if (IsSmall(now) || AnySmallNear(world, island, box, reach, cap - before + 1, cap - now, whereUnknown: true))
        {
            Expose(world, island);
            return;
        }
        if (before < cap)
            return;
        // It was full, and kept out of here.
        int first = world.Islands[island].First, body = first;
        do
        {
            Place(body, world.At(body), small: false);
            nodes[body].Clear.Radius = Circle.RadiusWithin(largest);
            body = world.Bodies[body].Next;
        }
        while (body != first);
    }

    /// <summary>True when somebody of another, small island of such a size stands within a distance of an island's box; <paramref name="whereUnknown"/> where the box is too large to tell.</summary>
    public bool AnySmallNear(World world, int island, in Box box, double distance, int atLeast, int atMost, bool whereUnknown)
    {
        atMost = Math.Min(atMost, cap / 2);
        if (atLeast > atMost)
            return false;
        if (!TrySquares(box, distance, out Squares squares))
            return whereUnknown;
        for (int row = squares.South; row <= squares.North; row++)
            for (int column = squares.West; column <= squares.East; column++)
                for (int other = heads[Bucket(column, row)]; other >= 0; other = nodes[other].Next)
                    if (world.Bodies[other].Island is var index && index >= 0 && index != island
                        && world.Islands[index].Count is var size && size >= atLeast && size <= atMost && box.IsNear(world.At(other), distance))
                        return true;
        return false;
    }

    /// <summary>Adds the small islands of which somebody stands within a distance of a box to a crowd; none where it is too large to tell.</summary>
    public void VisitSmallNear(World world, in Box box, double distance, Crowds.CrowdFinder crowd)
    {
        if (!TrySquares(box, distance, out Squares squares))
            return;
        for (int row = squares.South; row <= squares.North; row++)
            for (int column = squares.West; column <= squares.East; column++)
                for (int other = heads[Bucket(column, row)]; other >= 0; other = nodes[other].Next)
                    // Members of islands that have grown stay in their buckets until they look around.
                    if (world.Bodies[other].Island >= 0 && IsSmall(world.Islands[world.Bodies[other].Island].Count) && box.IsNear(world.At(other), distance))
                        crowd.Add(world.Bodies[other].Island);
    }

    /// <summary>
    /// Whom a newcomer goes to: the nearest member of the island that it prefers, if somebody of that one is within the join distance and it has room; or else of the island in which
    /// most of its ten nearest are, of those whose islands have room; a draw goes to the island of the nearest. -1 when nobody is near. Who is equally near counts in the order of
    /// adding.
    /// </summary>
    public int FindCompany(World world, PeerTable peers, int body)
    {
        Span<(double Apart, int Body)> nearest = stackalloc (double, int)[Company];
        int count = 0, island = world.Bodies[body].Island;
        long preference = peers.Preference(world.Map.SlotOf(body));
        (double Apart, int Body) preferred = (double.PositiveInfinity, -1);
        Point at = world.At(body);
        int column = Coordinate(at.X), row = Coordinate(at.Z);
        for (int i = 0; i < 9; i++)
        {
            int bucket = Bucket(column + Around[i], row + Around[9 + i]);
            // Squares that share a bucket would be gone through twice.
            bool seen = false;
            for (int before = 0; before < i && !seen; before++)
                seen = Bucket(column + Around[before], row + Around[9 + before]) == bucket;
            for (int side = 0; side < 2 && !seen; side++)
            {
                for (int other = heads[bucket + side]; other >= 0; other = nodes[other].Next)
                {
                    int otherIsland = world.Bodies[other].Island;
                    double apart = at.SquaredDistance(world.At(other));
                    if (otherIsland == island || apart > joinDistance * joinDistance || world.Islands[otherIsland].Count >= cap)
                        continue;
                    if (preference != 0 && preference == world.Islands[otherIsland].Id && (preferred.Body < 0 || IsNearer(world, peers, apart, other, preferred)))
                        preferred = (apart, other);
                    if (count == Company && !IsNearer(world, peers, apart, other, nearest[count - 1]))
                        continue;
                    int to = count < Company ? count++ : Company - 1;
                    for (; to > 0 && IsNearer(world, peers, apart, other, nearest[to - 1]); to--)
                        nearest[to] = nearest[to - 1];
                    nearest[to] = (apart, other);
                }
            }
        }
        if (preferred.Body >= 0)
            return preferred.Body;
        int best = -1, most = 0;
        for (int i = 0; i < count; i++)
        {
            int same = 0;
            foreach ((_, int other) in nearest[..count])
                same += world.Bodies[other].Island == world.Bodies[nearest[i].Body].Island ? 1 : 0;
            if (same > most)
                (most, best) = (same, nearest[i].Body);
        }
        return best;
    }

    private static bool IsNearer(World world, PeerTable peers, double apart, int body, (double Apart, int Body) than) =>
        apart != than.Apart ? apart < than.Apart : peers.AddOrder(world.Map.SlotOf(body)) < peers.AddOrder(world.Map.SlotOf(than.Body));

    /// <summary>For the self-check: false when two could come to be near, and their islands fit, and neither is about to look around.</summary>
    public bool IsGuarded(World world, int a, int b, bool watchesAreMeasured)
    {
        int one = world.Bodies[a].Island, other = world.Bodies[b].Island;
        if (one == other || world.Islands[one].Count + world.Islands[other].Count > cap || IsActive(a) || IsActive(b))
            return true;
        if (bucketOf[a] == Absent || bucketOf[b] == Absent || !nodes[a].Clear.Holds(world.At(a)) || !nodes[b].Clear.Holds(world.At(b)))
            return false;
        if (!world.TiesDrawn && (IsWatching(world, a, b) || IsWatching(world, b, a)))
            return watchesAreMeasured ? world.At(a).SquaredDistance(world.At(b)) > joinDistance * joinDistance : true;
        double matters = joinDistance + nodes[a].Clear.Radius + nodes[b].Clear.Radius;
        return new Point(nodes[a].Clear.X, nodes[a].Clear.Z).SquaredDistance(new Point(nodes[b].Clear.X, nodes[b].Clear.Z)) > matters * matters;
    }

    private bool IsActive(int body) => (active[body >> 6] & (1UL << body)) != 0;

    private readonly record struct Squares(int West, int South, int East, int North);

    /// <summary>The squares that hold the circles of all who stand within a distance of a box; false when they are too many, or too far out to be counted.</summary>
    private bool TrySquares(in Box box, double distance, out Squares squares)
    {
        double margin = distance + largest;
        double west = Math.Floor((box.West - margin) * perMetre), east = Math.Floor((box.East + margin) * perMetre);
        double south = Math.Floor((box.South - margin) * perMetre), north = Math.Floor((box.North + margin) * perMetre);
        bool counted = Math.Max(Math.Max(-west, east), Math.Max(-south, north)) <= FarthestSquare && (east - west + 1) * (north - south + 1) <= MostSquares;
        squares = counted ? new Squares((int)west, (int)south, (int)east, (int)north) : default;
        return counted;
    }

    /// <summary>The peer is in no island any more, or in one without room.</summary>
    public void Remove(int body)
    {
        if (bucketOf[body] == Absent)
            return;
        Unlink(body);
        bucketOf[body] = Absent;
        nodes[body].Clear.Radius = float.PositiveInfinity;
    }

    /// <summary>The peer has left.</summary>
    public void Forget(int body)
    {
        Remove(body);
        active[body >> 6] &= ~(1UL << body);
    }

    /// <summary>Circles that were not left by walking do not speak against the order of bodies.</summary>
    public void ForgetWalks() => CirclesLeft = 0;

    /// <summary>Bodies are numbered anew: number <c>i</c> is what was <c>from[i]</c>; <paramref name="to"/> says the same the other way round.</summary>
    public void Renumber(ReadOnlySpan<int> from, ReadOnlySpan<int> to, ColumnPermuter permuter)
    {
        permuter.Apply(nodes, from);
        permuter.Apply(bucketOf, from);
        Rehash();
        CirclesLeft = 0;
        wasActive.Clear();
        for (int word = 0; word < active.Length; word++)
        {
            for (ulong bits = active[word]; bits != 0; bits &= bits - 1)
                wasActive.Add((word << 6) + BitOperations.TrailingZeroCount(bits));
            active[word] = 0;
        }
        foreach (int body in wasActive.Span)
            Activate(to[body]);
    }

    /// <summary>
    /// Somebody stands within the join distance of whom it watches, by the number <paramref name="watch"/>. It looks around at the next search, if their islands fit; else there is
    /// nothing to be watched, and it does so no longer: those behind move up.
    /// </summary>
    public void CameNear(World world, int body, int watch)
    {
        ref Watches watched = ref world.Bonds[body].Watched;
        int island = world.Bodies[body].Island, other = world.Bodies[watched[watch]].Island;
        if (other >= 0 && island != other && world.Islands[island].Count + world.Islands[other].Count <= cap)
        {
            Activate(body);
            return;
        }
        for (; watch + 1 < Watches.Most; watch++)
            watched[watch] = watched[watch + 1];
        watched[Watches.Most - 1] = -1;
    }

    /// <summary>Whoever watches somebody looks around at the next search, and draws a circle that makes watching unnecessary, if ties are drawn by then.</summary>
    public void ActivateWatchers(World world)
    {
        for (int body = 0; body < world.Map.Top; body++)
            if (world.Bodies[body].Island >= 0 && world.Bonds[body].Watched[0] >= 0)
                Activate(body);
    }

    private void Place(int body, Point at, bool small)
    {
        nodes[body].Clear.X = at.X;
        nodes[body].Clear.Z = at.Z;
        int bucket = Bucket(Coordinate(at.X), Coordinate(at.Z)) + (small ? 0 : 1);
        if (bucketOf[body] == bucket)
            return;
        if (bucketOf[body] != Absent)
            Unlink(body);
        LinkInto(body, bucket);
    }

    private void LinkInto(int body, int bucket)
    {
        int head = heads[bucket];
        nodes[body].Next = head;
        previous[body] = -1;
        if (head >= 0)
            previous[head] = body;
        heads[bucket] = body;
        bucketOf[body] = bucket;
    }

    private void Unlink(int body)
    {
        int before = previous[body], after = nodes[body].Next;
        if (before >= 0)
            nodes[before].Next = after;
        else
            heads[bucketOf[body]] = after;
        if (after >= 0)
            previous[after] = before;
    }

    private void Rehash()
    {
        if (heads.Length != 2 << squareBits)
            heads = new int[2 << squareBits];
        heads.AsSpan().Fill(-1);
        for (int body = 0; body < capacity; body++)
            if (bucketOf[body] != Absent)
                LinkInto(body, Bucket(Coordinate(nodes[body].Clear.X), Coordinate(nodes[body].Clear.Z)) + (bucketOf[body] & 1));
    }

    // Beyond 2²⁸ squares neighbouring floats are sixteen squares apart, so only equal coordinates are near: their bits are as good as a square.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Coordinate(float metres)
    {
        double squares = Math.Floor(metres * perMetre);
        return Math.Abs(squares) <= FarthestSquare ? (int)squares : BitConverter.SingleToInt32Bits(metres);
    }

    /// <summary>Metres from the lower and from the upper edge of the coordinate's square; 0 where squares are not told apart.</summary>
    private (double Lower, double Upper) FromEdges(float metres)
    {
        double squares = metres * perMetre, below = Math.Floor(squares), lower = (squares - below) * side;
        return Math.Abs(below) <= FarthestSquare ? (lower, side - lower) : (0, 0);
    }

    /// <summary>The square's bucket of members of small islands; the one behind it is of members of large ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Bucket(int column, int row) => CellTable.Bucket(column, row, squareBits) << 1;
}
