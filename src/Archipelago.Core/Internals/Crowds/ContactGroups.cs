namespace Archipelago.Core.Internals.Crowds;

/// <summary>Islands that are connected by contacts, and how many people they have together.</summary>
internal sealed class ContactGroups
{
    private readonly Pool<int> involved = new();
    private int[] leader = [];
    private int[] people = [];

    /// <summary>Adds up the islands that these contacts connect.</summary>
    public void Sum(World world, ReadOnlySpan<Contact> contacts)
    {
        if (leader.Length < world.IslandTop)
        {
            leader = new int[world.Islands.Length];
            people = new int[world.Islands.Length];
            leader.AsSpan().Fill(-1);
        }
        foreach (ref readonly Contact contact in contacts)
        {
            int a = Find(world, contact.IslandA), b = Find(world, contact.IslandB);
            if (a == b)
                continue;
            if (people[a] < people[b])
                (a, b) = (b, a);
            leader[b] = a;
            people[a] += people[b];
        }
    }

    /// <summary>People of all islands that are connected with this one; 0 when it is in no contact.</summary>
    public int SizeAround(int island) => leader[island] < 0 ? 0 : people[UnionFind.Find(leader, island)];

    /// <summary>Forgets the sums.</summary>
    public void Clear()
    {
        foreach (int island in involved.Span)
            leader[island] = -1;
        involved.Clear();
    }

    /// <summary>Gives memory back, when nothing is summed up.</summary>
    public void ReleaseScratch()
    {
        involved.Release();
        leader = people = [];
    }

    private int Find(World world, int island)
    {
        if (leader[island] < 0)
        {
            leader[island] = island;
            people[island] = world.Islands[island].Count;
            involved.Add(island);
        }
        return UnionFind.Find(leader, island);
    }
}
