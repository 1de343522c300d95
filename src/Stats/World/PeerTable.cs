using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Archipelago.Protocol;

namespace Archipelago.Stats.World;

/// <summary>
/// All peers, by address and in the order of their first heartbeats. Finding one and reading the list take no lock and allocate nothing; who comes and goes takes turns.
/// </summary>
internal sealed class PeerTable
{
    // Who was announced and never came: with so many, something is wrong, and to forget all costs nobody more than a moment's absence.
    private const int LeastCapacity = 64, MostAnnounced = 20_000;

    private readonly ConcurrentDictionary<string, Peer> byAddress = new(new AddressComparer());
    private readonly Lock changing = new();
    private readonly Dictionary<string, SessionStamp> announced = new(StringComparer.Ordinal);

    // Published whole by a volatile write. Entries below the count are never written again, so that whoever holds a list reads it without a lock.
    private volatile PeerList list = new([], 0);
    private long arrivals;
    private int gone;

    public int Count => byAddress.Count;

    /// <summary>Who is here, in the order of arrival, those who leave meanwhile included (<see cref="Peer.IsGone"/>).</summary>
    public PeerList All => list;

    public bool TryFind(string address, [NotNullWhen(true)] out Peer? peer) => byAddress.TryGetValue(address, out peer);

    public bool TryFind(ReadOnlySpan<byte> address, [NotNullWhen(true)] out Peer? peer) =>
        byAddress.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(address, out peer);

    /// <summary>The peer of this address, which comes in at the end of the order when it is new; what it reports is set before anybody sees it.</summary>
    public Peer Add(string address, float x, float y, float z, long now, long timestamp)
    {
        lock (changing)
        {
            if (byAddress.TryGetValue(address, out Peer? known))
            {
                known.Set(x, y, z, now, timestamp);
                return known;
            }
            var peer = new Peer(address, ++arrivals) { Session = announced.Remove(address, out SessionStamp session) ? session : null };
            peer.Set(x, y, z, now, timestamp);
            byAddress[address] = peer;
            Append(peer);
            return peer;
        }
    }

    /// <summary>Notes which session has an address, unless a later one has it: of who is here, or of who was announced and is still to come.</summary>
    public void Belong(ReadOnlySpan<byte> address, SessionStamp session)
    {
        lock (changing)
        {
            if (TryFind(address, out Peer? peer))
            {
                if (peer.Session is not { } known || session.CompareTo(known) > 0)
                    peer.Session = session;
                return;
            }
            if (announced.Count >= MostAnnounced)
                announced.Clear();
            string key = Subjects.Text(address);
            if (!announced.TryGetValue(key, out SessionStamp earlier) || session.CompareTo(earlier) > 0)
                announced[key] = session;
        }
    }

    /// <summary>Removes the peer of an address, unless it has a later session than the one that departs.</summary>
    /// <returns>False when nobody was removed.</returns>
    public bool Remove(ReadOnlySpan<byte> address, SessionStamp? departing)
    {
        lock (changing)
        {
            if (!TryFind(address, out Peer? peer) || (departing is { } leaves && peer.Session is { } stays && leaves.CompareTo(stays) < 0))
                return false;
            Remove(peer);
            return true;
        }
    }

    /// <summary>Removes those who were last heard of before this timestamp; returns how many.</summary>
    public int RemoveSilentSince(long timestamp)
    {
        int removed = 0;
        PeerList all = list;
        for (int i = 0; i < all.Count; i++)
        {
            if (all[i].IsGone || all[i].HeardAt >= timestamp)
                continue;
            lock (changing)
            {
                // It may have left, or been heard of, just now.
                if (all[i].IsGone)
                    continue;
                all[i].Leave();
                // Who writes a heartbeat looks behind a full fence whether the peer is gone. Either that is seen there, or the heartbeat is seen here.
                Interlocked.MemoryBarrier();
                if (all[i].HeardAt >= timestamp)
                {
                    all[i].Stay();
                    continue;
                }
                Remove(all[i]);
                removed++;
            }
        }
        return removed;
    }

    private void Remove(Peer peer)
    {
        byAddress.TryRemove(peer.Id, out _);
        peer.Leave();
        gone++;
        if (gone > LeastCapacity && gone > list.Count / 2)
            Compact();
    }

    private void Append(Peer peer)
    {
        PeerList old = list;
        Peer[] peers = old.Array;
        if (old.Count == peers.Length)
            Array.Resize(ref peers, Math.Max(LeastCapacity, peers.Length * 2));
        peers[old.Count] = peer;
        list = new PeerList(peers, old.Count + 1);
    }

    private void Compact()
    {
        Peer[] here = [.. list.Array.Take(list.Count).Where(p => !p.IsGone)];
        list = new PeerList(here, here.Length);
        gone = 0;
    }
}

/// <summary>Peers in the order of arrival, as of one moment; those who leave later stay in it and say so.</summary>
/// <param name="array">Holds them.</param>
/// <param name="count">How many of its entries count.</param>
internal sealed class PeerList(Peer[] array, int count)
{
    public Peer[] Array => array;

    public int Count => count;

    public Peer this[int index] => array[index];
}
