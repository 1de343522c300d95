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

    /// <summary>
    /// Pattern of arrivals: <c>peer.&lt;address&gt;.connect</c>, payload the session's key: the temporary address of the client's device, or its own. Whoever assigns
    /// starts the address afresh; Connectors end what earlier session of it they have.
    /// </summary>
    public const string AllConnects = "peer.*.connect";

    /// <summary>Pattern of <c>peer.&lt;address&gt;.superseded</c>, payload empty: a Connector has ended an earlier session of an address, which may not come back for a moment.</summary>
    public const string AllSuperseded = "peer.*.superseded";

    /// <summary>
    /// Pattern of questions, <c>peer.&lt;address&gt;.ask</c>: a Connector asks whether a session has heard of its island. Payload: the id of the island that it
    /// heard of last, in UTF-8, or nothing. The Service answers with <c>island_changed</c> when it is another. A subject of our own, since the bus may
    /// lose a message and the replaced services never notice.
    /// </summary>
    public const string AllAsks = "peer.*.ask";

    /// <summary>Pattern of island changes: <c>engine.peer.&lt;address&gt;.island_changed</c>, payload <c>IslandChangedMessage</c>.</summary>
    public const string AllIslandChanges = "engine.peer.*.island_changed";

    /// <summary>Pattern of island changes that are for one session alone: <c>engine.peer.&lt;address&gt;.island_changed.&lt;session key&gt;</c>.</summary>
    public const string AllSessionIslandChanges = "engine.peer.*.island_changed.*";

    /// <summary>
    /// The header, beside the payload, by which our Connectors name a session on <c>connect</c>, <c>disconnect</c> and <c>ask</c>: the key says which device, this says
    /// which of its sessions.
    /// </summary>
    public const string SessionHeader = "Archipelago-Session";

    /// <summary><see cref="SessionHeader"/> in UTF-8.</summary>
    public static ReadOnlySpan<byte> SessionHeaderUtf8 => "Archipelago-Session"u8;

    /// <summary>All islands after each flush, payload <c>IslandStatusMessage</c>.</summary>
    public const string Islands = "engine.islands";

    /// <summary>
    /// Pattern of the parts of a list of islands that is larger than the bus carries in one message: <c>engine.islands_part.&lt;flush&gt;.&lt;index&gt;.&lt;count&gt;</c>,
    /// payload <c>IslandStatusMessage</c> with some of the islands. A subject of our own: services that know <see cref="Islands"/> alone would take a part
    /// for the whole.
    /// </summary>
    public const string AllIslandsParts = "engine.islands_part.*.*.*";

    /// <summary>What the Service's flushes did, after each of everybody, payload <c>FlushReport</c>. A subject of our own, for those who watch.</summary>
    public const string FlushReport = "engine.flush_report";

    /// <summary>Who leads of several Services, told by the one that does: as soon as it does, and every second; payload <c>LeaderStatus</c>. A subject of our own.</summary>
    public const string Leader = "engine.leader";

    /// <summary>How far each standby is, told by itself every second, payload <c>StandbyStatus</c>. A subject of our own.</summary>
    public const string Standby = "engine.standby";

    /// <summary>What the leader's flushes did, for standbys: a binary form of our own (<c>docs/protocol.md</c>).</summary>
    public const string Replica = "engine.replica";

    /// <summary>A standby asks the leader for a snapshot; payload: its node, in UTF-8.</summary>
    public const string ReplicaJoin = "engine.replica.join";

    /// <summary>The subject on which one standby gets its snapshot.</summary>
    /// <param name="node">The standby.</param>
    public static string ReplicaOf(string node) => $"engine.replica.to.{node}";

    /// <summary>
    /// The header, beside the payload, that says in which term (<c>LeaderStatus</c>) a Service that has standbys published a message. Who has heard of a later term drops it; see
    /// <see cref="TermFence"/>.
    /// </summary>
    public const string TermHeader = "Archipelago-Term";

    /// <summary><see cref="TermHeader"/> in UTF-8.</summary>
    public static ReadOnlySpan<byte> TermHeaderUtf8 => "Archipelago-Term"u8;

    /// <summary>That the Service lives, and how many peers it knows, payload <c>ServiceDiscoveryMessage</c>.</summary>
    public const string Discovery = "engine.discovery";

    /// <summary>The subject of one peer's heartbeats.</summary>
    public static string Heartbeat(string address) => $"peer.{address}.heartbeat";

    /// <summary>The subject of one peer's arrival.</summary>
    public static string Connect(string address) => $"peer.{address}.connect";

    /// <summary>The subject of the question for one peer's island.</summary>
    public static string Ask(string address) => $"peer.{address}.ask";

    /// <summary>The subject of one peer's departure.</summary>
    public static string Disconnect(string address) => $"peer.{address}.disconnect";

    /// <summary>The subject on which it is told that an earlier session was ended.</summary>
    public static string Superseded(string address) => $"peer.{address}.superseded";

    /// <summary>The subject of one session's island changes.</summary>
    public static string IslandChanged(string address, string sessionKey) => $"engine.peer.{address}.island_changed.{sessionKey}";

    /// <summary>The subject of one peer's island changes.</summary>
    public static string IslandChanged(string address) => $"engine.peer.{address}.island_changed";

    /// <summary>The subject of one part of a list of islands.</summary>
    /// <param name="flush">The flush that it is of.</param>
    /// <param name="index">Which part, from 0.</param>
    /// <param name="count">How many there are.</param>
    public static string IslandsPart(long flush, int index, int count) => FormattableString.Invariant($"engine.islands_part.{flush}.{index}.{count}");

    /// <summary>Reads what <see cref="IslandsPart"/> has written.</summary>
    /// <returns>False when the subject has another shape, or the numbers make no sense.</returns>
    public static bool TryGetIslandsPart(ReadOnlySpan<byte> subject, out long flush, out int index, out int count)
    {
        (flush, index, count) = (0, 0, 0);
        ReadOnlySpan<byte> prefix = "engine.islands_part."u8;
        if (!subject.StartsWith(prefix))
            return false;
        ReadOnlySpan<byte> rest = subject[prefix.Length..];
        return System.Buffers.Text.Utf8Parser.TryParse(rest, out flush, out int digits) && TryNext(ref rest, digits)
            && System.Buffers.Text.Utf8Parser.TryParse(rest, out index, out digits) && TryNext(ref rest, digits)
            && System.Buffers.Text.Utf8Parser.TryParse(rest, out count, out digits) && digits == rest.Length
            && index >= 0 && index < count && count <= MostParts;

        static bool TryNext(ref ReadOnlySpan<byte> rest, int digits)
        {
            if (digits >= rest.Length || rest[digits] != '.')
                return false;
            rest = rest[(digits + 1)..];
            return true;
        }
    }

    private const int MostParts = 10_000;

    /// <summary>Cuts the address out of a <c>peer.&lt;address&gt;.…</c> subject without copying it.</summary>
    /// <returns>False when the subject has another shape.</returns>
    public static bool TryGetPeer(ReadOnlySpan<byte> subject, out ReadOnlySpan<byte> address) =>
        TryGetToken(subject, "peer."u8, out address);

    /// <summary>Cuts the address out of an <c>engine.peer.&lt;address&gt;.…</c> subject without copying it.</summary>
    /// <returns>False when the subject has another shape.</returns>
    public static bool TryGetEnginePeer(ReadOnlySpan<byte> subject, out ReadOnlySpan<byte> address) =>
        TryGetToken(subject, "engine.peer."u8, out address);

    /// <summary>The session key at the end of an <c>engine.peer.&lt;address&gt;.island_changed.&lt;session key&gt;</c> subject; empty for the form without.</summary>
    public static ReadOnlySpan<byte> SessionKeyOf(ReadOnlySpan<byte> subject)
    {
        ReadOnlySpan<byte> word = ".island_changed."u8;
        int at = subject.IndexOf(word);
        return at < 0 ? default : subject[(at + word.Length)..];
    }

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

    /// <summary>True for letters, digits, dashes and underscores, of which a token of a subject may be made without meaning anything there.</summary>
    /// <param name="text">In UTF-8.</param>
    /// <param name="longest">The most bytes that it may have; at least one.</param>
    public static bool IsPlainToken(ReadOnlySpan<byte> text, int longest)
    {
        if (text.IsEmpty || text.Length > longest)
            return false;
        foreach (byte c in text)
            if (!char.IsAsciiLetterOrDigit((char)c) && c is not ((byte)'-' or (byte)'_'))
                return false;
        return true;
    }

    /// <summary>The text of a token cut from a subject.</summary>
    public static string Text(ReadOnlySpan<byte> token) => Encoding.UTF8.GetString(token);
}
