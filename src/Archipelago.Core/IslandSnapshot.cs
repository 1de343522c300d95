using Archipelago.Core.Internals;

namespace Archipelago.Core;

/// <summary>One island of a snapshot.</summary>
/// <param name="Id">Its number, which also gives its age.</param>
/// <param name="FirstMember">Where its members begin in <see cref="IslandSnapshot.Members"/>.</param>
/// <param name="Count">Members.</param>
/// <param name="CenterX">Mean x of the members, in metres.</param>
/// <param name="CenterZ">Mean z of the members, in metres.</param>
/// <param name="Radius">Distance on the ground from the centre to the farthest member, in metres; 0 for one member.</param>
public readonly record struct IslandInfo(IslandId Id, int FirstMember, int Count, double CenterX, double CenterZ, double Radius);

/// <summary>One member of an island of a snapshot.</summary>
/// <param name="Peer">The peer.</param>
/// <param name="Position">Its last report as of the flush; y may be one report younger.</param>
public readonly record struct IslandMember(PeerHandle Peer, Position Position);

/// <summary>
/// The whole picture as of one flush, published by <see cref="IslandEngine.PublishSnapshot"/>: islands in order of creation, their members, and the way from a peer to its island.
/// Lease it with <see cref="IslandEngine.AcquireSnapshot"/>, read it from any thread while later flushes run, and dispose it once.
/// </summary>
public sealed class IslandSnapshot : IDisposable
{
    private IslandInfo[] islands = [];
    private IslandMember[] members = [];
    private int[] islandOfSlot = [];
    private int[] memberOfSlot = [];
    private int islandCount;
    private int memberCount;
    private int slots;

    /// <summary>References: one while it is the engine's current snapshot, one a lease. Free to be filled again at 0. Written by whoever acquires or releases.</summary>
    private int references;

    internal IslandSnapshot()
    {
    }

    /// <summary>The flush whose outcome this is; 0 before the first.</summary>
    public long Flush { get; private set; }

    /// <summary>The islands, oldest first.</summary>
    public ReadOnlySpan<IslandInfo> Islands => islands.AsSpan(0, islandCount);

    /// <summary>All members, island by island in the order of <see cref="Islands"/>.</summary>
    public ReadOnlySpan<IslandMember> Members => members.AsSpan(0, memberCount);

    /// <summary>The members of one island of <see cref="Islands"/>.</summary>
    public ReadOnlySpan<IslandMember> MembersOf(in IslandInfo island) => members.AsSpan(island.FirstMember, island.Count);

    /// <summary>Finds the island that the peer was in.</summary>
    /// <returns>False when the snapshot does not know the peer.</returns>
    public bool TryFindIsland(PeerHandle peer, out IslandInfo island)
    {
        if ((uint)peer.Slot < (uint)slots && islandOfSlot[peer.Slot] >= 0 && members[memberOfSlot[peer.Slot]].Peer == peer)
        {
            island = islands[islandOfSlot[peer.Slot]];
            return true;
        }
        island = default;
        return false;
    }

    /// <summary>Ends the lease. Call it exactly once a lease: the content may be overwritten afterwards, and a second call ends somebody else's lease.</summary>
    /// <exception cref="InvalidOperationException">There was no lease left to end.</exception>
    public void Dispose()
    {
        Interleaving.Step("lets a snapshot go");
        if (Interlocked.Decrement(ref references) >= 0)
            return;
        Interlocked.Increment(ref references);
        throw new InvalidOperationException("This snapshot was disposed more often than it was leased.");
    }

    internal bool IsFree
    {
        get
        {
            Interleaving.Step("looks whether a snapshot is free");
            return Volatile.Read(ref references) == 0;
        }
    }

    internal bool TryAddReference()
    {
        int seen = Volatile.Read(ref references);
        while (seen > 0)
        {
            Interleaving.Step("leases a snapshot");
            int now = Interlocked.CompareExchange(ref references, seen + 1, seen);
            if (now == seen)
                return true;
            seen = now;
        }
        return false;
    }

    internal void Publish() => Volatile.Write(ref references, 1);

    internal void Begin(long flush, int slotCount, int peers, int islandTotal)
    {
        Flush = flush;
        slots = slotCount;
        memberCount = islandCount = 0;
        if (islands.Length < islandTotal)
            islands = new IslandInfo[Grown(islandTotal)];
        if (members.Length < peers)
            members = new IslandMember[Grown(peers)];
        if (islandOfSlot.Length < slotCount)
        {
            islandOfSlot = new int[Grown(slotCount)];
            memberOfSlot = new int[islandOfSlot.Length];
        }
        islandOfSlot.AsSpan(0, slotCount).Fill(-1);
    }

    internal void Add(PeerHandle peer, in Position position)
    {
        islandOfSlot[peer.Slot] = islandCount;
        memberOfSlot[peer.Slot] = memberCount;
        members[memberCount++] = new IslandMember(peer, position);
    }

    internal void EndIsland(IslandId id)
    {
        int first = islandCount == 0 ? 0 : islands[islandCount - 1].FirstMember + islands[islandCount - 1].Count;
        ReadOnlySpan<IslandMember> inside = members.AsSpan(first, memberCount - first);
        double x = 0, z = 0;
        foreach (ref readonly IslandMember member in inside)
        {
            x += member.Position.X;
            z += member.Position.Z;
        }
        x /= inside.Length;
        z /= inside.Length;
        double farthest = 0;
        foreach (ref readonly IslandMember member in inside)
        {
            double dx = member.Position.X - x, dz = member.Position.Z - z;
            farthest = Math.Max(farthest, (dx * dx) + (dz * dz));
        }
        islands[islandCount++] = new IslandInfo(id, first, inside.Length, x, z, Math.Sqrt(farthest));
    }

    private static int Grown(int needed) => (int)Math.Min(Array.MaxLength, (long)needed + (needed / 2) + 16);
}
