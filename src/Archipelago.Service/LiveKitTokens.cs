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

    private readonly byte[] secret;
    private readonly byte[] prefix;
    private readonly byte[] afterRoom;

    /// <summary>Prepares the parts that are the same in all tokens.</summary>
    public LiveKitTokens(LiveKitOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        secret = Encoding.UTF8.GetBytes(options.ApiSecret);
        prefix = Encoding.UTF8.GetBytes($"livekit:{options.Host}?access_token={Base64Url.EncodeToString("""{"alg":"HS256"}"""u8)}.");
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
        string expires = (now.ToUnixTimeSeconds() + (long)Lifetime.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        byte[] claims =
        [
            .. "{\"video\":{\"roomJoin\":true,\"room\":"u8, .. Encoding.UTF8.GetBytes(Quote(room)), .. afterRoom,
            .. Encoding.UTF8.GetBytes(expires), .. ",\"nbf\":0,\"sub\":"u8, .. Encoding.UTF8.GetBytes(Quote(identity)), (byte)'}',
        ];
        int header = prefix.AsSpan().LastIndexOf((byte)'=') + 1;
        int signedEnd = prefix.Length + Base64Url.GetEncodedLength(claims.Length);
        byte[] text = new byte[signedEnd + 1 + Base64Url.GetEncodedLength(HMACSHA256.HashSizeInBytes)];
        prefix.CopyTo(text, 0);
        Base64Url.EncodeToUtf8(claims, text.AsSpan(prefix.Length));
        text[signedEnd] = (byte)'.';
        Span<byte> signature = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(secret, text.AsSpan(header..signedEnd), signature);
        Base64Url.EncodeToUtf8(signature, text.AsSpan(signedEnd + 1));
        return Encoding.UTF8.GetString(text);
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
