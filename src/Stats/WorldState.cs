using System.Runtime.InteropServices;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;

namespace Archipelago.Stats;

/// <summary>A peer as Stats knows it.</summary>
/// <param name="Id">Its address.</param>
/// <param name="Arrival">Its place in the order of first heartbeats.</param>
/// <param name="LastPing">When its last heartbeat came, in Unix milliseconds.</param>
/// <param name="X">Position in metres.</param>
/// <param name="Y">Height in metres.</param>
/// <param name="Z">Position in metres.</param>
internal sealed record PeerState(string Id, long Arrival, long LastPing, float X, float Y, float Z)
{
    private const double ParcelSize = 16;

    /// <summary>The parcel the peer stands on; its second number comes from z.</summary>
    public (double X, double Y) Parcel => (Math.Floor(X / ParcelSize), Math.Floor(Z / ParcelSize));
}

/// <summary>An island as the Service reported it.</summary>
internal sealed record IslandState(string Id, uint MaxPeers, float CenterX, float CenterY, float CenterZ, double Radius, IReadOnlyList<string> Peers);

/// <summary>
/// What the bus has told: who is where, the islands of the last report, and whether the Service lives. Written by bus threads and read by requests.
/// </summary>
internal sealed partial class WorldState(TimeProvider clock, LogThrottle throttle, ILogger<WorldState> log)
{
    private static readonly TimeSpan CoreFreshness = TimeSpan.FromSeconds(90);

    private readonly Lock changing = new();
    private readonly Dictionary<string, PeerState> peers = new(StringComparer.Ordinal);
    private volatile IReadOnlyList<IslandState> islands = [];
    private volatile ServiceStatus? core;
    private long arrivals;
    private long partsOf;
    private IslandStatusMessage?[] parts = [];

    /// <summary>All peers in the order of their first heartbeats.</summary>
    public List<PeerState> Peers()
    {
        List<PeerState> all;
        lock (changing)
            all = [.. peers.Values];
        all.Sort(static (a, b) => a.Arrival.CompareTo(b.Arrival));
        return all;
    }

    /// <summary>The islands of the last report, in its order.</summary>
    public IReadOnlyList<IslandState> Islands => islands;

    /// <summary>Peers that the Service last said it knows; 0 before it said anything.</summary>
    public uint CoreUserCount => core?.UserCount ?? 0;

    /// <summary>True when the Service gave a sign of life within 90 seconds, its clock against ours.</summary>
    public bool IsCoreHealthy =>
        core is { } status && clock.GetUtcNow().ToUnixTimeMilliseconds() - (double)status.CurrentTime < CoreFreshness.TotalMilliseconds;

    public PeerState? Find(string id)
    {
        lock (changing)
            return peers.GetValueOrDefault(id);
    }

    public void OnHeartbeat(BusMessage message)
    {
        if (!Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> token) || !ClientFrames.TryDecodeHeartbeat(message.Payload, out Heartbeat? heartbeat))
        {
            Warn("heartbeat");
            return;
        }
        if (heartbeat.Position is { } position)
            Set(Subjects.Text(token), position, clock.GetUtcNow().ToUnixTimeMilliseconds());
    }

    public void OnDisconnect(BusMessage message)
    {
        if (!Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> token))
            return;
        lock (changing)
            peers.Remove(Subjects.Text(token));
    }

    public void OnIslands(BusMessage message)
    {
        if (!ClientFrames.TryParse(IslandStatusMessage.Parser, message.Payload, out IslandStatusMessage? report))
        {
            Warn("islands report");
            return;
        }
        Take(report);
    }

    /// <summary>
    /// Handles a part of a list that was too large for one message. The parts of one flush are put together whole or not at all: when one is lost, the next
    /// list replaces what there is.
    /// </summary>
    public void OnIslandsPart(BusMessage message)
    {
        if (!Subjects.TryGetIslandsPart(message.Subject, out long flush, out int index, out int count)
            || !ClientFrames.TryParse(IslandStatusMessage.Parser, message.Payload, out IslandStatusMessage? part))
        {
            Warn("part of an islands report");
            return;
        }
        lock (changing)
        {
            if (flush != partsOf || parts.Length != count)
                (partsOf, parts) = (flush, new IslandStatusMessage?[count]);
            parts[index] = part;
            if (Array.Exists(parts, p => p is null))
                return;
            var whole = new IslandStatusMessage();
            foreach (IslandStatusMessage? one in parts)
                whole.Data.Add(one!.Data);
            parts = [];
            Take(whole);
        }
    }

    private void Take(IslandStatusMessage report)
    {
        islands = [.. report.Data.Where(i => i.Center is not null).Select(i =>
            new IslandState(i.Id, i.MaxPeers, i.Center.X, i.Center.Y, i.Center.Z, i.Radius, [.. i.Peers]))];
    }

    public void OnDiscovery(BusMessage message)
    {
        if (!ClientFrames.TryParse(ServiceDiscoveryMessage.Parser, message.Payload, out ServiceDiscoveryMessage? discovery))
        {
            Warn("discovery");
            return;
        }
        core = discovery.Status;
    }

    private void Set(string id, Position position, long now)
    {
        lock (changing)
        {
            ref PeerState? peer = ref CollectionsMarshal.GetValueRefOrAddDefault(peers, id, out bool known);
            peer = new PeerState(id, known ? peer!.Arrival : ++arrivals, now, position.X, position.Y, position.Z);
        }
    }

    private void Warn(string what)
    {
        if (throttle.ShouldLog(what, out long suppressed))
            LogUndecodable(log, what, suppressed);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Dropped a {What} that could not be decoded. {Suppressed} more like this were not logged.")]
    private static partial void LogUndecodable(ILogger log, string what, long suppressed);
}
