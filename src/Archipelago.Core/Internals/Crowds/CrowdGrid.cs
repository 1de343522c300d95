using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Archipelago.Core.Internals.Crowds;

/// <summary>
/// The members of all crowds in cells of the ground, those of a row side by side in memory and each figure in a column, and how much they have to do with one another. Made anew each flush.
/// </summary>
/// <remarks>
/// Everybody has a reach: about the distance to the eighteenth neighbour, by the number of people in the nine cells around. Two people are bound by 2 where each is within the
/// other's reach, by 1 where one is, and by 0 beyond <see cref="Beyond"/> times the smaller reach, so that everybody who matters is found by looking that far. The bond is the same
/// from both ends, which is what makes the sum over all islands a potential.
/// </remarks>
internal sealed class CrowdGrid
{
    /// <summary>People that a reach should hold.</summary>
    private const double Wanted = 18;

    /// <summary>How far bonds go, in reaches.</summary>
    private const float Beyond = 1.5f;

    private const double CellsToJoin = 4;

    /// <summary>Members are weighed so many at once, so there is so much room behind the last.</summary>
    private const int Lanes = 8;

    private readonly record struct Gathered(int Local, int Body, int Place);

    private readonly CellTable cells = new();
    private readonly Pool<Point> places = new();
    private readonly Pool<Gathered> gathered = new();
    private readonly Pool<Box> boxes = new();
    private readonly Pool<int> weights = new();
    private readonly Pool<int> met = new();
    private float[] x = [];
    private float[] z = [];

    /// <summary>Squares of reaches, in square metres.</summary>
    private float[] reach = [];
    private int[] rowOf = [];
    private int[] local = [];
    private int[] bodyOf = [];
    private int[] placeOf = [];

    /// <summary>By body: where it was among the members when it was last one. True only where <see cref="bodyOf"/> says so, too.</summary>
    private int[] memberOf = [];
    private double side;
    private double farthest;

    /// <summary>Members of the crowds.</summary>
    public int Count => gathered.Count;

    /// <summary>The box around each island of the crowds.</summary>
    public Span<Box> Boxes => boxes.Span;

    /// <summary>The islands that the last <see cref="Weigh"/> met, by their places among the crowds' islands.</summary>
    public ReadOnlySpan<int> Met => met.Span;

    /// <summary>What binds the person last weighed to an island of <see cref="Met"/>.</summary>
    public int WeightOf(int island) => weights.Span[island];

    /// <summary>The body of a member.</summary>
    public int BodyOf(int member) => bodyOf[member];

    /// <summary>Where a member stands.</summary>
    public Point PlaceOf(int member) => new(x[member], z[member]);

    /// <summary>Which member of its island it is, from 0, in the order of the island's ring when the grid was made.</summary>
    public int NumberOf(int member) => placeOf[member];

    /// <summary>The place of a member's island among the crowds' islands.</summary>
    public int IslandOf(int member) => local[member];

    /// <summary>A member goes to another island.</summary>
    public void Reassign(int member, int island)
    {
        local[member] = island;
        boxes.Span[island].Add(PlaceOf(member));
    }

    /// <summary>Reads the members of these islands.</summary>
    /// <param name="world">The world.</param>
    /// <param name="islands">Islands by index, in an order that does not depend on chance.</param>
    /// <param name="joinDistance">Nobody beyond it counts.</param>
    public void Build(World world, ReadOnlySpan<int> islands, double joinDistance)
    {
        farthest = joinDistance;
        side = joinDistance / CellsToJoin;
        places.Clear();
        gathered.Clear();
        Span<Box> box = boxes.Resize(islands.Length);
        weights.Resize(islands.Length).Clear();
        met.Clear();
        for (int island = 0; island < islands.Length; island++)
        {
            Box around = Box.Empty;
            int first = world.Islands[islands[island]].First, body = first, number = 0;
            do
            {
                Point at = world.At(body);
                around.Add(at);
                places.Add(at);
                gathered.Add(new Gathered(island, body, number++));
                body = world.Bodies[body].Next;
            }
            while (body != first);
            box[island] = around;
        }
        cells.Build(places.Span, side);
        if (memberOf.Length < world.Capacity)
            memberOf = new int[world.Capacity];
        Sort();
    }

