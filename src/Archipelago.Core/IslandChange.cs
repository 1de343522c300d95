namespace Archipelago.Core;

/// <summary>Why a peer's island changed.</summary>
public enum IslandChangeCause
{
    /// <summary>The peer was added since the last flush: this is its first island.</summary>
    Newcomer,

    /// <summary>The peer's part of an island lost touch with the rest and became an island of its own.</summary>
    Split,

    /// <summary>The peer's island merged into another, which existed before.</summary>
    Merge,

    /// <summary>The peer, a member of a crowd larger than an island, was moved to the island of its neighbours, or its island was cut in two to make room.</summary>
    Crowd,
}

/// <summary>One peer's island after a flush differs from the one last told.</summary>
/// <param name="Peer">The peer.</param>
/// <param name="From">The island last announced for this peer; <see cref="IslandId.None"/> for a newcomer.</param>
/// <param name="To">The island it is in now.</param>
/// <param name="Cause">Why.</param>
public readonly record struct IslandChange(PeerHandle Peer, IslandId From, IslandId To, IslandChangeCause Cause);

/// <summary>Crowds larger than an island, as a flush of everybody under <see cref="CrowdPolicy.Coherent"/> saw them. All 0 where there are none, after a flush of newcomers, and under another policy.</summary>
/// <param name="Members">Members of all crowds together. May hold people who are only nearly in one.</param>
/// <param name="Islands">The islands that they are in.</param>
/// <param name="Moves">Members that were moved to be with their neighbours, newcomers among them.</param>
public readonly record struct CrowdSummary(int Members, int Islands, int Moves);

/// <summary>What a flush did.</summary>
public readonly ref struct FlushResult
{
    internal FlushResult(ReadOnlySpan<IslandChange> changes, long flush, int peers, int islands, CrowdSummary crowds)
    {
        Crowds = crowds;
        Changes = changes;
        Flush = flush;
        PeerCount = peers;
        IslandCount = islands;
    }

    /// <summary>One entry for each peer whose island differs from the one last announced for it. Valid until the next flush begins.</summary>
    public ReadOnlySpan<IslandChange> Changes { get; }

    /// <summary>The number of this flush, from 1.</summary>
    public long Flush { get; }

    /// <summary>Peers known after the flush.</summary>
    public int PeerCount { get; }

    /// <summary>Islands after the flush.</summary>
    public int IslandCount { get; }

    /// <summary>The crowds that are larger than an island.</summary>
    public CrowdSummary Crowds { get; }
}
