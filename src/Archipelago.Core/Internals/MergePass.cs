namespace Archipelago.Core.Internals;

/// <summary>
/// Merges islands that touch and fit together, until no such pair is left.
/// </summary>
/// <remarks>
/// <para>
/// Two islands touch when members of theirs are within the join distance. Every pair that touches and fits when the pass starts is taken once, in a
/// fixed order; a pair merges if what the two have become by then still fits. One pass is enough: sizes only grow within it, so a pair that did not
/// fit never will, and what a merged island touches was touched by one of its parts.
/// </para>
/// <para>
/// The order: islands are ranked by size, larger first, then older first. For each island in rank order, its higher-ranked neighbours: the one it
/// prefers, then by rank. The larger survives, on a tie the older.
/// </para>
/// <para>
/// Thousands who arrive at one place in one flush would make a pair each with all others. So newcomers with the same preference who share a small
/// square, when they are many, gather first, in the order in which they were added, into groups of at most the cap.
/// </para>
/// </remarks>
internal sealed class MergePass(PeerTable peers)
{
    /// <summary>Newcomers of one square and preference gather when there are at least this many; fewer choose one by one.</summary>
    private const int GatherFrom = 8;

    private record struct Candidate(int Higher, int Lower, bool Preferred);

    private readonly CellIndex index = new();
    private readonly Pool<Candidate> candidates = new();
    private readonly Pool<(long Order, int Slot)> gathering = new();
    private readonly Pool<int> mergedInto = new();
    private readonly PreferenceCounter preferences = new(peers);
    private readonly RankOrder rank = new();

    /// <summary>Merges what touches a dirty island. <paramref name="newcomers"/> are the slots, each in an island of its own, that were added since the last flush.</summary>
    public void Run(World world, IslandOptions options, ReadOnlySpan<int> newcomers)
    {
        if (world.DirtyIslands.Count == 0)
            return;
        var cells = new Cells(options.JoinDistance);
        if (newcomers.Length >= GatherFrom)
            Gather(world, options.MaxIslandSize, cells, newcomers);

        index.Build(world, cells);
        FindCandidates(world, options);
        if (candidates.Count == 0)
            return;
        Sort(world);
        MergeInOrder(world, options.MaxIslandSize);
    }

    private readonly Pool<ulong> gatherKeys = new();

    private void Gather(World world, int cap, Cells cells, ReadOnlySpan<int> newcomers)
    {
        Span<ulong> keys = gatherKeys.Resize(newcomers.Length);
        Span<(long Order, int Slot)> people = gathering.Resize(newcomers.Length);
        for (int i = 0; i < newcomers.Length; i++)
        {
            int slot = newcomers[i];
            keys[i] = cells.Key(world.X[slot], world.Z[slot]);
            people[i] = (world.AddOrder[slot], slot);
        }
        keys.Sort(people);
        for (int start = 0; start < keys.Length;)
        {
            int end = start + 1;
            while (end < keys.Length && keys[end] == keys[start])
                end++;
            if (end - start >= GatherFrom && Cells.ProvesNearness(keys[start]))
                GatherSquare(world, cap, people[start..end]);
            start = end;
        }
    }

    private void GatherSquare(World world, int cap, Span<(long Order, int Slot)> people)
    {
        people.Sort(new ByPreferenceThenOrder(peers));
        for (int start = 0; start < people.Length;)
        {
            long preference = peers.Preference(people[start].Slot);
            int end = start + 1;
            while (end < people.Length && peers.Preference(people[end].Slot) == preference)
                end++;
            if (end - start >= GatherFrom)
                for (int i = start; i < end; i++)
                    if ((i - start) % cap != 0)
                        world.Absorb(world.IslandOf[people[i - 1].Slot], world.IslandOf[people[i].Slot]);
            start = end;
        }
    }

    private readonly struct ByPreferenceThenOrder(PeerTable peers) : IComparer<(long Order, int Slot)>
    {
        public int Compare((long Order, int Slot) a, (long Order, int Slot) b)
        {
            int byPreference = peers.Preference(a.Slot).CompareTo(peers.Preference(b.Slot));
            return byPreference != 0 ? byPreference : a.Order.CompareTo(b.Order);
        }
    }

