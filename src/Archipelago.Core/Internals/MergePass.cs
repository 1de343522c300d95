using Archipelago.Core.Internals.Crowds;

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
/// </remarks>
internal sealed class MergePass(PeerTable peers, NeighbourIndex neighbours, Gathering gathering, RadixSort sorting)
{
    private readonly Pool<Contact> contacts = new();
    private readonly Pool<int> involved = new();
    private readonly Pool<ulong> rankKeys = new();
    private readonly Pool<ulong> pairKeys = new();
    private readonly Pool<int> pairs = new();
    private readonly PreferenceCounter preferences = new(peers);
    private readonly ContactGroups gatherings = new();
    private int[] rankOf = [];
    private int[] mergedInto = [];
    private long[] preferredBy = [];

    /// <summary>Searches and merges. With <paramref name="newcomersOnly"/> only islands of newcomers go into others; nobody who was told an island moves.</summary>
    public void Run(World world, IslandOptions rules, ReadOnlySpan<int> newcomers, bool newcomersOnly)
    {
        bool complete, bounded = true;
        int next = 0;
        do
        {
            contacts.Clear();
            complete = newcomersOnly
                ? neighbours.SearchAround(world, newcomers, ref next, contacts)
                : neighbours.Search(world, contacts, bounded);
            if (!complete && !newcomersOnly)
            {
                neighbours.ForgetContacts(contacts.Span);
                gathering.Condense(world, rules);
                bounded = false;
                continue;
            }
            if (contacts.Count == 0)
                continue;
            neighbours.ForgetContacts(contacts.Span);
            Prepare(world);
            if (rules.Crowds == CrowdPolicy.Coherent)
                PlaceByNeighbours(world, rules, newcomers);
            Rank(world);
            SortPairs(world);
            MergeInOrder(world, rules.MaxIslandSize, newcomersOnly);
        }
        while (!complete);
    }

    public void ReleaseScratch()
    {
        contacts.Release();
        involved.Release();
        rankKeys.Release();
        pairKeys.Release();
        pairs.Release();
        rankOf = mergedInto = [];
        preferredBy = [];
        gatherings.ReleaseScratch();
        neighbours.ReleaseScratch();
    }

    private void Prepare(World world)
    {
        if (rankOf.Length < world.IslandTop)
        {
            rankOf = new int[world.Islands.Length];
            mergedInto = new int[world.Islands.Length];
            preferredBy = new long[world.Islands.Length];
        }
        foreach (ref readonly Contact contact in contacts.Span)
        {
            mergedInto[contact.IslandA] = contact.IslandA;
            mergedInto[contact.IslandB] = contact.IslandB;
        }
    }

    /// <summary>
    /// Where those who touch do not all fit together, a newcomer goes to the island that has room and most of its nearest neighbours, in the order in which newcomers were added. Where
    /// they do, all of them merge whatever comes first.
    /// </summary>
    private void PlaceByNeighbours(World world, IslandOptions rules, ReadOnlySpan<int> newcomers)
    {
        if (newcomers.Length == 0)
            return;
        gatherings.Sum(world, contacts.Span);
        foreach (int newcomer in newcomers)
        {
            int island = world.Bodies[newcomer].Island;
            if (world.Islands[island].Count > 1 || gatherings.SizeAround(island) <= rules.MaxIslandSize)
                continue;
            int onto = neighbours.FindCompany(world, peers, newcomer);
            if (onto < 0)
                continue;
            int target = world.Bodies[onto].Island;
            world.Absorb(target, island, onto, newcomer);
            mergedInto[island] = target;
        }
        gatherings.Clear();
        foreach (ref Contact contact in contacts.Span)
            contact = contact with { IslandA = Find(contact.IslandA), IslandB = Find(contact.IslandB) };
    }

    /// <summary>Numbers the islands in contact from 0: larger first, then older.</summary>
    private void Rank(World world)
    {
        involved.Clear();
        foreach (ref readonly Contact contact in contacts.Span)
            rankOf[contact.IslandA] = rankOf[contact.IslandB] = -1;
        foreach (ref readonly Contact contact in contacts.Span)
        {
            Involve(contact.IslandA);
            Involve(contact.IslandB);
        }
        Span<ulong> keys = rankKeys.Resize(involved.Count);
        for (int i = 0; i < keys.Length; i++)
            keys[i] = world.Rank(involved.Span[i]);
        sorting.Sort(keys, involved.Span);
        for (int i = 0; i < keys.Length; i++)
        {
            rankOf[involved.Span[i]] = i;
            preferredBy[involved.Span[i]] = preferences.PreferredBy(world, involved.Span[i]);
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
        sorting.Sort(keys, order);
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
            (int bodyA, int bodyB) = (contact.BodyA, contact.BodyB);
            if (Yields(world, a, b, newcomersOnly))
            {
                (a, b) = (b, a);
                (bodyA, bodyB) = (bodyB, bodyA);
            }
            if (newcomersOnly && (world.Islands[b].Pending & Pending.Fresh) == 0)
                continue;
            world.Absorb(a, b, bodyA, bodyB);
            mergedInto[b] = a;
        }
    }

    /// <summary>True when a goes into b rather than b into a.</summary>
    private static bool Yields(World world, int a, int b, bool newcomersOnly)
    {
        if (newcomersOnly && ((world.Islands[a].Pending ^ world.Islands[b].Pending) & Pending.Fresh) != 0)
            return (world.Islands[a].Pending & Pending.Fresh) != 0;
        return world.Yields(a, b);
    }

    private int Find(int island) => UnionFind.Find(mergedInto, island);
}
