using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Archipelago.Service;

/// <summary>
/// Mints LiveKit connection strings: <c>livekit:</c>, the server, and a token (RFC 7519, HS256) that lets one peer join one room within five minutes.
/// The bytes are those of the services replaced, down to the order of the claims. May be called from any thread.
/// </summary>
public sealed class LiveKitTokens
{
    /// <summary>How long after minting a token can be used to join.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(5);

    private const int LongestOnStack = 1024;
    private const int LongestNumber = 20;

    private readonly byte[] secret;
    private readonly int header;
    private readonly byte[] prefix;
    private readonly byte[] afterRoom;

    private static ReadOnlySpan<byte> BeforeRoom => "{\"video\":{\"roomJoin\":true,\"room\":"u8;

    private static ReadOnlySpan<byte> AfterExpiry => ",\"nbf\":0,\"sub\":"u8;

    /// <summary>Prepares the parts that are the same in all tokens.</summary>
    public LiveKitTokens(LiveKitOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        secret = Encoding.UTF8.GetBytes(options.ApiSecret);
        prefix = Encoding.UTF8.GetBytes($"livekit:{options.Host}?access_token={Base64Url.EncodeToString("""{"alg":"HS256"}"""u8)}.");
        header = prefix.AsSpan().LastIndexOf((byte)'=') + 1;
        afterRoom = Encoding.UTF8.GetBytes(
            ",\"roomList\":false,\"canPublish\":true,\"canSubscribe\":true,\"canPublishData\":true,\"canUpdateOwnMetadata\":true,\"canPublishSources\":[\"microphone\"]},\"iss\":"
            + Quote(options.ApiKey) + ",\"exp\":");
    }

    /// <summary>The connection string that lets this identity into this room.</summary>
    /// <param name="room">The room, which is the island's id.</param>
    /// <param name="identity">The peer's id.</param>
    /// <param name="now">The time of minting.</param>
    public string Mint(string room, string identity, DateTimeOffset now)
    {
        var text = new ArrayBufferWriter<byte>();
        Write(text, Encoding.UTF8.GetBytes(room), Encoding.UTF8.GetBytes(identity), now);
        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    /// <summary>Writes the connection string in UTF-8; allocates nothing but what the destination does, for ids that JSON need not escape.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="room">The room, which is the island's id, in UTF-8.</param>
    /// <param name="identity">The peer's id, in UTF-8.</param>
    /// <param name="now">The time of minting.</param>
    public void Write(IBufferWriter<byte> to, ReadOnlySpan<byte> room, ReadOnlySpan<byte> identity, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(to);
        // Escaping makes at most six bytes of one.
        int most = BeforeRoom.Length + afterRoom.Length + AfterExpiry.Length + LongestNumber + 1 + (6 * (room.Length + identity.Length)) + 4;
        byte[]? rented = most > LongestOnStack ? ArrayPool<byte>.Shared.Rent(most) : null;
        Span<byte> claims = rented ?? stackalloc byte[LongestOnStack];
        int length = 0;
        Append(claims, BeforeRoom, ref length);
        AppendQuoted(claims, room, ref length);
        Append(claims, afterRoom, ref length);
        Utf8Formatter.TryFormat(now.ToUnixTimeSeconds() + (long)Lifetime.TotalSeconds, claims[length..], out int digits);
        length += digits;
        Append(claims, AfterExpiry, ref length);
        AppendQuoted(claims, identity, ref length);
        claims[length++] = (byte)'}';
        Sign(to, claims[..length]);
        if (rented is not null)
            ArrayPool<byte>.Shared.Return(rented);
    }

    private void Sign(IBufferWriter<byte> to, ReadOnlySpan<byte> claims)
    {
        int signedEnd = prefix.Length + Base64Url.GetEncodedLength(claims.Length);
        int whole = signedEnd + 1 + Base64Url.GetEncodedLength(HMACSHA256.HashSizeInBytes);
        Span<byte> text = to.GetSpan(whole);
        prefix.CopyTo(text);
        Base64Url.EncodeToUtf8(claims, text[prefix.Length..]);
        text[signedEnd] = (byte)'.';
        Span<byte> signature = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(secret, text[header..signedEnd], signature);
        Base64Url.EncodeToUtf8(signature, text[(signedEnd + 1)..]);
        to.Advance(whole);
    }

    private static void Append(Span<byte> to, ReadOnlySpan<byte> bytes, ref int length)
    {
        bytes.CopyTo(to[length..]);
        length += bytes.Length;
    }

    private static void AppendQuoted(Span<byte> to, ReadOnlySpan<byte> text, ref int length)
    {
        if (text.ContainsAnyInRange((byte)0, (byte)0x1F) || text.ContainsAny((byte)'"', (byte)'\\'))
        {
            length += Encoding.UTF8.GetBytes(Quote(Encoding.UTF8.GetString(text)), to[length..]);
            return;
        }
        to[length++] = (byte)'"';
        Append(to, text, ref length);
        to[length++] = (byte)'"';
    }

    /// <summary>A JSON string as JavaScript writes it: only quotes, backslashes and control characters are escaped.</summary>
    private static string Quote(string text)
    {
        var quoted = new StringBuilder(text.Length + 2).Append('"');
        foreach (char c in text)
        {
            _ = c switch
            {
                '"' => quoted.Append("\\\""),
                '\\' => quoted.Append(@"\\"),
                '\b' => quoted.Append("\\b"),
                '\f' => quoted.Append("\\f"),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                < ' ' => quoted.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => quoted.Append(c),
            };
        }
        return quoted.Append('"').ToString();
    }
}