    private void FindCandidates(World world, IslandOptions options)
    {
        candidates.Clear();
        double squared = options.JoinDistance * options.JoinDistance;
        foreach (ref readonly CellIndex.Group group in index.Groups)
        {
            ref readonly Island island = ref world.Islands[group.Island];
            if (!island.Dirty || island.Count >= options.MaxIslandSize)
                continue;
            ulong key = index.KeyOf(group.Square);
            int column = Cells.Column(key), row = Cells.Row(key);
            for (int dz = -Cells.Reach; dz <= Cells.Reach; dz++)
            {
                for (int dx = -Cells.Reach; dx <= Cells.Reach; dx++)
                {
                    int square = index.Find(Cells.Key(column + dx, row + dz));
                    if (square >= 0)
                        FindIn(world, group, square, options.MaxIslandSize, squared);
                }
            }
        }
    }

    private void FindIn(World world, in CellIndex.Group group, int square, int cap, double squared)
    {
        int size = world.Islands[group.Island].Count;
        foreach (ref readonly CellIndex.Group other in index.GroupsOf(square))
        {
            if (other.Island == group.Island)
                continue;
            ref readonly Island island = ref world.Islands[other.Island];
            // Of two dirty islands, one search is enough.
            if (island.Count + size > cap || (island.Dirty && other.Island < group.Island))
                continue;
            if (Touch(world, group, other, squared))
                candidates.Add(Ranked(world, group.Island, other.Island));
        }
    }

    private bool Touch(World world, in CellIndex.Group a, in CellIndex.Group b, double squared)
    {
        if (a.Square == b.Square && Cells.ProvesNearness(index.KeyOf(a.Square)))
            return true;
        ReadOnlySpan<int> slots = index.Slots;
        for (int i = a.Start; i < a.End; i++)
        {
            float x = world.X[slots[i]], z = world.Z[slots[i]];
            for (int j = b.Start; j < b.End; j++)
                if (Ground.Near(x, z, world.X[slots[j]], world.Z[slots[j]], squared))
                    return true;
        }
        return false;
    }

    private static Candidate Ranked(World world, int a, int b) =>
        RankOrder.Compare(world, a, b) < 0 ? new Candidate(a, b, false) : new Candidate(b, a, false);

    /// <summary>Larger first, then older first.</summary>
    private sealed class RankOrder : IComparer<Candidate>
    {
        public World World { get; set; } = null!;

        public static int Compare(World world, int a, int b)
        {
            ref readonly Island x = ref world.Islands[a];
            ref readonly Island y = ref world.Islands[b];
            int bySize = y.Count.CompareTo(x.Count);
            return bySize != 0 ? bySize : x.Order.CompareTo(y.Order);
        }

        public int Compare(Candidate a, Candidate b)
        {
            int byLower = Compare(World, a.Lower, b.Lower);
            if (byLower != 0)
                return byLower;
            int byPreference = b.Preferred.CompareTo(a.Preferred);
            return byPreference != 0 ? byPreference : Compare(World, a.Higher, b.Higher);
        }
    }

    private void Sort(World world)
    {
        foreach (ref Candidate candidate in candidates.Span)
        {
            long id = world.Islands[candidate.Higher].Id;
            candidate.Preferred = id != 0 && preferences.PreferredBy(world, candidate.Lower) == id;
        }
        rank.World = world;
        candidates.Span.Sort(rank);
    }

    private void MergeInOrder(World world, int cap)
    {
        // An absorbed island's table entry points to where its members went; chains are short and halved on the way.
        Span<int> into = mergedInto.Resize(world.IslandTop);
        foreach (ref readonly Candidate candidate in candidates.Span)
        {
            into[candidate.Higher] = candidate.Higher;
            into[candidate.Lower] = candidate.Lower;
        }
        foreach (ref readonly Candidate candidate in candidates.Span)
        {
            int a = Find(into, candidate.Higher), b = Find(into, candidate.Lower);
            if (a == b || world.Islands[a].Count + world.Islands[b].Count > cap)
                continue;
            if (RankOrder.Compare(world, a, b) > 0)
                (a, b) = (b, a);
            world.Absorb(a, b);
            into[b] = a;
        }
    }

    private static int Find(Span<int> into, int island)
    {
        while (into[island] != island)
            island = into[island] = into[into[island]];
        return island;
    }
}
