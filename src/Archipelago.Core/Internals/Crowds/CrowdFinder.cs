namespace Archipelago.Core.Internals.Crowds;

/// <summary>
/// Finds the islands of crowds: those that others are near who do not fit with them.
/// </summary>
/// <remarks>
/// Of two islands that do not fit together one is large: it has more than half the cap. Large islands are listed as they come to be (<see cref="World.Large"/>). Each is looked
/// at in one flush of <see cref="Turns"/>: a box is drawn around its members, and it counts as crowded while another large island's box is near, or people of a small one are.
/// Boxes are coarse and may be some flushes old, so what is found is a guess: who is in a crowd for nothing costs time, who is missed waits. Nothing that must hold depends on it.
/// A world without large islands costs nothing here.
/// </remarks>
internal sealed class CrowdFinder(NeighbourIndex neighbours)
{
    /// <summary>Flushes in which everything is looked at once.</summary>
    public const int Turns = 8;

    private const int FewUnsorted = 16;

    private readonly Pool<int> islands = new();
    private readonly Pool<long> ages = new();

    /// <summary>By island: whether it is listed.</summary>
    private bool[] listed = [];

    /// <summary>So many of <see cref="World.Large"/> are sorted by where their boxes begin.</summary>
    public int Sorted { get; set; }

    /// <summary>The most by which a box begins elsewhere than where it is sorted.</summary>
    public float Slack { get; set; }

    /// <summary>The widest box so far.</summary>
    public float Widest { get; set; }

    /// <summary>The islands of crowds, oldest first, by index.</summary>
    public ReadOnlySpan<int> Islands => islands.Span;

    /// <summary>Looks for crowds.</summary>
    public void Run(World world, IslandOptions rules, long turn)
    {
        Forget();
        Compact(world);
        if (world.Large.Count == 0)
            return;
        Draw(world, turn);
        // What has come lately is gone through one by one, so it must not become much.
        int unsorted = world.Large.Count - Sorted;
        if (turn % Turns == 0 || unsorted > FewUnsorted + (world.Large.Count / 4))
            Sort(world);
        Judge(world, rules, turn);
        Collect(world, rules);
    }

    /// <summary>Drops what the last run found.</summary>
    public void Forget()
    {
        foreach (int island in islands.Span)
            listed[island] = false;
        islands.Clear();
    }

    /// <summary>Drops islands that are gone or not large any more. The others keep their order.</summary>
    private void Compact(World world)
    {
        int kept = 0, keptSorted = 0;
        Span<LargeIsland> all = world.Large.Span;
        for (int i = 0; i < all.Length; i++)
        {
            LargeIsland entry = all[i];
            if (entry.Index >= world.IslandTop || world.Islands[entry.Index].Order != entry.Order || world.Islands[entry.Index].Count == 0)
                continue;
            if (world.Islands[entry.Index].Count < world.LargeFrom)
            {
                world.Islands[entry.Index].Pending &= ~Pending.Large;
                continue;
            }
            if (i < Sorted)
                keptSorted++;
            all[kept++] = entry;
        }
        Sorted = keptSorted;
        world.Large.Resize(kept);
    }

    private void Sort(World world)
    {
        Span<LargeIsland> all = world.Large.Span;
        Widest = 0;
        foreach (ref LargeIsland entry in all)
        {
            entry.SortedBy = entry.Box.West;
            Widest = Math.Max(Widest, entry.Box.East - entry.Box.West);
        }
        all.Sort(static (a, b) => a.SortedBy != b.SortedBy ? a.SortedBy.CompareTo(b.SortedBy) : a.Order.CompareTo(b.Order));
        Sorted = all.Length;
        Slack = 0;
    }

    /// <summary>By the island's number, which outlives a restore.</summary>
    private static bool IsDue(World world, in LargeIsland entry, long turn) => ((world.Islands[entry.Index].Id ^ turn) & (Turns - 1)) == 0;

    /// <summary>Draws the boxes whose turn it is.</summary>
    private void Draw(World world, long turn)
    {
        Span<LargeIsland> all = world.Large.Span;
        for (int i = 0; i < all.Length; i++)
        {
            ref LargeIsland entry = ref all[i];
            if (entry.IsDrawn && !IsDue(world, entry, turn))
                continue;
            entry.Box = world.BoxOf(entry.Index);
            entry.IsNew = !entry.IsDrawn;
            entry.IsDrawn = true;
            Widest = Math.Max(Widest, entry.Box.East - entry.Box.West);
            if (i < Sorted)
                Slack = Math.Max(Slack, Math.Abs(entry.Box.West - entry.SortedBy));
        }
    }

    private void Judge(World world, IslandOptions rules, long turn)
    {
        Span<LargeIsland> all = world.Large.Span;
        for (int i = 0; i < all.Length; i++)
        {
            if (!IsDue(world, all[i], turn) && !all[i].IsNew)
                continue;
            all[i].IsNew = false;
            bool others = MarkNear(all, i, rules.JoinDistance);
            all[i].IsCrowded = others || neighbours.AnySmallNear(
                world, all[i].Index, all[i].Box, rules.JoinDistance, rules.MaxIslandSize - world.Islands[all[i].Index].Count + 1, int.MaxValue, whereUnknown: false);
        }
    }

    /// <summary>Marks the large islands whose box is near that of one of them; false when there is none.</summary>
    private bool MarkNear(Span<LargeIsland> all, int one, double distance)
    {
        Box box = all[one].Box;
        bool any = false;
        double from = (double)box.West - distance - Widest - Slack, to = (double)box.East + distance + Slack;
        int at = FirstFrom(all[..Sorted], from);
        while (at < all.Length)
        {
            if (at < Sorted && all[at].SortedBy > to)
            {
                at = Sorted;
                continue;
            }
            if (at != one && all[at].Box.IsNear(box, distance))
                any = all[at].IsCrowded = true;
            at++;
        }
        return any;
    }

    private static int FirstFrom(ReadOnlySpan<LargeIsland> sorted, double from)
    {
        int low = 0, high = sorted.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (sorted[middle].SortedBy < from)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    private void Collect(World world, IslandOptions rules)
    {
        if (listed.Length < world.Islands.Length)
            listed = new bool[world.Islands.Length];
        foreach (ref readonly LargeIsland entry in world.Large.Span)
        {
            if (!entry.IsCrowded)
                continue;
            Add(entry.Index);
            neighbours.VisitSmallNear(world, entry.Box, rules.JoinDistance, this);
        }
        Span<int> found = islands.Span;
        Span<long> age = ages.Resize(found.Length);
        for (int i = 0; i < found.Length; i++)
            age[i] = world.Islands[found[i]].Order;
        age.Sort(found);
    }

    /// <summary>Gives memory back.</summary>
    public void ReleaseScratch()
    {
        Forget();
        listed = [];
    }

    /// <summary>Takes an island into the crowds.</summary>
    public void Add(int island)
    {
        if (listed[island])
            return;
        listed[island] = true;
        islands.Add(island);
    }
}
