using System.Buffers;
using Archipelago.Core;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Google.Protobuf;

namespace Archipelago.Service;

/// <summary>Tells the bus what a flush did: each changed peer its island and token, and everybody the list of islands.</summary>
internal sealed partial class IslandPublisher(
    IMessageBus bus, Worlds worlds, Leadership leadership, LiveKitTokens tokens, ServiceOptions options, TimeProvider clock, LogThrottle throttle, ILogger<IslandPublisher> log)
{
    private readonly ArrayBufferWriter<byte> members = new();
    private readonly ArrayBufferWriter<byte> connection = new();
    private readonly ArrayBufferWriter<byte> message = new();
    private readonly Dictionary<IslandId, Range> membersOf = [];
    private readonly ArrayBufferWriter<byte> status = new();
    private readonly ArrayBufferWriter<byte> reported = new();
    private readonly ArrayBufferWriter<byte> islandMembers = new();
    private readonly List<Range> parts = [];
    private byte[] room = [];
    private byte[] cameFrom = [];

    /// <summary>
    /// Publishes one <c>island_changed</c> a change, with all members of the island as of the flush, and takes each from the list. A change whose
    /// peer has left, or has been moved on since, is not told. On the flushing thread, before the next flush; one call at a time.
    /// </summary>
    public async Task PublishChangesAsync(List<IslandChange> changes, CancellationToken cancellationToken)
    {
        members.ResetWrittenCount();
        membersOf.Clear();
        int told = 0;
        IslandWorld world = worlds.Now;
        MakeRoom(world.Names);
        try
        {
            // Who may not speak any more keeps the rest.
            for (; told < changes.Count && leadership.MaySpeak; told++)
            {
                if (world.Peers.Find(changes[told].Peer) is not { } peer || !TryEncode(world, peer, changes[told]))
                    continue;
                await bus.PublishAsync(peer.FirstSubject ?? peer.ChangeSubject, message.WrittenMemory, WhenDisconnected.Keep, cancellationToken, leadership.Now.Headers);
                peer.FirstSubject = null;
            }
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
            if (leadership.MaySpeak)
                await bus.PublishAsync(Subjects.Disconnect(peer.Address), default, WhenDisconnected.Keep, cancellationToken, leadership.Now.Headers);
    }

    /// <summary>
    /// Publishes <c>engine.islands</c>, or, where the bus does not carry so much in one message, its parts on a subject of our own: who knows
    /// <c>engine.islands</c> alone would take a part for the whole.
    /// </summary>
    public async Task PublishIslandsAsync(IslandSnapshot snapshot, CancellationToken cancellationToken)
    {
        if (!leadership.MaySpeak)
            return;
        MakeRoom(worlds.Now.Names);
        EncodeIslands(worlds.Now, snapshot, bus.MaxPayload - leadership.Now.Headers.Length);
        if (parts.Count == 1)
        {
            await bus.PublishAsync(Subjects.Islands, status.WrittenMemory, WhenDisconnected.Drop, cancellationToken, leadership.Now.Headers);
            return;
        }
        IslandsInParts++;
        if (throttle.ShouldLog(Subjects.Islands, out _))
            LogInParts(log, status.WrittenCount, bus.MaxPayload, parts.Count);
        for (int i = 0; i < parts.Count; i++)
            await bus.PublishAsync(Subjects.IslandsPart(snapshot.Flush, i, parts.Count), status.WrittenMemory[parts[i]], WhenDisconnected.Drop, cancellationToken, leadership.Now.Headers);
    }

    /// <summary>Tells on a subject of ours what the flushes did.</summary>
    public ValueTask PublishReportAsync(FlushReport report, CancellationToken cancellationToken)
    {
        reported.ResetWrittenCount();
        report.WriteTo(reported);
        return leadership.MaySpeak ? bus.PublishAsync(Subjects.FlushReport, reported.WrittenMemory, WhenDisconnected.Drop, cancellationToken, leadership.Now.Headers) : default;
    }

    private void MakeRoom(IslandNames names)
    {
        if (room.Length < names.MaxLength)
            (room, cameFrom) = (new byte[names.MaxLength], new byte[names.MaxLength]);
    }

    /// <summary>Tokens that were made.</summary>
    public long Tokens { get; private set; }

    /// <summary>Lists of islands that went out in parts.</summary>
    public long IslandsInParts { get; private set; }

    /// <summary>Writes all islands one behind the other, and cuts them into parts of at most so many bytes.</summary>
    private void EncodeIslands(IslandWorld world, IslandSnapshot snapshot, int limit)
    {
        status.ResetWrittenCount();
        parts.Clear();
        int partStart = 0;
        foreach (ref readonly IslandInfo island in snapshot.Islands)
        {
            int before = status.WrittenCount;
            islandMembers.ResetWrittenCount();
            foreach (ref readonly IslandMember member in snapshot.MembersOf(island))
                if (world.Peers.Find(member.Peer) is { } peer)
                    IslandStatusWriter.WriteMember(islandMembers, peer.AddressBytes);
            ReadOnlySpan<byte> id = room.AsSpan(0, world.Names.Format(island.Id.Value, room));
            IslandStatusWriter.WriteIsland(status, id, islandMembers.WrittenSpan, (uint)options.Islands.MaxIslandSize, (float)island.CenterX, (float)island.CenterZ, island.Radius);
            if (status.WrittenCount - partStart <= limit || before == partStart)
                continue;
            parts.Add(partStart..before);
            partStart = before;
        }
        parts.Add(partStart..status.WrittenCount);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The list of islands has {Bytes} bytes and the bus carries {Limit} in one message, so it goes out in {Parts} parts, which only our Stats understands. Raise max_payload of the NATS server.")]
    private static partial void LogInParts(ILogger log, int bytes, int limit, int parts);

    /// <summary>Puts the whole message together; false when the peer is not in that island any more.</summary>
    private bool TryEncode(IslandWorld world, Peer peer, in IslandChange change)
    {
        IslandMembers now = world.Engine.MembersOf(change.Peer);
        if (now.Island != change.To)
            return false;
        if (!membersOf.TryGetValue(change.To, out Range range))
            membersOf[change.To] = range = EncodeMembers(world, now);
        ReadOnlySpan<byte> id = room.AsSpan(0, world.Names.Format(change.To.Value, room));
        ReadOnlySpan<byte> from = change.From.IsNone ? default : cameFrom.AsSpan(0, world.Names.Format(change.From.Value, cameFrom));
        connection.ResetWrittenCount();
        Tokens++;
        tokens.Write(connection, id, peer.AddressBytes, clock.GetUtcNow());
        message.ResetWrittenCount();
        IslandChangeWriter.WriteChange(message, id, connection.WrittenSpan, from);
        message.Write(members.WrittenSpan[range]);
        return true;
    }

    /// <summary>The <c>peers</c> field alone, once a flush for all who come to the island.</summary>
    private Range EncodeMembers(IslandWorld world, IslandMembers island)
    {
        int start = members.WrittenCount;
        foreach (IslandMember member in island)
            if (world.Peers.Find(member.Peer) is { } peer)
                IslandChangeWriter.WritePeer(members, peer.AddressBytes, member.Position.X, member.Position.Y, member.Position.Z);
        return start..members.WrittenCount;
    }
}
