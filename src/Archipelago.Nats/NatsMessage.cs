namespace Archipelago.Nats;

/// <summary>A message as a handler sees it: views of the receive buffer, valid only until the handler returns.</summary>
/// <param name="subject">The subject it was published on.</param>
/// <param name="replyTo">Where an answer is to go; empty when none is wanted.</param>
/// <param name="headers">The header block with its first line <c>NATS/1.0</c>; empty when there is none.</param>
/// <param name="payload">The bytes; may be empty.</param>
public readonly ref struct NatsMessage(ReadOnlySpan<byte> subject, ReadOnlySpan<byte> replyTo, ReadOnlySpan<byte> headers, ReadOnlySpan<byte> payload)
{
    /// <summary>The subject in UTF-8.</summary>
    public ReadOnlySpan<byte> Subject { get; } = subject;

    /// <summary>Where an answer is to go; empty when none is wanted.</summary>
    public ReadOnlySpan<byte> ReplyTo { get; } = replyTo;

    /// <summary>The header block as sent; empty when there is none. See <see cref="NatsHeaders"/>.</summary>
    public ReadOnlySpan<byte> Headers { get; } = headers;

    /// <summary>The bytes; may be empty.</summary>
    public ReadOnlySpan<byte> Payload { get; } = payload;
}

/// <summary>Takes one message, on the connection's read loop: it must not block. An exception is counted and reported and does not stop later messages.</summary>
/// <param name="message">The message; copy what is needed later.</param>
public delegate void NatsMessageHandler(NatsMessage message);

/// <summary>An answer to a request, copied out of the receive buffer.</summary>
/// <param name="Headers">The header block; empty when there is none.</param>
/// <param name="Payload">The bytes.</param>
public sealed record NatsReply(byte[] Headers, byte[] Payload);

/// <summary>Reads and writes header blocks: a line <c>NATS/1.0</c>, perhaps with a status, then <c>Name: value</c> lines (NATS ADR-4).</summary>
public static class NatsHeaders
{
    private static ReadOnlySpan<byte> Version => "NATS/1.0"u8;

    /// <summary>The status of the first line, such as 503 for no responders; 0 when there is none.</summary>
    public static int Status(ReadOnlySpan<byte> headers)
    {
        if (!headers.StartsWith(Version))
            return 0;
        ReadOnlySpan<byte> rest = headers[Version.Length..];
        int end = rest.IndexOf((byte)'\r');
        rest = (end < 0 ? rest : rest[..end]).TrimStart((byte)' ');
        return System.Buffers.Text.Utf8Parser.TryParse(rest, out int status, out _) ? status : 0;
    }

    /// <summary>The value of a header, white space around it removed; false when there is none. Names differ by case.</summary>
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
        return System.Text.Encoding.UTF8.GetBytes($"NATS/1.0\r\n{name}: {value}\r\n\r\n");
    }
}
