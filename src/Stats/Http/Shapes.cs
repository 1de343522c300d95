using System.ComponentModel;

namespace Archipelago.Stats.Http;

// The shapes of the answers, for their description alone: what is sent is written without making objects. Tests hold the one against the other.

internal sealed record PeersShape(bool Ok, IReadOnlyList<PeerShape> Peers);

internal sealed record OnePeerShape(bool Ok, PeerShape? Peer);

internal sealed record PeerShape(
    [property: Description("The Ethereum address.")] string Id,
    [property: Description("The same.")] string Address,
    [property: Description("When its last heartbeat came, in Unix milliseconds.")] long LastPing,
    [property: Description("The parcel of 16 m on which it stands: x, and what comes from z.")] IReadOnlyList<double?> Parcel,
    [property: Description("Metres: x, height, z. Floats of 32 bits, widened; null where one is no number.")] IReadOnlyList<double?> Position);

internal sealed record IslandsShape(bool Ok, IReadOnlyList<IslandShape> Islands);

internal sealed record IslandShape(
    [property: Description("The island, which is also the name of its LiveKit room.")] string Id,
    [property: Description("The most members that it may have.")] int MaxPeers,
    [property: Description("The mean place of its members as of the last flush, in metres: x, height, z.")] IReadOnlyList<double?> Center,
    [property: Description("The distance of the farthest member from the centre, in metres.")] double? Radius,
    [property: Description("Its members, as far as they are known here.")] IReadOnlyList<PeerShape> Peers);

internal sealed record ParcelsShape(IReadOnlyList<ParcelShape> Parcels);

internal sealed record ParcelShape(int PeersCount, ParcelPlaceShape Parcel);

internal sealed record ParcelPlaceShape(double? X, double? Y);

internal sealed record CoreStatusShape(
    [property: Description("True when the Service gave a sign of life within 90 seconds.")] bool Healthy,
    [property: Description("Peers that it last said it knows.")] uint UserCount);

internal sealed record HotSceneShape(
    string Id,
    IReadOnlyList<int> BaseCoords,
    [property: Description("People on its parcels.")] long UsersTotalCount,
    IReadOnlyList<IReadOnlyList<int>> Parcels)
{
    public string? Name { get; init; }

    public string? Thumbnail { get; init; }

    public string? Creator { get; init; }

    public string? ProjectId { get; init; }

    public string? Description { get; init; }
}
