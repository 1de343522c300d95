using System.Collections.Concurrent;

namespace Archipelago.Service;

/// <summary>
/// Finds who has been silent for too long without looking at everybody: each peer is looked at when it would be overdue had it said nothing since it was
/// last looked at, which for somebody who speaks is once in a lifetime. Peers come from any thread; looking is for one thread at a time.
/// </summary>
internal sealed class SilenceWatch(PeerDirectory peers, TimeProvider clock)
{
    private readonly ConcurrentQueue<Peer> arrivals = new();
    private readonly PriorityQueue<Peer, long> byDeadline = new();

    /// <summary>Watches a peer that has just been added.</summary>
    public void Watch(Peer peer) => arrivals.Enqueue(peer);

    /// <summary>Removes who has been silent for longer than this, and lists them.</summary>
    public void RemoveSilent(TimeSpan lifetime, List<Peer> silent)
    {
        long now = clock.GetTimestamp(), span = (long)(lifetime.TotalSeconds * clock.TimestampFrequency);
        while (arrivals.TryDequeue(out Peer? arrived))
            byDeadline.Enqueue(arrived, Volatile.Read(ref arrived.LastSeen) + span);
        while (byDeadline.TryPeek(out Peer? peer, out long deadline) && deadline < now)
        {
            byDeadline.Dequeue();
            if (!peers.Knows(peer))
                continue;
            long due = Volatile.Read(ref peer.LastSeen) + span;
            if (due >= now)
                byDeadline.Enqueue(peer, due);
            else if (peers.Remove(peer))
                silent.Add(peer);
        }
    }
}
