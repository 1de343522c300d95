using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Text;
using Archipelago.Core;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Google.Protobuf;

namespace Archipelago.Service.Replication;

/// <summary>What a standby has when it takes over.</summary>
/// <param name="IsWarm">True when its world is the leader's; false when everybody is placed anew.</param>
/// <param name="Untold">Changes that the leader may have told or not.</param>
/// <param name="Strangers">Who has been heard and is not in that world.</param>
internal sealed record Inheritance(bool IsWarm, IReadOnlyList<IslandChange> Untold, IReadOnlyList<Stranger> Strangers);

/// <summary>Somebody who has been heard and whom the leader has not spoken of yet.</summary>
/// <param name="Address">Who.</param>
/// <param name="Position">Where.</param>
/// <param name="Preferred">In which island it would like to be.</param>
/// <param name="At">When it was heard last.</param>
internal sealed record Stranger(string Address, Position Position, IslandId Preferred, long At);

/// <summary>
/// The standby's side: hears what the leader hears and takes over what the leader's flushes do, so that its world is the leader's, at most one flush behind. What is heard comes from any
/// thread; <see cref="Pump"/> and what follows from it are for the flushing thread. One lock keeps them apart: a standby has time.
/// </summary>
internal sealed partial class Follower(IMessageBus bus, Worlds worlds, Arrivals arrivals, string node, TimeSpan lifetime, TimeProvider clock, ILogger log)
{
    private static readonly TimeSpan AskAgain = TimeSpan.FromSeconds(1);

    /// <summary>Who cannot read what it gets need not ask often.</summary>
    private static readonly TimeSpan AskAgainInVain = TimeSpan.FromSeconds(10);

    /// <summary>Flushes of everybody after which a leader that has heard of the end of a session would have said so.</summary>
    private const int FlushesToEnd = 3;

    /// <summary>Messages that may wait. With more, something is wrong, and a snapshot costs less.</summary>
    private const int MostWaiting = 10_000;

    private readonly Lock gate = new();
    private readonly ConcurrentQueue<(bool IsMine, byte[] Message)> inbox = new();
    private readonly PartAssembler parts = new(), ownParts = new();
    private readonly Dictionary<string, Stranger> strangers = new(StringComparer.Ordinal);
    private readonly List<Peer> ended = [];
    private readonly List<(long Flush, IslandChange Change)> untold = [];
    private readonly List<IslandChange> changes = [];
    private readonly List<PeerHandle> gone = [];
    private readonly IslandWorld fallback = worlds.Now;
    private IslandWorld? world;
    private volatile bool isOver;
    private volatile bool isLevel;
    private volatile string? fault;
    private long term;
    private long announced;
    private long told;
    private long askedAt;
    private bool hasAsked;
    private long saidAt;
    private long reportedFlush = -1;
    private long pruned = clock.GetTimestamp();

    /// <summary>True while it has everything that the leader has told.</summary>
    public bool IsLevel => isLevel && Volatile.Read(ref announced) <= Term;

    /// <summary>Somebody leads in this term. Where that is a later one than was followed, what is here is an earlier leader's world. Any thread.</summary>
    public void OnLeader(long inTerm)
    {
        for (long known = Volatile.Read(ref announced); inTerm > known; known = Volatile.Read(ref announced))
            Interlocked.CompareExchange(ref announced, inTerm, known);
    }

    /// <summary>Why it cannot follow; null when nothing is wrong.</summary>
    public string? Fault => fault;

    /// <summary>The leader's last flush that it has; 0 for none.</summary>
    public long Flush => Volatile.Read(ref world)?.Engine.FlushCount ?? 0;

    /// <summary>The term of the leader that it follows; 0 before one was heard.</summary>
    public long Term => Volatile.Read(ref term);

    /// <summary>When it last heard of a flush of everybody, or, before it has, of the world as it was after one; null before.</summary>
    public long? LastBeat { get; private set; }

    // ---- what everybody hears ----

