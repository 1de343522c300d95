using System.Collections.Concurrent;
using System.Text;
using Archipelago.Core;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Archipelago.Service.Replication;

namespace Archipelago.Service;

/// <summary>
/// Takes heartbeats and departures from the bus and tells the engine. Called from any bus thread, never waits for a flush.
/// </summary>
internal sealed partial class Intake
{
    /// <summary>Longer ids are none of ours.</summary>
    private const int LongestRoom = 128;

    /// <summary>Questions that may wait; each is asked again.</summary>
    private const int MostAsks = 100_000;

    private readonly Worlds worlds;
    private readonly Leadership leadership;
    private readonly Admission admission;
    private readonly TimeProvider clock;
    private readonly LogThrottle throttle;
    private readonly ILogger<Intake> log;
    private readonly ConcurrentQueue<(Peer Peer, string Heard)> asks = new();
    private long answered;
    private long heartbeats;
    private long undecodable;
    private long notFinite;
    private long withoutPosition;
    private long flushes;
    private long lateDepartures;
    private long departures;
    private readonly Arrivals arrivals;

    public Intake(Worlds worlds, Leadership leadership, Arrivals arrivals, Admission admission, TimeProvider clock, LogThrottle throttle, ILogger<Intake> log)
    {
        this.worlds = worlds;
        this.leadership = leadership;
        this.arrivals = arrivals;
        this.admission = admission;
        this.clock = clock;
        this.throttle = throttle;
        this.log = log;
        admission.Admitted = Add;
    }

    /// <summary>Heartbeats taken.</summary>
    public long Heartbeats => Interlocked.Read(ref heartbeats);

    /// <summary>Heartbeats that were none, or had no place in the world.</summary>
    public long Dropped => Interlocked.Read(ref undecodable) + Interlocked.Read(ref notFinite);

    /// <summary>Heartbeats dropped, by cause; those without a position are no sign of life and nothing else.</summary>
    public IEnumerable<(string Cause, long Count)> DroppedByCause =>
        [("undecodable", Interlocked.Read(ref undecodable)), ("not_finite", Interlocked.Read(ref notFinite)), ("without_position", Interlocked.Read(ref withoutPosition))];

    /// <summary>Tells that a flush begins: peers added before are pending no longer.</summary>
    public void BeginFlush() => Interlocked.Increment(ref flushes);