    /// <summary>Puts members where their cells are, and draws their reach.</summary>
    private void Sort()
    {
        int count = gathered.Count;
        if (x.Length < count + Lanes)
        {
            int size = Growth.From(x.Length, count + Lanes);
            (x, z, reach) = (new float[size], new float[size], new float[size]);
            (rowOf, local, bodyOf, placeOf) = (new int[size], new int[size], new int[size], new int[size]);
        }
        ReadOnlySpan<int> order = cells.Order(count);
        ReadOnlySpan<Point> at = places.Span;
        ReadOnlySpan<Gathered> from = gathered.Span;
        double enough = Enough;
        int column = 0, row = 0;
        float square = -1;
        for (int i = 0; i < count; i++)
        {
            Point point = at[order[i]];
            (local[i], bodyOf[i], placeOf[i]) = from[order[i]];
            memberOf[bodyOf[i]] = i;
            (x[i], z[i]) = (point.X, point.Z);
            int ownColumn = cells.Coordinate(point.X), ownRow = cells.Coordinate(point.Z);
            if (square < 0 || ownColumn != column || ownRow != row)
            {
                (column, row) = (ownColumn, ownRow);
                square = (float)Math.Min(farthest * farthest, enough / CountAround(column, row));
            }
            rowOf[i] = ownRow;
            reach[i] = square;
        }
    }

    private int CountAround(int column, int row)
    {
        int count = 0;
        for (int up = -1; up <= 1; up++)
            for (int right = -1; right <= 1; right++)
            {
                (int start, int end) = cells.Range(cells.Bucket(column + right, row + up));
                count += end - start;
            }
        return count;
    }

    /// <summary>The member of a body; -1 when it is in no crowd.</summary>
    public int Find(int body) => memberOf[body] is var member && member < Count && bodyOf[member] == body ? member : -1;

    /// <summary>How many people are in the nine cells around a member, about: what it costs to weigh it.</summary>
    public int CrowdAround(int member) => (int)Math.Min(int.MaxValue, Enough / reach[member]);

    private double Enough => Wanted * 9 * side * side / Math.PI;

    /// <summary>Sums up what binds a member to the people of each island around; see <see cref="Met"/> and <see cref="WeightOf"/>. Its own island is always among them.</summary>
    public void Weigh(int member)
    {
        Span<int> weight = weights.Span;
        foreach (int island in met.Span)
            weight[island] = 0;
        met.Clear();
        float limit = Limit(member);
        double look = Math.Min(farthest, Math.Sqrt(limit));
        int west = cells.Coordinate((float)(x[member] - look)), east = cells.Coordinate((float)(x[member] + look));
        int south = cells.Coordinate((float)(z[member] - look)), north = cells.Coordinate((float)(z[member] + look));
        met.Add(local[member]);
        // The member itself is found, too: bound to itself by 2.
        weight[local[member]] = -2;
        for (int row = south; row <= north; row++)
        {
            // The cells of a row lie side by side, but for the end of the table.
            int first = cells.Bucket(west, row), last = cells.Bucket(east, row);
            if (first <= last)
            {
                WeighRange(member, row, cells.Range(first).Start, cells.Range(last).End, limit, weight);
                continue;
            }
            WeighRange(member, row, cells.Range(first).Start, Count, limit, weight);
            WeighRange(member, row, 0, cells.Range(last).End, limit, weight);
        }
    }

