namespace Archipelago.Core.Internals;

/// <summary>Puts columns into another order in place, so that a large world needs no second copy of itself for it.</summary>
internal sealed class ColumnPermuter
{
    private ulong[] done = [];

    /// <summary>Makes room for columns of this length.</summary>
    public void Reserve(int length)
    {
        int words = (length + 63) >> 6;
        if (done.Length < words)
            done = new ulong[Growth.From(done.Length, words)];
    }

    /// <summary>Entry <c>i</c> becomes what entry <c>from[i]</c> was; <paramref name="from"/> names each of its indices once.</summary>
    public void Apply<T>(Span<T> column, ReadOnlySpan<int> from)
        where T : struct
    {
        Reserve(from.Length);
        done.AsSpan(0, (from.Length + 63) >> 6).Clear();
        for (int start = 0; start < from.Length; start++)
        {
            if ((done[start >> 6] & (1UL << start)) != 0)
                continue;
            // Follow the cycle from here until it closes.
            T first = column[start];
            int to = start;
            for (int source = from[to]; source != start; source = from[to])
            {
                column[to] = column[source];
                done[to >> 6] |= 1UL << to;
                to = source;
            }
            column[to] = first;
            done[to >> 6] |= 1UL << to;
        }
    }
}
