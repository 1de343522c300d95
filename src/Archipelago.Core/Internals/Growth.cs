namespace Archipelago.Core.Internals;

/// <summary>How tables grow: by doubling while they are small, by half when they are large and the part left empty would weigh.</summary>
internal static class Growth
{
    private const int Smallest = 64;
    private const int Large = 1 << 16;

    /// <summary>The next size from this one that holds at least as many as needed.</summary>
    public static int From(int size, int needed)
    {
        long grown = size >= Large ? size + (size / 2L) : size * 2L;
        return (int)Math.Min(Array.MaxLength, Math.Max(Math.Max(grown, needed), Smallest));
    }
}
