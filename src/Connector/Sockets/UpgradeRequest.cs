using System.Buffers;
using System.Security.Cryptography;
using System.Text;

namespace Archipelago.Connector;

/// <summary>What the first bytes of a connection turned out to be.</summary>
internal enum Opening
{
    /// <summary>It cannot be told yet.</summary>
    NeedsMore,

    /// <summary>A plain request to open a WebSocket here.</summary>
    Upgrade,

    /// <summary>Anything else; the web server knows what to do with it.</summary>
    Other,
}

/// <summary>
/// A request to open a WebSocket (RFC 6455, §4.2.1), read without the web server's help: a connection that is nothing but a WebSocket needs half the memory when no
/// request is kept for its whole life. Only plain requests are read here; whatever is unusual goes the ordinary way and is judged there.
/// </summary>
/// <param name="Key">The client's <c>Sec-WebSocket-Key</c>.</param>
/// <param name="Protocol">The first sub-protocol that it offers; null for none.</param>
/// <param name="ForwardedFor">What <c>X-Forwarded-For</c> says; empty for nothing.</param>
internal sealed record UpgradeRequest(string Key, string? Protocol, string ForwardedFor)
{
    private const int LongestHead = 8 * 1024;
    private const int KeyLength = 24;

    private static ReadOnlySpan<byte> Method => "GET "u8;

    private static ReadOnlySpan<byte> Path => "/ws"u8;

    /// <summary>Reads the head of a request.</summary>
    /// <param name="bytes">What came.</param>
    /// <param name="request">The request, when it is an upgrade.</param>
    /// <param name="end">Where it ends, when it is an upgrade.</param>
    public static Opening TryRead(in ReadOnlySequence<byte> bytes, out UpgradeRequest? request, out SequencePosition end)
    {
        request = null;
        end = bytes.Start;
        if (bytes.Length == 0)
            return Opening.NeedsMore;
        byte[]? copy = null;
        ReadOnlySpan<byte> span = bytes.FirstSpan;
        if (!bytes.IsSingleSegment)
            span = copy = bytes.Slice(0, Math.Min(bytes.Length, LongestHead)).ToArray();
        if (!span[..Math.Min(span.Length, Method.Length)].SequenceEqual(Method[..Math.Min(span.Length, Method.Length)]))
            return Opening.Other;
        int length = span.IndexOf("\r\n\r\n"u8);
        if (length < 0)
            return span.Length < LongestHead ? Opening.NeedsMore : Opening.Other;
        request = Parse(span[..(length + 2)]);
        if (request is null)
            return Opening.Other;
        end = bytes.GetPosition(length + 4);
        return Opening.Upgrade;
    }

    /// <summary>The value that proves to the client that its key was read (RFC 6455, §4.2.2).</summary>
    public static string Accept(string key)
    {
        Span<byte> text = stackalloc byte[KeyLength + 36], hash = stackalloc byte[SHA1.HashSizeInBytes];
        Encoding.ASCII.GetBytes(key, text);
        "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"u8.CopyTo(text[KeyLength..]);
#pragma warning disable CA5350 // The protocol says SHA-1; nothing secret depends on it.
        SHA1.HashData(text, hash);
#pragma warning restore CA5350
        return Convert.ToBase64String(hash);
    }

    /// <summary>True for 16 bytes in base64.</summary>
    public static bool IsKey(string? text)
    {
        Span<byte> bytes = stackalloc byte[18];
        return text is { Length: KeyLength } && Convert.TryFromBase64String(text, bytes, out int length) && length == 16;
    }

    /// <summary>The first of the sub-protocols that are offered, if it can be told back: some clients fail unless one that they offer is selected.</summary>
    public static string? FirstProtocol(string offered)
    {
        string first = offered.Split(',', 2)[0].Trim();
        return first.Length > 0 && first.All(c => c is > ' ' and <= '~') ? first : null;
    }

    /// <summary>The answer that makes the connection a WebSocket.</summary>
    public byte[] Answer()
    {
        string protocol = Protocol is null ? "" : $"Sec-WebSocket-Protocol: {Protocol}\r\n";
        return Encoding.ASCII.GetBytes(
            $"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {Accept(Key)}\r\n{protocol}Access-Control-Allow-Origin: *\r\n\r\n");
    }

    private static UpgradeRequest? Parse(ReadOnlySpan<byte> head)
    {
        int lineEnd = head.IndexOf("\r\n"u8);
        if (!IsRequestLine(head[..lineEnd]))
            return null;
        string? key = null, protocols = null, forwarded = null, upgrade = null, connection = null, version = null, host = null;
        for (ReadOnlySpan<byte> rest = head[(lineEnd + 2)..]; !rest.IsEmpty; rest = rest[(lineEnd + 2)..])
        {
            lineEnd = rest.IndexOf("\r\n"u8);
            ReadOnlySpan<byte> line = rest[..lineEnd];
            int colon = line.IndexOf((byte)':');
            if (colon <= 0 || line.ContainsAnyExceptInRange((byte)' ', (byte)'~') || line[..colon].Contains((byte)' '))
                return null;
            string value = Encoding.ASCII.GetString(line[(colon + 1)..].Trim((byte)' '));
            ref string? field = ref key;
            switch (Encoding.ASCII.GetString(line[..colon]).ToLowerInvariant())
            {
                case "sec-websocket-key":
                    break;
                case "sec-websocket-protocol":
                    field = ref protocols;
                    break;
                case "sec-websocket-version":
                    field = ref version;
                    break;
                case "upgrade":
                    field = ref upgrade;
                    break;
                case "connection":
                    field = ref connection;
                    break;
                case "host":
                    field = ref host;
                    break;
                case "x-forwarded-for":
                    // Each proxy may add a line or extend one; together they are one list.
                    forwarded = forwarded is null ? value : $"{forwarded},{value}";
                    continue;
                case "content-length" or "transfer-encoding" or "expect":
                    return null;
                default:
                    continue;
            }
            if (field is not null)
                return null;
            field = value;
        }
        return version == "13" && host is not null && IsKey(key) && Lists(upgrade, "websocket") && Lists(connection, "upgrade")
            ? new UpgradeRequest(key!, protocols is null ? null : FirstProtocol(protocols), forwarded ?? "")
            : null;
    }

    private static bool IsRequestLine(ReadOnlySpan<byte> line)
    {
        ReadOnlySpan<byte> version = " HTTP/1.1"u8;
        if (!line.EndsWith(version) || line.Length < Method.Length + version.Length)
            return false;
        ReadOnlySpan<byte> target = line[Method.Length..^version.Length];
        int query = target.IndexOf((byte)'?');
        ReadOnlySpan<byte> path = query < 0 ? target : target[..query];
        return (path.Length == Path.Length || (path.Length == Path.Length + 1 && path[^1] == '/')) && Ascii.EqualsIgnoreCase(path[..Path.Length], Path)
            && !target.ContainsAnyExceptInRange((byte)'!', (byte)'~');
    }

    private static bool Lists(string? value, string word) =>
        value is not null && value.Split(',').Any(part => part.Trim().Equals(word, StringComparison.OrdinalIgnoreCase));
}
