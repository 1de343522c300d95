using System.Text;

namespace Archipelago.Service;

/// <summary>Compares addresses by their UTF-8 bytes, so that one cut from a subject is found without making a string of it.</summary>
internal sealed class AddressComparer : IEqualityComparer<string>, IAlternateEqualityComparer<ReadOnlySpan<byte>, string>
{
    public bool Equals(string? x, string? y) => string.Equals(x, y, StringComparison.Ordinal);

    public bool Equals(ReadOnlySpan<byte> alternate, string other)
    {
        if (alternate.Length == other.Length && Ascii.Equals(alternate, other))
            return true;
        return !Ascii.IsValid(other) && alternate.SequenceEqual(Encoding.UTF8.GetBytes(other));
    }

    public int GetHashCode(string obj)
    {
        Span<byte> buffer = stackalloc byte[256];
        return Encoding.UTF8.TryGetBytes(obj, buffer, out int written)
            ? GetHashCode(buffer[..written])
            : GetHashCode(Encoding.UTF8.GetBytes(obj));
    }

    // Seeded anew in each process: addresses are chosen by strangers.
    public int GetHashCode(ReadOnlySpan<byte> alternate)
    {
        var hash = default(HashCode);
        hash.AddBytes(alternate);
        return hash.ToHashCode();
    }

    public string Create(ReadOnlySpan<byte> alternate) => Encoding.UTF8.GetString(alternate);
}