    /// <summary>Takes a heartbeat. False when it does not follow any more.</summary>
    public bool OnHeartbeat(ReadOnlySpan<byte> address, in Position position, IslandId preferred)
    {
        lock (gate)
        {
            if (isOver)
                return false;
            if (world is null || !world.Peers.TryFind(address, out Peer? peer) || peer.FlushesSinceEnded != Peer.NotEnded)
            {
                string name = Subjects.Text(address);
                strangers[name] = new Stranger(name, position, preferred, clock.GetTimestamp());
                return true;
            }
            peer.LastSeen = clock.GetTimestamp();
            world.Engine.Move(peer.Handle, position);
            if (!preferred.IsNone)
                world.Engine.Prefer(peer.Handle, preferred);
            return true;
        }
    }

    /// <summary>A session of an address has ended, or another begins. What becomes of it the leader says; if the leader can't any more, it begins afresh here. False when it does not follow any more.</summary>
    public bool OnEnd(string address)
    {
        lock (gate)
        {
            if (isOver)
                return false;
            strangers.Remove(address);
            // Until there is a leader's world, its own is the one that it may have to go on with.
            if (world is null)
                fallback.Peers.Remove(address);
            else if (world.Peers.TryFind(Encoding.UTF8.GetBytes(address), out Peer? peer) && peer.FlushesSinceEnded == Peer.NotEnded)
            {
                peer.FlushesSinceEnded = 0;
                ended.Add(peer);
            }
            return true;
        }
    }

    /// <summary>The session that an address has; null when it is not known.</summary>
    public SessionStamp? SessionOf(ReadOnlySpan<byte> address)
    {
        lock (gate)
            return (world ?? fallback).Peers.TryFind(address, out Peer? peer) ? peer.Session : null;
    }

    // ---- what the leader tells ----

    /// <summary>Handles <see cref="Subjects.Replica"/>. Any thread.</summary>
    public void OnReplica(BusMessage message) => Enqueue(message, isMine: false);

    /// <summary>Handles <see cref="Subjects.ReplicaOf"/>. Any thread.</summary>
    public void OnSnapshot(BusMessage message) => Enqueue(message, isMine: true);

    private void Enqueue(BusMessage message, bool isMine)
    {
        // What does not fit is a gap, which is seen as one.
        if (inbox.Count < MostWaiting)
            inbox.Enqueue((isMine, message.Payload.ToArray()));
    }

    /// <summary>Takes what the leader has told since the last time, asks for a snapshot where something is missing, and says how far it is.</summary>
    public async Task PumpAsync(CancellationToken cancellationToken)
    {
        Pump();
        if (!IsLevel && (!hasAsked || clock.GetElapsedTime(askedAt) >= (fault is null ? AskAgain : AskAgainInVain)))
        {
            (askedAt, hasAsked) = (clock.GetTimestamp(), true);
            await bus.PublishAsync(Subjects.ReplicaJoin, Encoding.UTF8.GetBytes(node), WhenDisconnected.Drop, cancellationToken);
        }
        if (Flush == reportedFlush && clock.GetElapsedTime(saidAt) < AskAgain)
            return;
        (saidAt, reportedFlush) = (clock.GetTimestamp(), Flush);
        await bus.PublishAsync(Subjects.Standby, Describe().ToByteArray(), WhenDisconnected.Drop, cancellationToken);
        Prune();
    }

    /// <summary>Says that it cannot lead any more: it ends.</summary>
    public ValueTask LeaveAsync(CancellationToken cancellationToken)
    {
        isLevel = false;
        return bus.PublishAsync(Subjects.Standby, Describe().ToByteArray(), WhenDisconnected.Drop, cancellationToken);
    }

    public StandbyStatus Describe() => new() { Node = node, Ready = IsLevel, Flush = Flush, Term = Term };

