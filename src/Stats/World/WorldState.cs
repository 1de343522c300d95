using System.Diagnostics.CodeAnalysis;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Stats.World;

/// <summary>
/// What the bus has told: who is where, the islands of the last report, and whether the Service lives. Written by bus threads, a heartbeat without a lock or an allocation,
/// and read by requests, which hold nobody up.
/// </summary>
internal sealed partial class WorldState
{
    private sealed record Led(LeaderStatus Status, long At);

    private static readonly TimeSpan CoreFreshness = TimeSpan.FromSeconds(90);

    private readonly TimeProvider clock;
    private readonly LogThrottle throttle;
    private readonly ILogger<WorldState> log;
    private readonly IslandBoard board;
    private readonly string boot = Convert.ToHexStringLower(System.Security.Cryptography.RandomNumberGenerator.GetBytes(4));
    private volatile ServiceStatus? core;
    private volatile FlushReport? lastFlush;
    private volatile Led? leader;
    private long version;
    private long heartbeats;
    private long undecodable;
    private long expired;

    public WorldState(TimeProvider clock, LogThrottle throttle, ILogger<WorldState> log)
    {
        (this.clock, this.throttle, this.log) = (clock, throttle, log);
        board = new IslandBoard(Peers, clock);
        Fence = new TermFence(clock);
    }

    /// <summary>Keeps out what comes from a Service that no longer leads.</summary>
    public TermFence Fence { get; }

    /// <summary>Who leads of several Services, and who stands by; null where there is only one, or none was heard of for long.</summary>
    public LeaderStatus? Leader => leader is { } known && clock.GetElapsedTime(known.At) < TermFence.Memory ? known.Status : null;

    /// <summary>Who is here.</summary>
    public PeerTable Peers { get; } = new();

    /// <summary>The islands of the last report, in its order.</summary>
    public IReadOnlyList<Island> Islands => board.Islands;

    /// <summary>
    /// Names the state of peers and islands. Read before the state itself, it is never newer than what is read: who finds it unchanged has missed nothing.
    /// </summary>
    public string Version => $"{boot}-{Volatile.Read(ref version):x}";

    /// <summary>Peers that the Service last said it knows; 0 before it said anything.</summary>
    public uint CoreUserCount => core?.UserCount ?? 0;

    /// <summary>True when the Service gave a sign of life within 90 seconds, its clock against ours.</summary>
    public bool IsCoreHealthy =>
        core is { } status && clock.GetUtcNow().ToUnixTimeMilliseconds() - (double)status.CurrentTime < CoreFreshness.TotalMilliseconds;

    /// <summary>What the Service's last flush did; null before one was heard of.</summary>
    public FlushReport? LastFlush => lastFlush;

    /// <summary>Heartbeats taken.</summary>
    public long Heartbeats => Volatile.Read(ref heartbeats);

    /// <summary>Messages that could not be decoded.</summary>
    public long Undecodable => Volatile.Read(ref undecodable);

    /// <summary>Peers that fell silent without a word.</summary>
    public long Expired => Volatile.Read(ref expired);

    /// <summary>The members of an island that are known here.</summary>
    public IEnumerable<Peer> MembersOf(Island island) => board.MembersOf(island);

    public void OnHeartbeat(BusMessage message)
    {
        if (!Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> token) || !HeartbeatReader.TryRead(message.Payload, out HeartbeatView heartbeat))
        {
            Warn("heartbeat");
            return;
        }
        if (!heartbeat.HasPosition)
            return;
        long now = clock.GetUtcNow().ToUnixTimeMilliseconds(), timestamp = clock.GetTimestamp();
        bool known = Peers.TryFind(token, out Peer? peer);
        if (known)
            peer!.Set(heartbeat.X, heartbeat.Y, heartbeat.Z, now, timestamp);
        // A full fence between what was written and the look whether anybody is gone; the sweep has one between saying so and its last look at what was written.
        Interlocked.Increment(ref heartbeats);
        // Who left while this was written has come back.
        if (!known || peer!.IsGone)
            Peers.Add(Subjects.Text(token), heartbeat.X, heartbeat.Y, heartbeat.Z, now, timestamp);
        Interlocked.Increment(ref version);
    }

    public void OnConnect(BusMessage message)
    {
        if (Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> token) && SessionHeaders.TryRead(message.Headers, out SessionStamp session))
            Peers.Belong(token, session);
    }

    public void OnDisconnect(BusMessage message)
    {
        // The Service speaks here, too, of those who fell silent.
        if (TermFence.Read(message.Headers) != 0 && !Fence.Admits(message.Headers))
            return;
        if (Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> token)
            && Peers.Remove(token, SessionHeaders.Read(message.Headers)))
            Interlocked.Increment(ref version);
    }

    public void OnIslands(BusMessage message)
    {
        if (!Fence.Admits(message.Headers) || !TryParse(IslandStatusMessage.Parser, message, "islands report", out IslandStatusMessage? report))
            return;
        board.Take(report);
        Interlocked.Increment(ref version);
    }

    public void OnIslandsPart(BusMessage message)
    {
        if (!Fence.Admits(message.Headers))
            return;
        if (!Subjects.TryGetIslandsPart(message.Subject, out long flush, out int index, out int count))
            Warn("part of an islands report");
        else if (TryParse(IslandStatusMessage.Parser, message, "part of an islands report", out IslandStatusMessage? part) && board.TakePart(part, flush, index, count))
            Interlocked.Increment(ref version);
    }

    public void OnDiscovery(BusMessage message)
    {
        if (Fence.Admits(message.Headers) && TryParse(ServiceDiscoveryMessage.Parser, message, "discovery", out ServiceDiscoveryMessage? discovery))
            core = discovery.Status;
    }

    public void OnFlushReport(BusMessage message)
    {
        if (Fence.Admits(message.Headers) && TryParse(FlushReport.Parser, message, "flush report", out FlushReport? report))
            lastFlush = report;
    }

    public void OnLeader(BusMessage message)
    {
        if (Fence.Admits(message.Headers) && TryParse(LeaderStatus.Parser, message, "leader's status", out LeaderStatus? status))
            leader = new Led(status, clock.GetTimestamp());
    }

    /// <summary>Removes who has not been heard of for so long.</summary>
    public void Expire(TimeSpan silence)
    {
        int removed = Peers.RemoveSilentSince(clock.GetTimestamp() - (long)(silence.TotalSeconds * clock.TimestampFrequency) + 1);
        if (removed == 0)
            return;
        Interlocked.Add(ref expired, removed);
        Interlocked.Increment(ref version);
    }

    private bool TryParse<T>(MessageParser<T> parser, BusMessage message, string what, [NotNullWhen(true)] out T? parsed)
        where T : class, IMessage<T>
    {
        if (ClientFrames.TryParse(parser, message.Payload, out parsed))
            return true;
        Warn(what);
        return false;
    }

    private void Warn(string what)
    {
        Interlocked.Increment(ref undecodable);
        if (throttle.ShouldLog(what, out long suppressed))
            LogUndecodable(log, what, suppressed);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Dropped a {What} that could not be decoded. {Suppressed} more like this were not logged.")]
    private static partial void LogUndecodable(ILogger log, string what, long suppressed);
}
