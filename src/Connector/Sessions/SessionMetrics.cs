using Archipelago.Protocol;
using System.Diagnostics.Metrics;
using Archipelago.Ethereum;

namespace Archipelago.Connector;

/// <summary>The limits that strangers and clients may meet.</summary>
internal enum LimitKind
{
    WaitingSockets,
    MessageBytes,
    HeartbeatRate,
    SendTimeout,
    SignatureQueue,
    SupersedeCooldown,
}

/// <summary>Why a heartbeat was not published.</summary>
internal enum DropReason
{
    NotFinite,
    OutsideTheWorld,
    TooLarge,
    Overtaken,
    BusUnreachable,
}

/// <summary>What the sessions of one Connector count. Any thread; counting takes no lock and allocates nothing.</summary>
internal sealed class SessionMetrics
{
    private static readonly string[] LimitNames = ["waiting_sockets", "message_bytes", "heartbeat_rate", "send_timeout", "signature_queue", "supersede_cooldown"];
    private static readonly string[] DropNames = ["not_finite", "outside_the_world", "too_large", "overtaken", "bus_unreachable"];

    private readonly Meter meter;
    private readonly Counter<long> handshakes;
    private readonly Histogram<double> signatures;
    private readonly long[] refused = new long[LimitNames.Length];
    private readonly long[] dropped = new long[DropNames.Length];
    private int authenticated;
    private long received;
    private long heartbeats;
    private long islandChanges;
    private long islandsReplaced;
    private long islandsRepeated;
    private long islandsAsked;
    private long bytesReceived;
    private long bytesSent;
    private long superseded;
    private double sweep;

    public SessionMetrics(IMeterFactory meters)
    {
        meter = meters.Create("archipelago.connector");
        handshakes = meter.CreateCounter<long>("archipelago_handshakes_total", description: "Handshakes by outcome.");
        signatures = meter.CreateHistogram<double>(
            "archipelago_signature_seconds",
            description: "Time to recover a signer, in seconds.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1] });
        meter.CreateObservableCounter("archipelago_limit_exceeded_total", () => Named("limit", LimitNames, refused), description: "What exceeded a limit, enforced or not.");
        meter.CreateObservableCounter("archipelago_heartbeats_dropped_total", () => Named("reason", DropNames, dropped), description: "Heartbeats that were not published.");
        meter.CreateObservableGauge("archipelago_sessions", () => Authenticated, description: "Authenticated sessions.");
        Observe("archipelago_heartbeats_received_total", () => Volatile.Read(ref received), "Heartbeats of clients that are in.");
        Observe("archipelago_heartbeats_forwarded_total", () => Volatile.Read(ref heartbeats), "Heartbeats published on the bus.");
        Observe("archipelago_island_changes_total", () => Volatile.Read(ref islandChanges), "Island changes sent to clients.");
        Observe("archipelago_island_changes_replaced_total", () => Volatile.Read(ref islandsReplaced), "Island changes that a later one overtook before the client read them.");
        Observe("archipelago_island_changes_repeated_total", () => Volatile.Read(ref islandsRepeated), "Island changes not passed on, since the client had just been told that island.");
        meter.CreateObservableGauge("archipelago_ban_sweep_seconds", () => Volatile.Read(ref sweep), description: "How long the last sweep for bans took.");
        Observe("archipelago_islands_asked_total", () => Volatile.Read(ref islandsAsked), "Questions whether a client was told its island.");
        Observe("archipelago_sessions_superseded_total", () => Volatile.Read(ref superseded), "Sessions ended in favour of a newer one of the same address.");
        Observe("archipelago_websocket_received_bytes_total", () => Volatile.Read(ref bytesReceived), "Bytes of clients' messages.");
        Observe("archipelago_websocket_sent_bytes_total", () => Volatile.Read(ref bytesSent), "Bytes of messages sent to clients.");
    }

    public void ObserveConnections(WaitingRoom room, SocketSet sockets)
    {
        meter.CreateObservableGauge("archipelago_sockets_waiting", () => room.Count, description: "Connections that have not authenticated, requests for anything but a WebSocket included.");
        meter.CreateObservableGauge(
            "archipelago_sockets",
            () => ByStage(sockets),
            description: "WebSockets by stage.");
    }

    public void ObserveTerms(TermFence fence) => Observe("archipelago_stale_messages_total", () => fence.Dropped, "Messages of a Service that no longer led.");

    public void ObserveVerification(DelegationCache? delegations, EthereumNode? node)
    {
        if (delegations is not null)
        {
            Observe("archipelago_delegations_known_total", () => delegations.Hits, "Delegations whose signature was known to be good.");
            Observe("archipelago_delegations_new_total", () => delegations.Misses, "Delegations whose signature was not known.");
        }
        if (node is not null)
            Observe("archipelago_ethereum_questions_total", () => node.Asked, "Questions to the Ethereum node.");
    }

    public void ObserveSignatures(SignatureQueue queue)
    {
        meter.CreateObservableGauge("archipelago_verifying", () => queue.Taken, description: "Clients under verification.");
        meter.CreateObservableGauge("archipelago_signatures_queued", () => queue.Length, description: "Signatures that wait for a thread.");
    }

    public void Handshake(string outcome) => handshakes.Add(1, new KeyValuePair<string, object?>("outcome", outcome));

    public void SignatureRecovered(TimeSpan time) => signatures.Record(time.TotalSeconds);

    public void Refused(LimitKind limit) => Interlocked.Increment(ref refused[(int)limit]);

    public void HeartbeatDropped(DropReason reason) => Interlocked.Increment(ref dropped[(int)reason]);

    /// <summary>Sessions that are in.</summary>
    public int Authenticated => Volatile.Read(ref authenticated);

    public void SessionBegan() => Interlocked.Increment(ref authenticated);

    public void SessionEnded() => Interlocked.Decrement(ref authenticated);

    public void SweptForBans(TimeSpan time) => Volatile.Write(ref sweep, time.TotalSeconds);

    public void HeartbeatReceived() => Interlocked.Increment(ref received);

    public void HeartbeatForwarded() => Interlocked.Increment(ref heartbeats);

    public void IslandChangeSent() => Interlocked.Increment(ref islandChanges);

    public void IslandChangeReplaced() => Interlocked.Increment(ref islandsReplaced);

    public void IslandChangeRepeated() => Interlocked.Increment(ref islandsRepeated);

    public void IslandAsked() => Interlocked.Increment(ref islandsAsked);

    public void Superseded() => Interlocked.Increment(ref superseded);

    public void Received(int bytes) => Interlocked.Add(ref bytesReceived, bytes);

    public void Sent(int bytes) => Interlocked.Add(ref bytesSent, bytes);

    private void Observe(string name, Func<long> value, string description) => meter.CreateObservableCounter(name, value, description: description);

    private static IEnumerable<Measurement<int>> ByStage(SocketSet sockets)
    {
        ILookup<string, WebSocketConnection> stages = sockets.All.ToLookup(s => s.Key.IsClosing ? Session.Closing : s.Value.StageName, s => s.Key);
        // A stage that nobody is in is told, too, or the last that was heard of it would stand.
        return Session.StageNames.Select(stage => new Measurement<int>(stages[stage].Count(), new KeyValuePair<string, object?>("stage", stage)));
    }

    private static IEnumerable<Measurement<long>> Named(string label, string[] names, long[] values) =>
        names.Select((name, i) => new Measurement<long>(Volatile.Read(ref values[i]), new KeyValuePair<string, object?>(label, name)));
}
