using System.Buffers;
using Archipelago.Core;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Service;

/// <summary>Tells the bus what a flush did: each changed peer its island and token, and everybody the list of islands.</summary>
internal sealed class IslandPublisher(IMessageBus bus, IslandEngine engine, PeerDirectory peers, LiveKitTokens tokens, IslandNames names, ServiceOptions options, TimeProvider clock)
{
    private readonly ArrayBufferWriter<byte> members = new();
    private readonly ArrayBufferWriter<byte> connection = new();
    private readonly ArrayBufferWriter<byte> message = new();
    private readonly Dictionary<IslandId, Range> membersOf = [];
    private readonly byte[] room = new byte[names.MaxLength];
    private readonly byte[] cameFrom = new byte[names.MaxLength];

    /// <summary>
    /// Publishes one <c>island_changed</c> a change, with all members of the island as of the flush, and takes each from the list. A change whose
    /// peer has left, or has been moved on since, is not told. On the flushing thread, before the next flush; one call at a time.
    /// </summary>
    public async Task PublishChangesAsync(List<IslandChange> changes, CancellationToken cancellationToken)
    {
        members.ResetWrittenCount();
        membersOf.Clear();
        int told = 0;
        try
        {
            for (; told < changes.Count; told++)
                if (peers.Find(changes[told].Peer) is { } peer && TryEncode(peer, changes[told]))
                    await bus.PublishAsync(peer.ChangeSubject, message.WrittenMemory, WhenDisconnected.Keep, cancellationToken);
        }
        finally
        {
            changes.RemoveRange(0, told);
        }
    }

    /// <summary>Tells the bus that these peers have left, as their Connector would have; Stats then knows it, too.</summary>
    public async Task PublishDeparturesAsync(List<Peer> departed, CancellationToken cancellationToken)
    {
        foreach (Peer peer in departed)
            await bus.PublishAsync(Subjects.Disconnect(peer.Address), default, WhenDisconnected.Keep, cancellationToken);
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

    /// <summary>Puts the whole message together; false when the peer is not in that island any more.</summary>
    private bool TryEncode(Peer peer, in IslandChange change)
    {
        IslandMembers now = engine.MembersOf(change.Peer);
        if (now.Island != change.To)
            return false;
        if (!membersOf.TryGetValue(change.To, out Range range))
            membersOf[change.To] = range = EncodeMembers(now);
        ReadOnlySpan<byte> id = room.AsSpan(0, names.Format(change.To.Value, room));
        ReadOnlySpan<byte> from = change.From.IsNone ? default : cameFrom.AsSpan(0, names.Format(change.From.Value, cameFrom));
        connection.ResetWrittenCount();
        tokens.Write(connection, id, peer.AddressBytes, clock.GetUtcNow());
        message.ResetWrittenCount();
        IslandChangeWriter.WriteChange(message, id, connection.WrittenSpan, from);
        message.Write(members.WrittenSpan[range]);
        return true;
    }

    /// <summary>The <c>peers</c> field alone, once a flush for all who come to the island.</summary>
    private Range EncodeMembers(IslandMembers island)
    {
        int start = members.WrittenCount;
        foreach (IslandMember member in island)
            if (peers.Find(member.Peer) is { } peer)
                IslandChangeWriter.WritePeer(members, peer.AddressBytes, member.Position.X, member.Position.Y, member.Position.Z);
        return start..members.WrittenCount;
    }
}
