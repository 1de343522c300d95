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
internal sealed class MergePass(PeerTable peers, NeighbourIndex neighbours)
{
    /// <summary>Newcomers of one square and preference gather when there are at least this many; fewer choose one by one.</summary>
    private const int GatherFrom = 8;

    /// <summary>When a flush brings at least this many newcomers, they gather from two on.</summary>
    private const int MassArrival = 1000;

    private readonly Pool<Contact> contacts = new();
    private readonly Pool<ulong> gatherKeys = new();
    private readonly Pool<Arrival> gathering = new();
    private readonly Pool<int> involved = new();
    private readonly Pool<ulong> rankKeys = new();
    private readonly Pool<ulong> pairKeys = new();
    private readonly Pool<int> pairs = new();
    private readonly PreferenceCounter preferences = new(peers);
    private int[] rankOf = [];
    private int[] mergedInto = [];
    private long[] preferredBy = [];

    private readonly record struct Arrival(long Order, int Slot, long Preference) : IComparable<Arrival>
    {
        public int CompareTo(Arrival other)
        {
            int byPreference = Preference.CompareTo(other.Preference);
            return byPreference != 0 ? byPreference : Order.CompareTo(other.Order);
        }
    }

    /// <summary>Brings together newcomers who arrive in numbers; each is in an island of its own before.</summary>
    public void Gather(World world, IslandOptions rules, ReadOnlySpan<int> newcomers)
    {
        int threshold = newcomers.Length >= MassArrival ? 2 : GatherFrom;
        if (newcomers.Length < threshold || rules.MaxIslandSize == 1)
            return;
        var cells = new Cells(rules.JoinDistance);
        Span<ulong> keys = gatherKeys.Resize(newcomers.Length);
        Span<Arrival> people = gathering.Resize(newcomers.Length);
        for (int i = 0; i < newcomers.Length; i++)
        {
            int slot = newcomers[i];
            keys[i] = cells.Key(world.Bodies[slot].At.X, world.Bodies[slot].At.Z);
            people[i] = new Arrival(world.AddOrder[slot], slot, peers.Preference(slot));
        }
        keys.Sort(people);
        for (int start = 0; start < keys.Length;)
        {
            int end = start + 1;
            while (end < keys.Length && keys[end] == keys[start])
                end++;
            if (end - start >= threshold && Cells.ProvesNearness(keys[start]))
                GatherSquare(world, rules.MaxIslandSize, people[start..end], threshold);
            start = end;
        }
    }

    private static void GatherSquare(World world, int cap, Span<Arrival> people, int threshold)
    {
        people.Sort();
        for (int start = 0; start < people.Length;)
        {
            int end = start + 1;
            while (end < people.Length && people[end].Preference == people[start].Preference)
                end++;
            if (end - start >= threshold)
            {
                for (int i = start; i < end; i++)
                {
                    int leader = people[i - ((i - start) % cap)].Slot;
                    if (leader != people[i].Slot)
                        world.Absorb(world.Bodies[leader].Island, world.Bodies[people[i].Slot].Island, leader, people[i].Slot);
                }
            }
            start = end;
        }
    }

    /// <summary>Searches and merges. With <paramref name="newcomersOnly"/> only islands of newcomers go into others; nobody who was told an island moves.</summary>
    public void Run(World world, IslandOptions rules, bool newcomersOnly)
    {
        bool complete;
        do
        {
            contacts.Clear();
            complete = neighbours.Search(world, contacts, newcomersOnly);
            if (contacts.Count == 0)
                continue;
            Rank(world);
            SortPairs(world);
            MergeInOrder(world, rules.MaxIslandSize, newcomersOnly);
            neighbours.ForgetContacts(contacts.Span);
        }
        while (!complete);
    }

