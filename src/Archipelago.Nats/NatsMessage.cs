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

    /// <summary>The header block as sent; empty when there is none. See <see cref="Archipelago.Messaging.BusHeaders"/>.</summary>
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

/// <summary>What the first line of a header block may hold beside the version (NATS ADR-4); <see cref="Archipelago.Messaging.BusHeaders"/> reads and writes the rest.</summary>
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
}
