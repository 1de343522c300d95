using System.Text;

namespace Archipelago.Protocol;

/// <summary>
/// The subjects of the bus, as the services of the public realm use them. The address of a peer is one token:
/// lower-case hexadecimal with <c>0x</c>.
/// </summary>
public static class Subjects
{
    /// <summary>Pattern of heartbeats: <c>peer.&lt;address&gt;.heartbeat</c>, payload <c>Heartbeat</c>.</summary>
    public const string AllHeartbeats = "peer.*.heartbeat";

    /// <summary>Pattern of departures: <c>peer.&lt;address&gt;.disconnect</c>, payload empty.</summary>
    public const string AllDisconnects = "peer.*.disconnect";

    /// <summary>Pattern of arrivals: <c>peer.&lt;address&gt;.connect</c>; whoever hears it starts the address afresh.</summary>
    public const string AllConnects = "peer.*.connect";

    /// <summary>Pattern of island changes: <c>engine.peer.&lt;address&gt;.island_changed</c>, payload <c>IslandChangedMessage</c>.</summary>
    public const string AllIslandChanges = "engine.peer.*.island_changed";

    /// <summary>All islands after each flush, payload <c>IslandStatusMessage</c>.</summary>
    public const string Islands = "engine.islands";

    /// <summary>That the Service lives, and how many peers it knows, payload <c>ServiceDiscoveryMessage</c>.</summary>
    public const string Discovery = "engine.discovery";

    /// <summary>The subject of one peer's heartbeats.</summary>
    public static string Heartbeat(string address) => $"peer.{address}.heartbeat";

    /// <summary>The subject of one peer's arrival.</summary>
    public static string Connect(string address) => $"peer.{address}.connect";

    /// <summary>The subject of one peer's departure.</summary>
    public static string Disconnect(string address) => $"peer.{address}.disconnect";

    /// <summary>The subject of one peer's island changes.</summary>
    public static string IslandChanged(string address) => $"engine.peer.{address}.island_changed";

    /// <summary>Cuts the address out of a <c>peer.&lt;address&gt;.…</c> subject without copying it.</summary>
    /// <returns>False when the subject has another shape.</returns>
    public static bool TryGetPeer(ReadOnlySpan<byte> subject, out ReadOnlySpan<byte> address) =>
        TryGetToken(subject, "peer."u8, out address);

    /// <summary>Cuts the address out of an <c>engine.peer.&lt;address&gt;.…</c> subject without copying it.</summary>
    /// <returns>False when the subject has another shape.</returns>
    public static bool TryGetEnginePeer(ReadOnlySpan<byte> subject, out ReadOnlySpan<byte> address) =>
        TryGetToken(subject, "engine.peer."u8, out address);

    private static bool TryGetToken(ReadOnlySpan<byte> subject, ReadOnlySpan<byte> prefix, out ReadOnlySpan<byte> token)
    {
        token = default;
        if (!subject.StartsWith(prefix))
            return false;
        ReadOnlySpan<byte> rest = subject[prefix.Length..];
        int dot = rest.IndexOf((byte)'.');
        if (dot <= 0)
            return false;
        token = rest[..dot];
        return true;
    }

    /// <summary>The text of a token cut from a subject.</summary>
    public static string Text(ReadOnlySpan<byte> token) => Encoding.UTF8.GetString(token);
}
