namespace Archipelago.Core.Internals;

/// <summary>
/// Sorts keys with the numbers that go with them, least significant digit first: stable, in time that grows with the length alone, and about four times as
/// fast as a comparison sort from some thousand keys on. Digits that are the same in all keys cost only their counting.
/// </summary>
internal sealed class RadixSort
{
    private const int DigitBits = 11;
    private const int Digits = 6;
    private const int Buckets = 1 << DigitBits;

    /// <summary>Up to this many the fixed cost of counting outweighs the rest.</summary>
    private const int Few = 64;

    private readonly int[] counts = new int[Digits * Buckets];
    private ulong[] otherKeys = [];
    private int[] otherItems = [];

    /// <summary>Sorts by key, ascending; equal keys keep their order.</summary>
    public void Sort(Span<ulong> keys, Span<int> items)
    {
        if (keys.Length <= Few)
        {
            Insert(keys, items);
            return;
        }
        if (otherKeys.Length < keys.Length)
        {
            otherKeys = new ulong[Growth.From(otherKeys.Length, keys.Length)];
            otherItems = new int[otherKeys.Length];
        }
        Count(keys);
        Span<ulong> fromKeys = keys, toKeys = otherKeys.AsSpan(0, keys.Length);
        Span<int> fromItems = items, toItems = otherItems.AsSpan(0, keys.Length);
        bool swapped = false;
        for (int digit = 0; digit < Digits; digit++)
        {
            Span<int> starts = counts.AsSpan(digit * Buckets, Buckets);
            int shift = digit * DigitBits;
            if (starts[(int)(keys[0] >> shift) & (Buckets - 1)] == keys.Length)
                continue;
            ToStarts(starts);
            for (int i = 0; i < fromKeys.Length; i++)
            {
                ulong key = fromKeys[i];
                int place = starts[(int)(key >> shift) & (Buckets - 1)]++;
                toKeys[place] = key;
                toItems[place] = fromItems[i];
            }
            Span<ulong> k = fromKeys;
            fromKeys = toKeys;
            toKeys = k;
            Span<int> n = fromItems;
            fromItems = toItems;
            toItems = n;
            swapped = !swapped;
        }
        if (!swapped)
            return;
        fromKeys.CopyTo(keys);
        fromItems.CopyTo(items);
    }

    private static void Insert(Span<ulong> keys, Span<int> items)
    {
        for (int i = 1; i < keys.Length; i++)
        {
            (ulong key, int item) = (keys[i], items[i]);
            int place = i;
            for (; place > 0 && keys[place - 1] > key; place--)
                (keys[place], items[place]) = (keys[place - 1], items[place - 1]);
            (keys[place], items[place]) = (key, item);
        }
    }

    private void Count(ReadOnlySpan<ulong> keys)
    {
        Array.Clear(counts);
        foreach (ulong key in keys)
        {
            for (int digit = 0; digit < Digits; digit++)
                counts[(digit * Buckets) + ((int)(key >> (digit * DigitBits)) & (Buckets - 1))]++;
        }
    }

    private static void ToStarts(Span<int> counts)
    {
        int sum = 0;
        foreach (ref int count in counts)
        {
            int here = count;
            count = sum;
            sum += here;
        }
    }
}
