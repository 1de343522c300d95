using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Concurrent;
using Archipelago.Core;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Google.Protobuf;

namespace Archipelago.Service.Replication;

/// <summary>The leader's side: tells its standbys what each flush did, before it tells anybody else, and gives each that joins a snapshot. On the flushing thread, unless it says otherwise.</summary>
internal sealed class Replicator(IMessageBus bus, Worlds worlds, Leadership leadership, TimeProvider clock)
{
    /// <summary>A standby that was silent for so long is none.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Room for subject and headers beside a payload.</summary>
    private const int Reserve = 1024;

    private const int MostJoins = 64, FlushesRemembered = 256, LongestNode = 100;

    private readonly ConcurrentQueue<string> joins = new();
    private readonly ConcurrentDictionary<string, Heard> standbys = new(StringComparer.Ordinal);
    private readonly ArrayBufferWriter<byte> frame = new();
    private readonly ArrayBufferWriter<byte> delta = new();
    private readonly ArrayBufferWriter<byte> part = new();
    private readonly long[] flushedAt = new long[FlushesRemembered];
    private long messages;
    private long bytes;
    private long snapshots;
    private long lastFlush;
    private long lastStatus;

    private sealed record Heard(StandbyStatus Status, long At, double LagMs);

    /// <summary>Bytes that were sent to standbys.</summary>
    public long Bytes => Volatile.Read(ref bytes);

    /// <summary>Snapshots that were sent.</summary>
    public long Snapshots => Volatile.Read(ref snapshots);

    /// <summary>Handles <see cref="Subjects.ReplicaJoin"/>. Any thread.</summary>
    public void OnJoin(BusMessage message)
    {
        if (leadership.Role == Role.Leader && joins.Count < MostJoins && Subjects.IsPlainToken(message.Payload, LongestNode))
            joins.Enqueue(Subjects.Text(message.Payload));
    }

    /// <summary>Handles <see cref="Subjects.Standby"/>. Any thread.</summary>
    public void OnStandby(BusMessage message)
    {
        if (!ClientFrames.TryParse(StandbyStatus.Parser, message.Payload, out StandbyStatus? status) || status.Node.Length is 0 or > LongestNode || status.Flush < 0
            || leadership.Role != Role.Leader)
            return;
        long last = Volatile.Read(ref lastFlush), missing = Math.Max(status.Flush + 1, last - FlushesRemembered + 1);
        double lag = status.Term != leadership.Now.Term || missing > last ? 0
            : clock.GetElapsedTime(Volatile.Read(ref flushedAt[missing % FlushesRemembered])).TotalMilliseconds;
        standbys[status.Node] = new Heard(status, clock.GetTimestamp(), lag);
    }

    /// <summary>Who stands by, and how far behind each is. Any thread.</summary>
    public IEnumerable<StandbyStatus> Standbys
    {
        get
        {
            foreach ((string node, Heard heard) in standbys)
            {
                TimeSpan silent = clock.GetElapsedTime(heard.At);
                if (silent > Patience)
                    standbys.TryRemove(node, out _);
                else if (node != leadership.Node)
                    yield return new StandbyStatus(heard.Status) { LagMs = heard.LagMs, SilentMs = silent.TotalMilliseconds };
            }
        }
    }

    /// <summary>The standby that could lead next: one that has everything up to the last flush and was heard of lately; null when there is none.</summary>
    public string? Successor => Standbys.FirstOrDefault(s => s.Ready && s.Term == leadership.Now.Term && s.Flush >= lastFlush && s.SilentMs < LongestSilence.TotalMilliseconds)?.Node;

    /// <summary>True when there is anybody who may become a successor in a moment.</summary>
    public bool HasCandidates => Standbys.Any(s => s.SilentMs < LongestSilence.TotalMilliseconds);

    /// <summary>A standby speaks every second.</summary>
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(2.5);

