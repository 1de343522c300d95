using System.Diagnostics.Metrics;

namespace Archipelago.Connector;

/// <summary>What the sessions of one Connector count.</summary>
internal sealed class SessionMetrics
{
    private readonly Counter<long> handshakes;
    private long heartbeats;
    private long heartbeatsDropped;
    private long islandChanges;
    private long islandsAsked;
    private int waiting;

    public SessionMetrics(IMeterFactory meters, SessionRegistry registry)
    {
        Meter meter = meters.Create("archipelago.connector");
        handshakes = meter.CreateCounter<long>("archipelago_handshakes_total", description: "Handshakes by outcome.");
        meter.CreateObservableGauge("archipelago_sessions", () => registry.Count, description: "Authenticated sessions.");
        meter.CreateObservableGauge("archipelago_sockets_waiting", () => Volatile.Read(ref waiting), description: "Sockets that have not authenticated.");
        meter.CreateObservableCounter("archipelago_heartbeats_forwarded_total", () => Volatile.Read(ref heartbeats), description: "Heartbeats published on the bus.");
        meter.CreateObservableCounter("archipelago_heartbeats_dropped_total", () => Volatile.Read(ref heartbeatsDropped), description: "Heartbeats whose position was not finite.");
        meter.CreateObservableCounter("archipelago_islands_asked_total", () => Volatile.Read(ref islandsAsked), description: "Questions whether a client was told its island.");
        meter.CreateObservableCounter("archipelago_island_changes_total", () => Volatile.Read(ref islandChanges), description: "Island changes sent to clients.");
    }

    public void IslandAsked() => Interlocked.Increment(ref islandsAsked);

    public void Opened() => Interlocked.Increment(ref waiting);

    public void NoLongerWaiting() => Interlocked.Decrement(ref waiting);

    public void Handshake(string outcome) => handshakes.Add(1, new KeyValuePair<string, object?>("outcome", outcome));

    public void HeartbeatForwarded() => Interlocked.Increment(ref heartbeats);

    public void HeartbeatDropped() => Interlocked.Increment(ref heartbeatsDropped);

    public void IslandChangeSent() => Interlocked.Increment(ref islandChanges);
}
