namespace Archipelago.Core.Internals;

/// <summary>Disjoint sets over 0…n-1 with path halving and union by size. Which number leads a set depends on the order of unions; what is in it does not.</summary>
internal sealed class UnionFind
{
    private int[] parent = new int[16];
    private int[] size = new int[16];

    /// <summary>Sets left.</summary>
    public int Sets { get; private set; }

    public void Reset(int count)
    {
        if (parent.Length < count)
        {
            parent = new int[Math.Max(count, parent.Length * 2)];
            size = new int[parent.Length];
        }
        for (int i = 0; i < count; i++)
        {
            parent[i] = i;
            size[i] = 1;
        }
        Sets = count;
    }

    public int Find(int item) => Find(parent, item);

    /// <summary>The leader of an item's set, halving the way to it; for those who keep their sets elsewhere.</summary>
    public static int Find(int[] parent, int item)
    {
        while (parent[item] != item)
            item = parent[item] = parent[parent[item]];
        return item;
    }

    /// <summary>Joins the sets of a and b; tells whether that of b was the smaller. False when they are one already.</summary>
    public bool TryUnion(int a, int b, out bool secondIsSmaller)
    {
        a = Find(a);
        b = Find(b);
        secondIsSmaller = size[b] <= size[a];
        if (a == b)
            return false;
        if (!secondIsSmaller)
            (a, b) = (b, a);
        parent[b] = a;
        size[a] += size[b];
        Sets--;
        return true;
    }
}
