namespace Archipelago.Core;

/// <summary>How a crowd of more people than an island holds is cut into islands. Where everybody who is near fits together, it makes no difference.</summary>
public enum CrowdPolicy
{
    /// <summary>Islands merge, larger ones first, and nobody is moved otherwise: who is with whom follows the order of arrival. Costs nothing, and moves nobody who stands in a crowd.</summary>
    Plain,

    /// <summary>
    /// Who stands together is together: newcomers go where their neighbours are, and now and then somebody is moved to them, about as often as
    /// <see cref="IslandOptions.CrowdMovesPerFlush"/> asks for. Wants a flush of everybody at a regular beat, and some hundred nanoseconds a member of a crowd in each.
    /// </summary>
    Coherent,
}

/// <summary>
/// The rules of grouping. Immutable: to change them between flushes, give the engine another record (<see cref="IslandEngine.Options"/>), which like its constructor checks them by
/// <see cref="Validate"/>.
/// </summary>
public sealed record IslandOptions
{
    /// <summary>Two islands with members at most this far apart (metres, inclusive) merge when they fit together. Default 64; above 0, finite, at most <see cref="LeaveDistance"/>.</summary>
    public double JoinDistance { get; init; } = 64;

    /// <summary>Members stay in one island while a chain of members with steps of at most this length (metres, inclusive) connects them. Default 80; finite, above 0, at least <see cref="JoinDistance"/>.</summary>
    public double LeaveDistance { get; init; } = 80;

    /// <summary>Neither merging nor moving makes an island larger than this many peers. It never splits one either, so a smaller value holds for later merges only. Default 100; at least 1.</summary>
    public int MaxIslandSize { get; init; } = 100;

    /// <summary>How crowds larger than an island are cut. Default <see cref="CrowdPolicy.Plain"/>.</summary>
    public CrowdPolicy Crowds { get; init; }

    /// <summary>
    /// Under <see cref="CrowdPolicy.Coherent"/>, how often a member of a crowd is to be moved in a flush of everybody, on average: the more often, the more of its neighbours are with
    /// it. A target that a governor steers to, not a limit: in a crowd that mixes fast it may be twice that. A crowd that has just formed is put in order more quickly. Default 1/150, which is once in five minutes with a flush every two seconds; from 0, where newcomers go to their
    /// neighbours and nobody is moved otherwise, to 1.
    /// </summary>
    public double CrowdMovesPerFlush { get; init; } = 1.0 / 150;

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
        if (Crowds is not (CrowdPolicy.Plain or CrowdPolicy.Coherent))
            throw new ArgumentException($"Crowds is {Crowds}; it is {nameof(CrowdPolicy.Plain)} or {nameof(CrowdPolicy.Coherent)}.");
        if (!(CrowdMovesPerFlush >= 0 && CrowdMovesPerFlush <= 1))
            throw new ArgumentException($"CrowdMovesPerFlush is {CrowdMovesPerFlush}; it is from 0 to 1.");
        if (MaxIslandSize < 1)
            throw new ArgumentException($"MaxIslandSize is {MaxIslandSize}; an island holds at least 1 peer.");
    }
}
