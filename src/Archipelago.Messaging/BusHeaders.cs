using System.Text;

namespace Archipelago.Messaging;

/// <summary>
/// Reads and writes header blocks in the form in which NATS carries them: a line <c>NATS/1.0</c>, <c>Name: value</c> lines, an empty line (NATS ADR-4). What a
/// header says beside the payload is for those who know it; everybody else sees the payload as ever.
/// </summary>
public static class BusHeaders
{
    /// <summary>The value of a header, white space around it removed; false when there is none. Names differ by case. Allocates nothing.</summary>
    public static bool TryGet(ReadOnlySpan<byte> headers, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        while (true)
        {
            int end = headers.IndexOf("\r\n"u8);
            ReadOnlySpan<byte> line = end < 0 ? headers : headers[..end];
            if (line.StartsWith(name) && line.Length > name.Length && line[name.Length] == (byte)':')
            {
                value = line[(name.Length + 1)..].Trim((byte)' ');
                return true;
            }
            if (end < 0)
            {
                value = default;
                return false;
            }
            headers = headers[(end + 2)..];
        }
    }

    /// <summary>Makes a block of one header.</summary>
    /// <exception cref="ArgumentException">The name or value would break the block.</exception>
    public static byte[] Of(string name, string value)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(value);
        if (name.AsSpan().ContainsAny(": \r\n") || value.AsSpan().ContainsAny("\r\n"))
            throw new ArgumentException($"\"{name}: {value}\" is no header: no colon or white space in a name, no line break in either.");
        return Encoding.UTF8.GetBytes($"NATS/1.0\r\n{name}: {value}\r\n\r\n");
    }
}