    /// <summary>Tells standbys what the last flush did. Before its changes are told to anybody: so nobody is told what no standby can know of.</summary>
    /// <param name="isFull">Whether it was one of everybody.</param>
    /// <param name="changes">What it returned.</param>
    /// <param name="told">The flush up to which all changes have been told.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public ValueTask PublishFlushAsync(bool isFull, ReadOnlySpan<IslandChange> changes, long told, CancellationToken cancellationToken)
    {
        IslandWorld world = worlds.Now;
        Volatile.Write(ref lastFlush, world.Engine.FlushCount);
        if (standbys.IsEmpty || leadership.Role != Role.Leader)
            return default;
        Volatile.Write(ref flushedAt[lastFlush % FlushesRemembered], clock.GetTimestamp());
        Begin(ReplicaKind.Flush, lastFlush);
        int comers = 0;
        foreach (ref readonly IslandChange change in changes)
            comers += change.From.IsNone ? 1 : 0;
        Span<byte> head = frame.GetSpan(13);
        BinaryPrimitives.WriteInt64LittleEndian(head, told);
        head[8] = isFull ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt32LittleEndian(head[9..], comers);
        frame.Advance(13);
        foreach (ref readonly IslandChange change in changes)
            if (change.From.IsNone)
                ReplicaComers.Write(frame, change.Peer, world.Peers.Find(change.Peer));
        delta.ResetWrittenCount();
        world.Engine.SaveDelta(delta);
        frame.Write(delta.WrittenSpan);
        return PublishAsync(Subjects.Replica, cancellationToken);
    }

    /// <summary>Tells standbys that all changes up to this flush have been told.</summary>
    public ValueTask PublishToldAsync(long flush, CancellationToken cancellationToken)
    {
        if (standbys.IsEmpty)
            return default;
        Begin(ReplicaKind.Told, flush);
        return PublishAsync(Subjects.Replica, cancellationToken);
    }

    /// <summary>Gives those who have asked a snapshot. Between flushes.</summary>
    public async Task AnswerJoinsAsync(CancellationToken cancellationToken)
    {
        if (joins.IsEmpty)
            return;
        byte[] state = SavedState.Of(worlds.Now).ToBytes();
        var answered = new HashSet<string>(StringComparer.Ordinal);
        while (joins.TryDequeue(out string? node))
        {
            if (!answered.Add(node) || !leadership.MaySpeak)
                continue;
            // From here on it is told of every flush.
            standbys.TryAdd(node, new Heard(new StandbyStatus { Node = node }, clock.GetTimestamp(), 0));
            Begin(ReplicaKind.Snapshot, worlds.Now.Engine.FlushCount);
            frame.Write(state);
            snapshots++;
            await PublishAsync(Subjects.ReplicaOf(node), cancellationToken);
        }
    }

    /// <summary>Says who leads, at once or when a second has passed since it was last said.</summary>
    public ValueTask PublishStatusAsync(bool atOnce, CancellationToken cancellationToken)
    {
        if (leadership.Role != Role.Leader || (!atOnce && clock.GetElapsedTime(lastStatus) < TimeSpan.FromSeconds(1)))
            return default;
        lastStatus = clock.GetTimestamp();
        return bus.PublishAsync(Subjects.Leader, Describe().ToByteArray(), WhenDisconnected.Drop, cancellationToken, leadership.Now.Headers);
    }

    /// <summary>Who leads, and who stands by. Any thread.</summary>
    public LeaderStatus Describe()
    {
        Leadership.Standing now = leadership.Now;
        var status = new LeaderStatus { Term = now.Term, Node = leadership.Node, Since = now.Since.ToUnixTimeMilliseconds(), Cause = now.Cause, Flush = worlds.Now.Engine.FlushCount };
        status.Standbys.AddRange(Standbys);
        return status;
    }

    /// <summary>A new leadership begins: standbys of the last one have to join anew.</summary>
    public void Reset()
    {
        standbys.Clear();
        joins.Clear();
    }

    private void Begin(ReplicaKind kind, long flush)
    {
        frame.ResetWrittenCount();
        new ReplicaHead(kind, leadership.Now.Term, flush).Write(frame);
    }

    private ValueTask PublishAsync(string subject, CancellationToken cancellationToken)
    {
        bytes += frame.WrittenCount;
        return frame.WrittenCount <= bus.MaxPayload - Reserve
            ? bus.PublishAsync(subject, frame.WrittenMemory, WhenDisconnected.Keep, cancellationToken, leadership.Now.Headers)
            : PublishPartsAsync(subject, cancellationToken);
    }

    private async ValueTask PublishPartsAsync(string subject, CancellationToken cancellationToken)
    {
        int size = bus.MaxPayload - Reserve, count = (frame.WrittenCount + size - 1) / size;
        messages++;
        for (int i = 0; i < count; i++)
        {
            part.ResetWrittenCount();
            new ReplicaHead(ReplicaKind.Part, leadership.Now.Term, messages).Write(part);
            PartAssembler.WriteHead(part, i, count);
            part.Write(frame.WrittenSpan[(i * size)..Math.Min(frame.WrittenCount, (i + 1) * size)]);
            await bus.PublishAsync(subject, part.WrittenMemory, WhenDisconnected.Keep, cancellationToken, leadership.Now.Headers);
        }
    }
}
