using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Caching.Memory;

namespace Archipelago.Ethereum;

/// <summary>
/// Remembers delegations whose signature was found good, so that somebody who comes again with the same one costs one recovery less: whoever holds a temporary key
/// presents the same delegation for weeks. Bounded; the least used go first. Only ordinary signatures are remembered, for a contract may change its mind, and
/// only that they are good: whether the delegation has ended is looked at each time. Any thread.
/// </summary>
/// <param name="capacity">How many are remembered.</param>
public sealed class DelegationCache(int capacity) : IDisposable
{
    private readonly MemoryCache cache = new(new MemoryCacheOptions { SizeLimit = capacity, CompactionPercentage = 0.1 });
    private long hits;
    private long misses;

    /// <summary>Signatures that did not have to be recovered.</summary>
    public long Hits => Interlocked.Read(ref hits);

    /// <summary>Signatures that were not known.</summary>
    public long Misses => Interlocked.Read(ref misses);

    /// <summary>How many are remembered.</summary>
    public int Count => cache.Count;

    /// <summary>True when this very signature of this text by this authority was found good before.</summary>
    internal bool Contains(string authority, string text, string signature)
    {
        bool known = cache.TryGetValue(Key(authority, text, signature), out _);
        Interlocked.Increment(ref known ? ref hits : ref misses);
        return known;
    }

    internal void Add(string authority, string text, string signature) =>
        cache.Set(Key(authority, text, signature), true, new MemoryCacheEntryOptions { Size = 1 });

    /// <inheritdoc/>
    public void Dispose() => cache.Dispose();

    /// <summary>A hash stands for what was signed, so that long texts take no more room; the lengths keep one part from flowing into the next.</summary>
    private static Digest Key(string authority, string text, string signature)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string part in (ReadOnlySpan<string>)[authority, text, signature])
        {
            hash.AppendData(BitConverter.GetBytes(part.Length));
            hash.AppendData(MemoryMarshal.AsBytes(part.AsSpan()));
        }
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(digest);
        return MemoryMarshal.Read<Digest>(digest);
    }

    // All of it: with half, somebody could look for two delegations with the same key, have their own remembered, and present the other.
    private readonly record struct Digest(UInt128 Low, UInt128 High);
}
