using System.Text.Json;

namespace Archipelago.Nats.Internals;

/// <summary>What the server says of itself in INFO.</summary>
internal sealed record ServerInfo
{
    public int MaxPayload { get; init; } = DefaultMaxPayload;

    public bool TlsRequired { get; init; }

    public bool TlsAvailable { get; init; }

    public bool Headers { get; init; }

    public string? Nonce { get; init; }

    /// <summary>The server is about to stop: move to another.</summary>
    public bool LameDuck { get; init; }

    /// <summary>Other servers of the cluster, as host:port.</summary>
    public IReadOnlyList<string> ConnectUrls { get; init; } = [];

    /// <summary>What servers allow unless they are told otherwise.</summary>
    public const int DefaultMaxPayload = 1 << 20;

    /// <exception cref="NatsProtocolException">The text is no INFO.</exception>
    public static ServerInfo Parse(ReadOnlySpan<byte> json)
    {
        try
        {
            var reader = new Utf8JsonReader(json);
            using JsonDocument document = JsonDocument.ParseValue(ref reader);
            JsonElement root = document.RootElement;
            return new ServerInfo
            {
                MaxPayload = root.TryGetProperty("max_payload", out JsonElement max) && max.TryGetInt32(out int bytes) ? bytes : DefaultMaxPayload,
                TlsRequired = Flag(root, "tls_required"),
                TlsAvailable = Flag(root, "tls_available"),
                Headers = Flag(root, "headers"),
                Nonce = Text(root, "nonce"),
                LameDuck = Flag(root, "ldm"),
                ConnectUrls = root.TryGetProperty("connect_urls", out JsonElement urls) && urls.ValueKind == JsonValueKind.Array
                    ? [.. urls.EnumerateArray().Select(u => u.GetString() ?? "")]
                    : [],
            };
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new NatsProtocolException("The server's INFO is no JSON object.");
        }
    }

    private static string? Text(JsonElement root, string name) =>
        root.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static bool Flag(JsonElement root, string name) => root.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;
}
