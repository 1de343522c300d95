using Archipelago.Core.Internals;

namespace Archipelago.Core;

/// <summary>How many of people's nearest are in their island.</summary>
/// <param name="People">People who were asked and had a neighbour.</param>
/// <param name="Mean">The mean of their recalls, 0 to 1; not a number when nobody had a neighbour.</param>
/// <param name="LowestTenth">The mean of the lowest tenth of them, of one at least; not a number when nobody had a neighbour.</param>
public readonly record struct RecallFigures(int People, double Mean, double LowestTenth);

/// <summary>
/// Measures what people in a crowd notice of how it is cut into islands: of a person's ten nearest within earshot, the share that is in the same island (recall at ten). Reads
/// snapshots, which must stay leased meanwhile, so it may run on any thread while the next flush does; keeps its memory, so that measuring again allocates nothing. One thread at a time.
/// </summary>
/// <param name="earshot">Metres on the ground, inclusive, beyond which nobody counts as a neighbour; above 0, finite.</param>
/// <exception cref="ArgumentOutOfRangeException">Earshot is out of range.</exception>
public sealed class NeighbourRecall(double earshot = 64)
{
    /// <summary>Neighbours that count.</summary>
    public const int Nearest = 10;

    private const int CellsToEarshot = 4;

    private readonly double side = double.IsFinite(earshot) && earshot > 0
        ? earshot / CellsToEarshot
        : throw new ArgumentOutOfRangeException(nameof(earshot), earshot, "Earshot is a finite number of metres above 0.");

    private readonly CellTable cells = new();
    private readonly Pool<Point> places = new();
    private readonly Pool<int> islandOf = new();
    private readonly Pool<float> recalls = new();

    /// <summary>Measures each member of a snapshot.</summary>
    /// <param name="snapshot">The islands.</param>
    /// <param name="recall">A share for each of <see cref="IslandSnapshot.Members"/>, 0 to 1; not a number for who has no neighbour.</param>
    /// <exception cref="ArgumentException">There is no room for everybody.</exception>
    public void Measure(IslandSnapshot snapshot, Span<float> recall)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        if (recall.Length < snapshot.Members.Length)
            throw new ArgumentException($"There are {snapshot.Members.Length} members, and room for {recall.Length}.", nameof(recall));
        Read(snapshot);
        for (int member = 0; member < snapshot.Members.Length; member++)
            recall[member] = RecallOf(member);
    }

    /// <summary>Measures some members of a snapshot: every so manieth, which is a fair choice since they stand island by island.</summary>
    /// <param name="snapshot">The islands.</param>
    /// <param name="people">How many to ask, at least 1; who has no neighbour is not made up for.</param>
    /// <exception cref="ArgumentOutOfRangeException">Nobody is to be asked.</exception>
    public RecallFigures Sample(IslandSnapshot snapshot, int people)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        ArgumentOutOfRangeException.ThrowIfLessThan(people, 1);
        Read(snapshot);
        recalls.Clear();
        double step = Math.Max(1, (double)snapshot.Members.Length / people), sum = 0;
        for (double at = 0; at < snapshot.Members.Length; at += step)
        {
            float recall = RecallOf((int)at);
            if (float.IsNaN(recall))
                continue;
            recalls.Add(recall);
            sum += recall;
        }
        return recalls.Count == 0 ? new RecallFigures(0, double.NaN, double.NaN) : new RecallFigures(recalls.Count, sum / recalls.Count, MeanOfLowestTenth(recalls.Span));
    }

    /// <summary>The mean of the lowest tenth of some shares, at least one of them. Sorts them.</summary>
    internal static double MeanOfLowestTenth(Span<float> shares)
    {
        shares.Sort();
        double sum = 0;
        int lowest = Math.Max(1, shares.Length / 10);
        foreach (float share in shares[..lowest])
            sum += share;
        return sum / lowest;
    }

    private void Read(IslandSnapshot snapshot)
    {
        Span<Point> to = places.Resize(snapshot.Members.Length);
        Span<int> island = islandOf.Resize(to.Length);
        for (int i = 0; i < to.Length; i++)
            to[i] = new Point(snapshot.Members[i].Position.X, snapshot.Members[i].Position.Z);
        for (int i = 0; i < snapshot.Islands.Length; i++)
            island.Slice(snapshot.Islands[i].FirstMember, snapshot.Islands[i].Count).Fill(i);
        cells.Build(to, side);
    }

    private float RecallOf(int member)
    {
        Span<double> distances = stackalloc double[Nearest];
        Span<int> found = stackalloc int[Nearest];
        int count = 0;
        Point at = places.Span[member];
        int column = cells.Coordinate(at.X), row = cells.Coordinate(at.Z);
        for (int ring = 0; ring <= CellsToEarshot; ring++)
        {
            // Whoever is in this ring or beyond is at least so far away.
            double least = (ring - 1) * side;
            if (count == Nearest && ring > 0 && distances[Nearest - 1] <= least * least)
                break;
            for (int z = -ring; z <= ring; z++)
                for (int x = -ring; x <= ring; x += Math.Abs(z) == ring ? 1 : 2 * ring)
                    count = LookInto(column + x, row + z, member, at, distances, found, count);
        }
        if (count == 0)
            return float.NaN;
        int together = 0;
        foreach (int other in found[..count])
            together += islandOf.Span[other] == islandOf.Span[member] ? 1 : 0;
        return (float)together / count;
    }

    private int LookInto(int column, int row, int member, Point at, Span<double> distances, Span<int> found, int count)
    {
        (int start, int end) = cells.Range(cells.Bucket(column, row));
        foreach (int other in cells.Order(places.Count)[start..end])
        {
            Point place = places.Span[other];
            double apart = at.SquaredDistance(place);
            // A bucket may hold other cells' people, who are met in their own.
            if (other == member || apart > earshot * earshot || (count == Nearest && apart >= distances[Nearest - 1])
                || cells.Coordinate(place.X) != column || cells.Coordinate(place.Z) != row)
                continue;
            int to = count < Nearest ? count++ : Nearest - 1;
            for (; to > 0 && distances[to - 1] > apart; to--)
                (distances[to], found[to]) = (distances[to - 1], found[to - 1]);
            (distances[to], found[to]) = (apart, other);
        }
        return count;
    }
}