    /// <summary>Takes what the leader has told since the last time.</summary>
    public void Pump()
    {
        if (Volatile.Read(ref announced) > term)
            BeginTerm(announced);
        while (inbox.TryDequeue(out (bool IsMine, byte[] Message) next))
        {
            try
            {
                Take(next.Message, next.IsMine ? ownParts : parts);
            }
            catch (FormatException e)
            {
                isLevel = false;
                if (fault != e.Message)
                    LogFault(log, e.Message);
                fault = e.Message;
            }
        }
    }

    /// <summary>Ends following.</summary>
    /// <param name="settle">Called with what is inherited while nothing is heard.</param>
    public Inheritance TakeOver(Action<IslandWorld> settle)
    {
        Pump();
        lock (gate)
        {
            isOver = true;
            bool isWarm = world is not null && TryLead(world);
            settle(isWarm ? world! : fallback);
            return new Inheritance(isWarm, isWarm ? [.. untold.Select(u => u.Change)] : [], [.. strangers.Values.Where(s => clock.GetElapsedTime(s.At) < lifetime)]);
        }
    }

    private bool TryLead(IslandWorld followed)
    {
        try
        {
            followed.Engine.Lead();
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            LogCannotLead(log, e);
            return false;
        }
        foreach (Peer peer in ended)
            followed.Peers.Remove(peer);
        foreach (Peer peer in followed.Peers.All)
            followed.Silence.Watch(peer);
        return true;
    }

    private void Take(ReadOnlySpan<byte> message, PartAssembler assembler)
    {
        ReplicaHead head = ReplicaHead.Read(ref message);
        if (head.Term < term || head.Term <= 0)
            return;
        if (head.Kind == ReplicaKind.Part)
        {
            if (assembler.Take(head, message) is { } whole)
                Take(whole, assembler);
            return;
        }
        if (head.Term > term)
            BeginTerm(head.Term);
        switch (head.Kind)
        {
            case ReplicaKind.Flush when isLevel:
                TakeFlush(head, message);
                break;
            case ReplicaKind.Told:
                Told(head.Flush);
                break;
            case ReplicaKind.Snapshot when !isLevel:
                TakeSnapshot(message);
                break;
        }
    }

    /// <summary>What another leader has made of the world has to be told from the beginning.</summary>
    private void BeginTerm(long of)
    {
        (isLevel, hasAsked, told) = (false, false, 0);
        Volatile.Write(ref term, of);
    }

    private void TakeFlush(in ReplicaHead head, ReadOnlySpan<byte> message)
    {
        if (head.Flush <= Flush)
            return;
        if (message.Length < 13)
            throw new FormatException("The leader's message is cut short.");
        long toldUpTo = BinaryPrimitives.ReadInt64LittleEndian(message);
        bool isFull = message[8] != 0;
        int count = BinaryPrimitives.ReadInt32LittleEndian(message[9..]);
        message = message[13..];
        var comers = new List<SavedPeer>();
        for (; count > 0; count--)
            comers.Add(ReplicaComers.Read(ref message));
        lock (gate)
        {
            changes.Clear();
            gone.Clear();
            if (!world!.Engine.TryApplyDelta(message, changes, gone))
            {
                // One was missed. What is here stays, for want of better, until a snapshot comes.
                isLevel = false;
                hasAsked = false;
                return;
            }
            foreach (PeerHandle handle in gone)
                world.Peers.Forget(handle);
            foreach (SavedPeer comer in comers)
                Enter(comer);
            foreach (IslandChange change in changes)
                untold.Add((head.Flush, change));
            ForgetEnded(isFull);
            if (isFull)
                LastBeat = clock.GetTimestamp();
        }
        Told(toldUpTo);
    }

    private void Enter(in SavedPeer comer)
    {
        // Who came anew while a flush began may be told of before its departure is.
        if (world!.Peers.TryFind(Encoding.UTF8.GetBytes(comer.Address), out Peer? earlier) && earlier.Handle != comer.Handle)
            world.Peers.Forget(earlier.Handle);
        if (comer.Address.Length == 0 || !world.Peers.TryRestore(comer, clock.GetTimestamp(), out Peer? peer))
            return;
        if (arrivals.Take(comer.Address) is { } arrival)
        {
            peer.FirstSubject = arrival.Key is { } key ? Subjects.IslandChanged(comer.Address, key) : null;
            if (arrival.Stamp is not null)
                peer.Belong(arrival);
        }
        Recognize(peer);
    }

