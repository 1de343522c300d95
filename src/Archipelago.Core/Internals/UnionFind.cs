namespace Archipelago.Core.Internals;

/// <summary>Disjoint sets over 0…n-1 with path halving; the smaller number leads, so the result does not depend on the order of unions.</summary>
internal sealed class UnionFind
{
    private int[] parent = new int[16];

    public void Reset(int count)
    {
        if (parent.Length < count)
            parent = new int[Math.Max(count, parent.Length * 2)];
        for (int i = 0; i < count; i++)
            parent[i] = i;
    }

    public int Find(int item)
    {
        int[] p = parent;
        while (p[item] != item)
            item = p[item] = p[p[item]];
        return item;
    }

    public bool Union(int a, int b)
    {
        a = Find(a);
        b = Find(b);
        if (a == b)
            return false;
        if (a < b)
            parent[b] = a;
        else
            parent[a] = b;
        return true;
    }
}
