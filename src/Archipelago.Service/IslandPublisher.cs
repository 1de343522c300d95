using Archipelago.Core;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Service;

/// <summary>Tells the bus what a flush did: each changed peer its island and token, and everybody the list of islands.</summary>
internal sealed class IslandPublisher(IMessageBus bus, PeerDirectory peers, LiveKitTokens tokens, IslandNames names, ServiceOptions options, TimeProvider clock)
{
    /// <summary>
    /// Publishes one <c>island_changed</c> a change, with all members of the island as of the flush, and takes each from the list. A change whose
    /// peer has left, or has been moved on since, is not told.
    /// </summary>
    public async Task PublishChangesAsync(List<IslandChange> changes, IslandSnapshot snapshot, CancellationToken cancellationToken)
    {
        var membersOf = new Dictionary<IslandId, byte[]>();
        changes.Reverse();
        for (; changes.Count > 0; changes.RemoveAt(changes.Count - 1))
        {
            IslandChange change = changes[^1];
            if (peers.Find(change.Peer) is not { } peer || !snapshot.TryFindIsland(change.Peer, out IslandInfo now) || now.Id != change.To)
                continue;
            if (!membersOf.TryGetValue(change.To, out byte[]? members))
                membersOf[change.To] = members = EncodeMembers(snapshot, change.Peer);
            await bus.PublishAsync(Subjects.IslandChanged(peer.Address), EncodeChange(peer.Address, change, members), WhenDisconnected.Keep, cancellationToken);
        }
    }

    /// <summary>Publishes <c>engine.islands</c>.</summary>
    public ValueTask PublishIslandsAsync(IslandSnapshot snapshot, CancellationToken cancellationToken)
    {
        var status = new IslandStatusMessage();
        foreach (IslandInfo island in snapshot.Islands)
        {
            var data = new IslandData
            {
                Id = names.Format(island.Id.Value),
                MaxPeers = (uint)options.Islands.MaxIslandSize,
                Center = new Decentraland.Common.Position { X = (float)island.CenterX, Z = (float)island.CenterZ },
                Radius = island.Radius,
            };
            foreach (IslandMember member in snapshot.MembersOf(island))
                if (peers.Find(member.Peer) is { } peer)
                    data.Peers.Add(peer.Address);
            status.Data.Add(data);
        }
        return bus.PublishAsync(Subjects.Islands, status.ToByteArray(), WhenDisconnected.Drop, cancellationToken);
    }

    private byte[] EncodeChange(string address, IslandChange change, byte[] members)
    {
        string room = names.Format(change.To.Value);
        var message = new IslandChangedMessage { IslandId = room, ConnStr = tokens.Mint(room, address, clock.GetUtcNow()) };
        if (!change.From.IsNone)
            message.FromIslandId = names.Format(change.From.Value);
        return [.. message.ToByteArray(), .. members];
    }

    /// <summary>The <c>peers</c> field alone. Fields may follow one another in any order, so it is encoded once for all who come to the island.</summary>
    private byte[] EncodeMembers(IslandSnapshot snapshot, PeerHandle one)
    {
        var message = new IslandChangedMessage();
        if (snapshot.TryFindIsland(one, out IslandInfo island))
            foreach (IslandMember member in snapshot.MembersOf(island))
                if (peers.Find(member.Peer) is { } peer)
                    message.Peers[peer.Address] = new Decentraland.Common.Position { X = member.Position.X, Y = member.Position.Y, Z = member.Position.Z };
        return message.ToByteArray();
    }
}
