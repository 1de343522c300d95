namespace Archipelago.Core;

/// <summary>The rules of grouping. Immutable: to change them between flushes, give the engine another record.</summary>
public sealed record IslandOptions
{
    /// <summary>Two islands with members at most this far apart (metres, inclusive) merge when they fit together. Default 64; above 0, finite, at most <see cref="LeaveDistance"/>.</summary>
    public double JoinDistance { get; init; } = 64;

    /// <summary>Members stay in one island while a chain of members with steps of at most this length (metres, inclusive) connects them. Default 80; finite.</summary>
    public double LeaveDistance { get; init; } = 80;

    /// <summary>Merging never makes an island larger than this many peers. It never splits one either, so a smaller value holds for later merges only. Default 100; at least 1.</summary>
    public int MaxIslandSize { get; init; } = 100;

    /// <summary>Checks each value and how they fit together.</summary>
    /// <exception cref="ArgumentException">A value is out of range; the message names it, its value and what is allowed.</exception>
    public void Validate()
    {
        if (!double.IsFinite(LeaveDistance) || LeaveDistance <= 0)
            throw new ArgumentException($"LeaveDistance is {LeaveDistance}; it must be a finite number of metres above 0.");
        if (!double.IsFinite(JoinDistance) || JoinDistance <= 0)
            throw new ArgumentException($"JoinDistance is {JoinDistance}; it must be a finite number of metres above 0.");
        if (JoinDistance > LeaveDistance)
            throw new ArgumentException($"JoinDistance {JoinDistance} is above LeaveDistance {LeaveDistance}; peers would join and leave at every flush. Lower it, or raise LeaveDistance.");
        if (MaxIslandSize < 1)
            throw new ArgumentException($"MaxIslandSize is {MaxIslandSize}; an island holds at least 1 peer.");
    }
}
