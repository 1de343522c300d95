using System.Text;

namespace Archipelago.Protocol;

/// <summary>
/// Compares addresses by their UTF-8 bytes, so that a dictionary finds one that was cut from a subject without making a string of it
/// (<see cref="System.Collections.Concurrent.ConcurrentDictionary{TKey, TValue}.GetAlternateLookup{TAlternateKey}"/>). Any thread.
/// </summary>
public sealed class AddressComparer : IEqualityComparer<string>, IAlternateEqualityComparer<ReadOnlySpan<byte>, string>
{
    /// <inheritdoc/>
    public bool Equals(string? x, string? y) => string.Equals(x, y, StringComparison.Ordinal);

    /// <inheritdoc/>
    public bool Equals(ReadOnlySpan<byte> alternate, string other)
    {
        if (alternate.Length == other.Length && Ascii.Equals(alternate, other))
            return true;
        return !Ascii.IsValid(other) && alternate.SequenceEqual(Encoding.UTF8.GetBytes(other));
    }

    /// <inheritdoc/>
    public int GetHashCode(string obj)
    {
        Span<byte> buffer = stackalloc byte[256];
        return Encoding.UTF8.TryGetBytes(obj, buffer, out int written)
            ? GetHashCode(buffer[..written])
            : GetHashCode(Encoding.UTF8.GetBytes(obj));
    }

    // Seeded anew in each process: addresses are chosen by strangers.
    /// <inheritdoc/>
    public int GetHashCode(ReadOnlySpan<byte> alternate)
    {
        var hash = default(HashCode);
        hash.AddBytes(alternate);
        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public string Create(ReadOnlySpan<byte> alternate) => Encoding.UTF8.GetString(alternate);
}
