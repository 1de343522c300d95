using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Archipelago.Core;
using Archipelago.Protocol;

namespace Archipelago.Service;

/// <summary>A peer of the engine as the Service knows it.</summary>
/// <param name="address">Its address.</param>
/// <param name="handle">Its name in the engine.</param>
/// <param name="addedAt">How many flushes had begun when it was added.</param>
internal sealed class Peer(string address, PeerHandle handle, long addedAt)
{
    /// <summary>When its last heartbeat came, as a timestamp of the clock; written by whichever thread takes the heartbeat.</summary>
    public long LastSeen;

    public string Address => address;

    /// <summary>The address in UTF-8.</summary>
    public byte[] AddressBytes { get; } = System.Text.Encoding.UTF8.GetBytes(address);

    /// <summary>Where its island changes go.</summary>
    public string ChangeSubject { get; } = Subjects.IslandChanged(address);

    /// <summary>Where its first island goes, and only that: to the session that was announced; null once it was told, or when none was.</summary>
    public string? FirstSubject { get; set; }

    /// <summary>The session that it has; null when nobody said.</summary>
    public SessionStamp? Session => Volatile.Read(ref arrival)?.Stamp;

    private Arrival? arrival;

    /// <summary>Notes the session that it has.</summary>
    public void Belong(Arrival? to) => Volatile.Write(ref arrival, to);

    /// <summary>At a standby: it was heard that its session has ended, or another has begun, and the leader has not yet said what becomes of it. Touched under the follower's lock.</summary>
    public int FlushesSinceEnded { get; set; } = NotEnded;

    /// <summary>No end was heard.</summary>
    public const int NotEnded = -1;

    public PeerHandle Handle => handle;

    public long AddedAt => addedAt;
}

/// <summary>
/// From an address to its peer and from the engine's handle to the address. Finding a known address takes no lock and allocates nothing; adding
/// and removing lock out one another, so that an address never has two peers.
/// </summary>
/// <param name="engine">Where the peers live.</param>
internal sealed class PeerDirectory(IslandEngine engine)
{
    private readonly ConcurrentDictionary<string, Peer> byAddress = new(new AddressComparer());
    private readonly Lock changing = new();
    private Peer?[] bySlot = new Peer?[64];

    public int Count => byAddress.Count;

    public bool TryFind(ReadOnlySpan<byte> address, [NotNullWhen(true)] out Peer? peer) =>
        byAddress.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(address, out peer);

    /// <summary>True while this peer is the one of its address.</summary>
    public bool Knows(Peer peer) => byAddress.TryGetValue(peer.Address, out Peer? known) && known == peer;

    /// <summary>Adds a peer, or gives back the one that the address has by now.</summary>
    public Peer Add(string address, Arrival? arrival, in Position position, IslandId preferred, long flushes, long now, out bool isNew)
    {
        lock (changing)
        {
            isNew = !byAddress.TryGetValue(address, out Peer? known);
            if (!isNew)
                return known!;
            PeerHandle handle = engine.Add(position, preferred);
            var peer = new Peer(address, handle, flushes)
            {
                LastSeen = now,
                FirstSubject = arrival?.Key is { } key ? Subjects.IslandChanged(address, key) : null,
            };
            peer.Belong(arrival?.Stamp is null ? null : arrival);
            Enter(peer);
            return peer;
        }
    }

    /// <summary>Takes in a peer that a saved engine knows; false when the address is there twice.</summary>
    public bool TryRestore(in SavedPeer saved, long now, [NotNullWhen(true)] out Peer? peer)
    {
        lock (changing)
        {
            peer = null;
            if (byAddress.ContainsKey(saved.Address) || !engine.Contains(saved.Handle))
                return false;
            peer = new Peer(saved.Address, saved.Handle, addedAt: -1) { LastSeen = now };
            if (saved.Session is { } session)
                peer.Belong(new Arrival(null, session, now));
            Enter(peer);
            return true;
        }
    }

    /// <summary>All peers as of now.</summary>
    public IReadOnlyList<SavedPeer> ToList() => [.. byAddress.Select(p => new SavedPeer(p.Key, p.Value.Handle, p.Value.Session))];

    /// <summary>All peers as of now.</summary>
    public IEnumerable<Peer> All => byAddress.Select(p => p.Value);

    /// <summary>Forgets one whom the engine does not have any more.</summary>
    public void Forget(PeerHandle handle)
    {
        lock (changing)
        {
            if (handle.Slot >= bySlot.Length || bySlot[handle.Slot] is not { } peer || peer.Handle != handle)
                return;
            bySlot[handle.Slot] = null;
            byAddress.TryRemove(new KeyValuePair<string, Peer>(peer.Address, peer));
        }
    }

    private void Enter(Peer peer)
    {
        if (peer.Handle.Slot >= bySlot.Length)
            Array.Resize(ref bySlot, Math.Max(peer.Handle.Slot + 1, bySlot.Length * 2));
        bySlot[peer.Handle.Slot] = peer;
        byAddress[peer.Address] = peer;
    }

    public bool Remove(string address)
    {
        lock (changing)
            return byAddress.TryGetValue(address, out Peer? peer) && RemoveKnown(peer);
    }

    /// <summary>Removes this peer, unless its address has another by now.</summary>
    public bool Remove(Peer peer)
    {
        lock (changing)
            return byAddress.TryGetValue(peer.Address, out Peer? known) && known == peer && RemoveKnown(peer);
    }

    private bool RemoveKnown(Peer peer)
    {
        byAddress.TryRemove(peer.Address, out _);
        bySlot[peer.Handle.Slot] = null;
        return engine.Remove(peer.Handle);
    }

    /// <summary>Who a handle of the last flush stands for. The lock makes sure that a peer whose adding overlapped the flush is there.</summary>
    public Peer? Find(PeerHandle handle)
    {
        lock (changing)
            return handle.Slot < bySlot.Length && bySlot[handle.Slot] is { } peer && peer.Handle == handle ? peer : null;
    }
}