    /// <summary>Handles <c>peer.&lt;address&gt;.heartbeat</c>; for a known peer it takes no lock and allocates nothing.</summary>
    public void OnHeartbeat(BusMessage message)
    {
        if (!Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> address) || !HeartbeatReader.TryRead(message.Payload, out HeartbeatView heartbeat))
        {
            Drop(ref undecodable, "undecodable");
            return;
        }
        // A heartbeat without position is no sign of life, as in the service replaced.
        if (!heartbeat.HasPosition)
        {
            Interlocked.Increment(ref withoutPosition);
            return;
        }
        var position = new Position(heartbeat.X, heartbeat.Y, heartbeat.Z);
        if (!position.IsFinite)
        {
            Drop(ref notFinite, "not a finite position");
            return;
        }
        Interlocked.Increment(ref heartbeats);
        IslandId preferred = Preferred(worlds.Now.Names, heartbeat.DesiredRoom);
        // Where it has just ended following, its world is another.
        if (worlds.Follower is not { } follower || !follower.OnHeartbeat(address, position, preferred))
            Accept(worlds.Now, address, position, preferred);
    }

    private void Accept(IslandWorld world, ReadOnlySpan<byte> address, in Position position, IslandId preferred)
    {
        if (world.Peers.TryFind(address, out Peer? peer))
            Update(world.Engine, peer, position, preferred);
        else
            admission.Ask(Subjects.Text(address), position, preferred);
    }

    /// <summary>Takes in somebody who was heard while another Service led.</summary>
    public void Accept(Stranger stranger) => Accept(worlds.Now, Encoding.UTF8.GetBytes(stranger.Address), stranger.Position, stranger.Preferred);

    /// <summary>Handles <c>peer.&lt;address&gt;.disconnect</c>; that of a session which is not the address's any more changes nothing.</summary>
    public void OnDisconnect(BusMessage message)
    {
        // Another Service tells here who fell silent, too; one that no longer leads does not count.
        if (!Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> token) || (TermFence.Read(message.Headers) is var term && term != 0 && term < leadership.LatestTerm))
            return;
        string address = Subjects.Text(token);
        lock (admission.Deciding)
        {
            if (!arrivals.IsOfEarlier(address, message, SessionOf(token)))
                StartAfresh(address);
            else
                Interlocked.Increment(ref lateDepartures);
        }
    }

    /// <summary>Handles <c>peer.&lt;address&gt;.connect</c>: the address starts afresh, and its first island goes to the session that the message names.</summary>
    public void OnConnect(BusMessage message)
    {
        if (!Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> token))
            return;
        string address = Subjects.Text(token);
        lock (admission.Deciding)
            if (arrivals.TryAnnounce(address, message, SessionOf(token)))
                StartAfresh(address);
    }

    /// <summary>Peers that left, or started afresh.</summary>
    public long Departures => Interlocked.Read(ref departures);

    /// <summary>Departures of sessions in whose place there was a newer one already.</summary>
    public long LateDepartures => Interlocked.Read(ref lateDepartures);

    private SessionStamp? SessionOf(ReadOnlySpan<byte> address)
    {
        if (worlds.Follower is { } follower)
            return follower.SessionOf(address);
        return worlds.Now.Peers.TryFind(address, out Peer? peer) ? peer.Session : null;
    }

    private void StartAfresh(string address)
    {
        admission.Withdraw(address);
        if (worlds.Follower is { } follower && follower.OnEnd(address))
            return;
        if (worlds.Now.Peers.Remove(address))
            Interlocked.Increment(ref departures);
    }

    /// <summary>Handles <c>peer.&lt;address&gt;.ask</c>.</summary>
    public void OnAsk(BusMessage message)
    {
        // While another leads, that one answers; and whoever gets none asks again.
        if (worlds.Follower is not null || asks.Count >= MostAsks || message.Payload.Length > LongestRoom
            || !Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> address) || !worlds.Now.Peers.TryFind(address, out Peer? peer))
            return;
        // Its announcement was lost, or came before this Service did.
        if (SessionHeaders.Read(message.Headers) is { } stamp && (peer.Session is not { } known || stamp.CompareTo(known) > 0))
            peer.Belong(new Arrival(null, stamp, clock.GetTimestamp()));
        asks.Enqueue((peer, Encoding.UTF8.GetString(message.Payload)));
    }

    /// <summary>Forgets who has asked: another Service leads, and answers.</summary>
    public void ForgetAsks() => asks.Clear();

    /// <summary>True when somebody has asked.</summary>
    public bool HasAsks => !asks.IsEmpty;

    /// <summary>
    /// Adds to what is to be told whose Connector last heard of another island than the one that the peer is in. Nobody is moved by asking. On the flushing
    /// thread, between flushes.
    /// </summary>
    public void Answer(List<IslandChange> untold)
    {
        (IslandEngine engine, IslandNames names) = (worlds.Now.Engine, worlds.Now.Names);
        while (asks.TryDequeue(out (Peer Peer, string Heard) ask))
        {
            IslandId now = engine.MembersOf(ask.Peer.Handle).Island;
            if (now.IsNone || names.Format(now.Value) == ask.Heard)
                continue;
            answered++;
            untold.Add(new IslandChange(ask.Peer.Handle, names.TryParse(ask.Heard, out long heard) ? new IslandId(heard) : IslandId.None, now, IslandChangeCause.Merge));
        }
    }

    /// <summary>Questions that found a client without its island.</summary>
    public long Answered => Volatile.Read(ref answered);

    private void Add(string address, Position position, IslandId preferred)
    {
        // The gatekeeper has answered after another Service has taken the lead.
        if (worlds.Follower is { } follower && follower.OnHeartbeat(Encoding.UTF8.GetBytes(address), position, preferred))
            return;
        IslandWorld world = worlds.Now;
        Peer peer = world.Peers.Add(address, arrivals.Take(address), position, preferred, Interlocked.Read(ref flushes), clock.GetTimestamp(), out bool isNew);
        if (isNew)
            world.Silence.Watch(peer);
        Update(world.Engine, peer, position, preferred);
    }

    private void Update(IslandEngine engine, Peer peer, in Position position, IslandId preferred)
    {
        Volatile.Write(ref peer.LastSeen, clock.GetTimestamp());
        engine.Move(peer.Handle, position);
        // Before its first flush the last heartbeat alone decides; later a wish stays until another replaces it.
        if (!preferred.IsNone || peer.AddedAt == Interlocked.Read(ref flushes))
            engine.Prefer(peer.Handle, preferred);
    }

    private static IslandId Preferred(IslandNames names, ReadOnlySpan<byte> room)
    {
        if (room.IsEmpty)
            return IslandId.None;
        Span<char> text = stackalloc char[LongestRoom];
        return room.Length <= LongestRoom && names.TryParse(text[..Encoding.UTF8.GetChars(room, text)], out long number) ? new IslandId(number) : IslandId.Unknown;
    }

    private void Drop(ref long counter, string cause)
    {
        Interlocked.Increment(ref counter);
        if (throttle.ShouldLog(cause, out long suppressed))
            LogDropped(log, cause, suppressed);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Heartbeat dropped: {Cause}. {Suppressed} more like this were not logged.")]
    private static partial void LogDropped(ILogger log, string cause, long suppressed);
}