    /// <summary>Whoever was a stranger is where it was heard last.</summary>
    private void Recognize(Peer peer)
    {
        if (!strangers.Remove(peer.Address, out Stranger? heard))
            return;
        peer.LastSeen = heard.At;
        world!.Engine.Move(peer.Handle, heard.Position);
        if (!heard.Preferred.IsNone)
            world.Engine.Prefer(peer.Handle, heard.Preferred);
    }

    /// <summary>Whose end the leader has taken note of is gone; of whom it has not said so for long, it knows better.</summary>
    private void ForgetEnded(bool isFull)
    {
        for (int i = ended.Count - 1; i >= 0; i--)
        {
            Peer peer = ended[i];
            bool isThere = world!.Engine.Contains(peer.Handle);
            if (isThere && (!isFull || ++peer.FlushesSinceEnded < FlushesToEnd))
                continue;
            ended.RemoveAt(i);
            if (!isThere)
                continue;
            peer.FlushesSinceEnded = Peer.NotEnded;
            Recognize(peer);
        }
    }

    private void Told(long flush)
    {
        told = Math.Max(told, flush);
        foreach ((long at, IslandChange change) in untold)
            if (at <= told && world?.Peers.Find(change.Peer) is { } peer)
                peer.FirstSubject = null;
        untold.RemoveAll(u => u.Flush <= told);
    }

    private void TakeSnapshot(ReadOnlySpan<byte> message)
    {
        SavedState state = SavedState.Read(message.ToArray());
        IslandWorld next = IslandWorld.Of(IslandEngine.Follow(state.Engine), new IslandNames(state.IdPrefix), clock);
        long now = clock.GetTimestamp();
        foreach (SavedPeer saved in state.Peers)
            next.Peers.TryRestore(saved, now, out _);
        lock (gate)
        {
            next.Engine.Options = worlds.Now.Engine.Options;
            IslandWorld? before = world;
            Volatile.Write(ref world, next);
            foreach (Peer peer in next.Peers.All)
                CarryOver(before, peer);
            ended.Clear();
            untold.Clear();
            worlds.Now = next;
            (isLevel, fault) = (true, null);
            LastBeat ??= now;
        }
        LogCaughtUp(log, state.Peers.Count, term);
    }

    /// <summary>What was heard of somebody since the leader last heard of it counts.</summary>
    private void CarryOver(IslandWorld? before, Peer peer)
    {
        if (before is not null && before.Peers.TryFind(peer.AddressBytes, out Peer? known) && known.Handle == peer.Handle)
            peer.LastSeen = known.LastSeen;
        Recognize(peer);
    }

    private void Prune()
    {
        if (clock.GetElapsedTime(pruned) < lifetime)
            return;
        pruned = clock.GetTimestamp();
        lock (gate)
            foreach ((string address, Stranger stranger) in strangers)
                if (clock.GetElapsedTime(stranger.At) >= lifetime)
                    strangers.Remove(address);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "This standby cannot follow the leader: {Fault} It asks for a snapshot again every ten seconds; until it gets one that it can read, everybody would be placed anew if it had to take over.")]
    private static partial void LogFault(ILogger log, string fault);

    [LoggerMessage(Level = LogLevel.Error, Message = "What was heard of the leader cannot be gone on with; everybody is placed anew.")]
    private static partial void LogCannotLead(ILogger log, Exception e);

    [LoggerMessage(Level = LogLevel.Information, Message = "This standby is level with the leader of term {Term}: {Peers} peers.")]
    private static partial void LogCaughtUp(ILogger log, int peers, long term);
}
