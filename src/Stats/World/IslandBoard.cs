using System.Text.Json;
using Decentraland.Kernel.Comms.V3;

namespace Archipelago.Stats.World;

/// <summary>An island as the Service reported it.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Json">The id as JSON has it, escaped once.</param>
/// <param name="MaxPeers">The most members that it may have.</param>
/// <param name="CenterX">Mean position in metres.</param>
/// <param name="CenterY">Its height.</param>
/// <param name="CenterZ">Mean position in metres.</param>
/// <param name="Radius">Distance of the farthest member from the centre, in metres.</param>
/// <param name="Members">Who is in it, in the order of the report; one who was not known then stands here as gone.</param>
internal sealed record Island(string Id, JsonEncodedText Json, uint MaxPeers, float CenterX, float CenterY, float CenterZ, double Radius, Peer[] Members);

/// <summary>The islands of the last report. A report replaces the one before as a whole. One thread at a time puts reports in; any thread reads.</summary>
/// <param name="peers">Who is known.</param>
/// <param name="clock">Tells how old parts are.</param>
internal sealed class IslandBoard(PeerTable peers, TimeProvider clock)
{
    private readonly Lock changing = new();
    private volatile Island[] islands = [];
    // Parts of one list come within moments; those left over from long ago may be another Service's.
    private static readonly TimeSpan PartsLifetime = TimeSpan.FromSeconds(10);

    private long partsOf;
    private long partsSince;
    private IslandStatusMessage?[] parts = [];

    /// <summary>The islands of the last report, in its order.</summary>
    public IReadOnlyList<Island> Islands => islands;

    /// <summary>The members of an island that are known here; of those who left and came back, what they are now.</summary>
    public IEnumerable<Peer> MembersOf(Island island)
    {
        foreach (Peer member in island.Members)
            if (!member.IsGone)
                yield return member;
            else if (peers.TryFind(member.Id, out Peer? returned))
                yield return returned;
    }

    /// <summary>Takes a whole report. Islands without a centre are left out.</summary>
    public void Take(IslandStatusMessage report)
    {
        lock (changing)
            islands = [.. report.Data.Where(i => i.Center is not null).Select(Read)];
    }

    /// <summary>Takes a part of a report that was too large for one message. Parts of one flush are put together whole or not at all: when one is lost, the next report replaces what there is.</summary>
    /// <param name="part">Some of the islands.</param>
    /// <param name="flush">The flush that it is of.</param>
    /// <param name="index">Which part.</param>
    /// <param name="count">How many there are.</param>
    /// <returns>True when it was the last that was missing.</returns>
    public bool TakePart(IslandStatusMessage part, long flush, int index, int count)
    {
        lock (changing)
        {
            if (flush != partsOf || parts.Length != count || clock.GetElapsedTime(partsSince) > PartsLifetime)
                (partsOf, partsSince, parts) = (flush, clock.GetTimestamp(), new IslandStatusMessage?[count]);
            parts[index] = part;
            if (Array.Exists(parts, p => p is null))
                return false;
            var whole = new IslandStatusMessage();
            foreach (IslandStatusMessage? one in parts)
                whole.Data.Add(one!.Data);
            parts = [];
            Take(whole);
            return true;
        }
    }

    private Island Read(IslandData data) => new(
        data.Id, JsonEncodedText.Encode(data.Id, Hosting.Json.Encoder), data.MaxPeers, data.Center.X, data.Center.Y, data.Center.Z, data.Radius, [.. data.Peers.Select(Known)]);

    private Peer Known(string address)
    {
        if (peers.TryFind(address, out Peer? peer))
            return peer;
        // Nobody's stay: it holds the place, should the address be heard of before the next report.
        var unknown = new Peer(address, arrival: 0);
        unknown.Leave();
        return unknown;
    }
}