    private void WeighRange(int member, int row, int start, int end, float limit, Span<int> weight)
    {
        if (!Vector256.IsHardwareAccelerated)
        {
            for (int other = start; other < end; other++)
                if (rowOf[other] == row && Bond(member, other, limit) is var bond && bond > 0)
                    Add(other, bond, weight);
            return;
        }
        var atX = Vector256.Create(x[member]);
        var atZ = Vector256.Create(z[member]);
        var own = Vector256.Create(reach[member]);
        var most = Vector256.Create(limit);
        var rows = Vector256.Create(row);
        var island = Vector256.Create(local[member]);
        int together = 0;
        for (int i = start; i < end; i += Lanes)
        {
            Vector256<float> dx = Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(x), (nuint)i) - atX;
            Vector256<float> dz = Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(z), (nuint)i) - atZ;
            Vector256<float> apart = (dx * dx) + (dz * dz), theirs = Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(reach), (nuint)i);
            // Buckets may hold other rows, whose people are met in their own.
            Vector256<int> same = Vector256.Equals(Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(rowOf), (nuint)i), rows);
            uint within = (Vector256.LessThanOrEqual(apart, most) & Vector256.LessThanOrEqual(apart, theirs * (Beyond * Beyond)) & same.AsSingle()).ExtractMostSignificantBits();
            if (end - i < Lanes)
                within &= (1u << (end - i)) - 1;
            uint inMine = Vector256.LessThanOrEqual(apart, own).ExtractMostSignificantBits() & within, inTheirs = Vector256.LessThanOrEqual(apart, theirs).ExtractMostSignificantBits() & within;
            // Most people around are of one's own island as a rule; they are counted at once.
            uint ours = Vector256.Equals(Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(local), (nuint)i), island).ExtractMostSignificantBits();
            together += BitOperations.PopCount(inMine & ours) + BitOperations.PopCount(inTheirs & ours);
            for (uint bits = (inMine | inTheirs) & ~ours; bits != 0; bits &= bits - 1)
            {
                int lane = BitOperations.TrailingZeroCount(bits);
                Add(i + lane, (int)((inMine >> lane) & 1) + (int)((inTheirs >> lane) & 1), weight);
            }
        }
        weight[local[member]] += together;
    }

    private void Add(int other, int bond, Span<int> weight)
    {
        int island = local[other];
        ref int to = ref weight[island];
        if (to == 0 && island != met.Span[0])
            met.Add(island);
        to += bond;
    }

    /// <summary>What binds two members; the same from either end.</summary>
    public int BondOf(int a, int b) => Bond(a, b, Limit(a));

    /// <summary>Square of the distance beyond which nothing binds anybody to this member.</summary>
    private float Limit(int member) => Math.Min((float)(farthest * farthest), reach[member] * (Beyond * Beyond));

    private int Bond(int member, int other, float limit)
    {
        float dx = x[other] - x[member], dz = z[other] - z[member], apart = (dx * dx) + (dz * dz);
        if (apart > limit || apart > reach[other] * (Beyond * Beyond))
            return 0;
        return (apart <= reach[member] ? 1 : 0) + (apart <= reach[other] ? 1 : 0);
    }

    /// <summary>The member of an island that is nearest to another member and within a distance, one excepted; -1 when there is none.</summary>
    public int NearestOf(int member, int island, int except, double distance)
    {
        Point at = PlaceOf(member);
        double best = distance * distance;
        int found = -1;
        int rings = (int)Math.Ceiling(distance / side), column = cells.Coordinate(at.X), row = cells.Coordinate(at.Z);
        for (int ring = 0; ring <= rings; ring++)
        {
            double least = (ring - 1) * side;
            if (found >= 0 && ring > 0 && best <= least * least)
                break;
            for (int up = -ring; up <= ring; up++)
                for (int right = -ring; right <= ring; right += Math.Abs(up) == ring ? 1 : 2 * ring)
                    (best, found) = NearestIn(cells.Bucket(column + right, row + up), at, island, member, except, best, found);
        }
        return found;
    }

    /// <summary>True when somebody within a distance of a member is of an island with at most so many members now; those of two islands do not count.</summary>
    public bool AnyNear(World world, ReadOnlySpan<int> islands, int member, double distance, int atMost, int one, int other)
    {
        Point at = PlaceOf(member);
        double squared = distance * distance;
        int west = cells.Coordinate((float)(at.X - distance)), east = cells.Coordinate((float)(at.X + distance));
        int south = cells.Coordinate((float)(at.Z - distance)), north = cells.Coordinate((float)(at.Z + distance));
        for (int row = south; row <= north; row++)
        {
            for (int column = west; column <= east; column++)
            {
                (int start, int end) = cells.Range(cells.Bucket(column, row));
                for (int i = start; i < end; i++)
                    if (local[i] != one && local[i] != other && at.SquaredDistance(PlaceOf(i)) <= squared && world.Islands[islands[local[i]]].Count <= atMost)
                        return true;
            }
        }
        return false;
    }

    private (double Best, int Found) NearestIn(int bucket, Point at, int island, int member, int except, double best, int found)
    {
        (int start, int end) = cells.Range(bucket);
        for (int other = start; other < end; other++)
        {
            if (local[other] != island || other == member || other == except)
                continue;
            double apart = at.SquaredDistance(PlaceOf(other));
            if (apart < best || (found < 0 && apart <= best))
                (best, found) = (apart, other);
        }
        return (best, found);
    }
}