    /// <summary>Numbers the islands in contact from 0: larger first, then older.</summary>
    private void Rank(World world)
    {
        if (rankOf.Length < world.IslandTop)
        {
            rankOf = new int[world.Islands.Length];
            mergedInto = new int[world.Islands.Length];
            preferredBy = new long[world.Islands.Length];
        }
        involved.Clear();
        foreach (ref readonly Contact contact in contacts.Span)
        {
            rankOf[contact.IslandA] = rankOf[contact.IslandB] = -1;
        }
        foreach (ref readonly Contact contact in contacts.Span)
        {
            Involve(contact.IslandA);
            Involve(contact.IslandB);
        }
        Span<ulong> keys = rankKeys.Resize(involved.Count);
        for (int i = 0; i < keys.Length; i++)
        {
            // 24 bits of size, so that beyond 16 million members age alone decides, and 40 of age.
            ref readonly Island island = ref world.Islands[involved.Span[i]];
            keys[i] = ((ulong)(0xFFFFFF - Math.Min(island.Count, 0xFFFFFF)) << 40) | (ulong)island.Order;
        }
        keys.Sort(involved.Span);
        for (int i = 0; i < keys.Length; i++)
        {
            rankOf[involved.Span[i]] = i;
            preferredBy[involved.Span[i]] = preferences.PreferredBy(world, involved.Span[i]);
            mergedInto[involved.Span[i]] = involved.Span[i];
        }
    }

    private void Involve(int island)
    {
        if (rankOf[island] >= 0)
            return;
        rankOf[island] = 0;
        involved.Add(island);
    }

    /// <summary>Orders the contacts by the lower-ranked island, then its preference, then the higher-ranked.</summary>
    private void SortPairs(World world)
    {
        Span<ulong> keys = pairKeys.Resize(contacts.Count);
        Span<int> order = pairs.Resize(contacts.Count);
        for (int i = 0; i < keys.Length; i++)
        {
            (int higher, int lower) = ByRank(contacts.Span[i]);
            long id = world.Islands[higher].Id;
            bool preferred = id != 0 && preferredBy[lower] == id;
            keys[i] = ((ulong)rankOf[lower] << 32) | (preferred ? 0 : 1UL << 31) | (uint)rankOf[higher];
            order[i] = i;
        }
        keys.Sort(order);
    }

    private (int Higher, int Lower) ByRank(in Contact contact) =>
        rankOf[contact.IslandA] < rankOf[contact.IslandB] ? (contact.IslandA, contact.IslandB) : (contact.IslandB, contact.IslandA);

    private void MergeInOrder(World world, int cap, bool newcomersOnly)
    {
        foreach (int i in pairs.Span)
        {
            Contact contact = contacts.Span[i];
            int a = Find(contact.IslandA), b = Find(contact.IslandB);
            if (a == b || world.Islands[a].Count + world.Islands[b].Count > cap)
                continue;
            (int slotA, int slotB) = (contact.SlotA, contact.SlotB);
            if (Yields(world, a, b, newcomersOnly))
            {
                (a, b) = (b, a);
                (slotA, slotB) = (slotB, slotA);
            }
            if (newcomersOnly && (world.Islands[b].Pending & Pending.Fresh) == 0)
                continue;
            world.Absorb(a, b, slotA, slotB);
            mergedInto[b] = a;
        }
    }

    /// <summary>True when a goes into b rather than b into a.</summary>
    private static bool Yields(World world, int a, int b, bool newcomersOnly)
    {
        ref readonly Island x = ref world.Islands[a];
        ref readonly Island y = ref world.Islands[b];
        if (newcomersOnly && ((x.Pending ^ y.Pending) & Pending.Fresh) != 0)
            return (x.Pending & Pending.Fresh) != 0;
        return x.Count != y.Count ? x.Count < y.Count : x.Order > y.Order;
    }

    private int Find(int island)
    {
        while (mergedInto[island] != island)
            island = mergedInto[island] = mergedInto[mergedInto[island]];
        return island;
    }
}
