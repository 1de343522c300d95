namespace Archipelago.Service.Election;

/// <summary>What stands in the register on which Services agree: who leads.</summary>
/// <param name="Holder">Its name; empty when the last one has left.</param>
/// <param name="Term">The number of its leadership; larger than that of every one before.</param>
internal readonly record struct LeaseEntry(string Holder, long Term);

/// <summary>The times of a lease, in ticks of one clock.</summary>
/// <param name="Length">How long who has renewed it leads, and how long the others wait for a sign of life.</param>
/// <param name="Margin">So much earlier a leader falls silent, for clocks that run at different speeds.</param>
/// <param name="Renew">How often a leader renews it.</param>
/// <param name="Poll">How often the others look.</param>
internal readonly record struct LeaseTimes(long Length, long Margin, long Renew, long Poll);

/// <summary>What is to be done next.</summary>
internal enum LeaseStep
{
    /// <summary>Nothing until <see cref="LeaseAction.At"/>.</summary>
    Wait,

    /// <summary>Read the register.</summary>
    Read,

    /// <summary>Write the entry if the register has the revision.</summary>
    Write,
}

/// <summary>What is to be done next.</summary>
/// <param name="Step">What.</param>
/// <param name="At">Until when to wait.</param>
/// <param name="Entry">What to write.</param>
/// <param name="Revision">The revision that must be there; 0 for an empty register.</param>
internal readonly record struct LeaseAction(LeaseStep Step, long At = 0, LeaseEntry Entry = default, long Revision = 0);

/// <summary>What a Service knows besides.</summary>
/// <param name="IsReady">Whether it could take over without anybody being moved; who could not waits longer.</param>
/// <param name="LatestTerm">The latest term that it has heard of, by whatever way.</param>
/// <param name="FirstTerm">A term for an empty register: larger than any that can have been there before it was emptied, such as the seconds since 2020.</param>
internal readonly record struct LeaseView(bool IsReady, long LatestTerm, long FirstTerm);

/// <summary>
/// One Service's part in deciding who leads, over a register with compare-and-set (Gray and Cheriton's leases, 1989, with fencing numbers). Immutable and without a clock or a network of its own, so that
/// a test can go through all that may happen.
/// </summary>
/// <remarks>
/// <para>Why no two lead at once: who leads has renewed at some time t, taken before its write was sent, and falls silent at t + Length − Margin. Another may write only a whole Length after it first saw the
/// revision of that write, which was not before t, and only if that revision is there still. Clocks need not agree; they must only run at about the same speed, and where one has stood still (a machine
/// that slept), terms keep apart what the bus carries (<see cref="Archipelago.Protocol.TermFence"/>).</para>
/// <para>Why terms never repeat: each is larger than the one in the entry that its write replaces, and of two that replace the same entry one is refused.</para>
/// </remarks>
internal sealed record Lease(string Me, LeaseTimes Times)
{
    /// <summary>The term in which this one leads, or has led and may again; 0 when it does not.</summary>
    public long Term { get; init; }

    /// <summary>When it has to fall silent.</summary>
    public long ValidUntil { get; init; }

    /// <summary>The revision of its last write, as far as it knows.</summary>
    public long Revision { get; init; }

    /// <summary>What it has read last, when it does not lead; null before.</summary>
    public LeaseEntry? Seen { get; init; }

    /// <summary>The revision of what it has read last; 0 for an empty register.</summary>
    public long SeenRevision { get; init; }

    /// <summary>When it first read that.</summary>
    public long SeenSince { get; init; }

    /// <summary>When it does something next.</summary>
    public long DueAt { get; init; }

    /// <summary>True when a write may have been made or not: it has to be read before another is made.</summary>
    public bool IsInDoubt { get; init; }

    /// <summary>True when it has read something since it last wrote in vain.</summary>
    public bool HasRead { get; init; }

    /// <summary>True while it may speak as the leader.</summary>
    public bool MaySpeak(long now) => Term != 0 && now < ValidUntil;

    /// <summary>What to do now.</summary>
    public LeaseAction Next(long now, in LeaseView view)
    {
        if (Term == 0 && !IsInDoubt && HasRead && MayTake(view) is var at && now >= at)
            return Take(view);
        if (now < DueAt)
            return new LeaseAction(LeaseStep.Wait, Term == 0 && !IsInDoubt && HasRead ? Math.Min(DueAt, MayTake(view)) : DueAt);
        return Term == 0 || IsInDoubt ? new LeaseAction(LeaseStep.Read) : new LeaseAction(LeaseStep.Write, Entry: new LeaseEntry(Me, Term), Revision: Revision);
    }

    /// <summary>From when on it may write its own name over what it has read.</summary>
    private long MayTake(in LeaseView view)
    {
        long more = view.IsReady ? 0 : Times.Length;
        if (Seen is not { } seen)
            return SeenSince;
        // It was named by whoever led before, or its own write went through after all. Writing once more shows that it is there.
        if (seen.Holder == Me)
            return SeenSince;
        return SeenSince + more + (seen.Holder.Length == 0 ? 0 : Times.Length);
    }

    private LeaseAction Take(in LeaseView view)
    {
        long next = view.LatestTerm + 1;
        return Seen switch
        {
            // What is there is nothing, or nobody's word: terms begin anew, above all that can have been.
            null or { Term: 0 } => new LeaseAction(LeaseStep.Write, Entry: new LeaseEntry(Me, Math.Max(view.FirstTerm, next)), Revision: SeenRevision),
            // It was named. Unless the register has forgotten what came after: then it is a new term.
            { } seen when seen.Holder == Me && seen.Term >= view.LatestTerm => new LeaseAction(LeaseStep.Write, Entry: seen, Revision: SeenRevision),
            { } seen => new LeaseAction(LeaseStep.Write, Entry: new LeaseEntry(Me, Math.Max(seen.Term + 1, next)), Revision: SeenRevision),
        };
    }

    /// <summary>The register was read.</summary>
    /// <param name="now">When the answer came.</param>
    /// <param name="revision">What revision is there; 0 for none.</param>
    /// <param name="entry">What is there; null for nothing.</param>
    public Lease OnRead(long now, long revision, LeaseEntry? entry)
    {
        // A renewal has gone through whose answer was lost. Since when it holds is not known, so the time is not prolonged.
        if (Term != 0 && entry is { } mine && mine.Holder == Me && mine.Term == Term)
            return this with { Revision = revision, IsInDoubt = false, DueAt = now };
        bool isSame = HasSeen && SeenRevision == revision;
        return this with
        {
            Term = 0,
            ValidUntil = 0,
            IsInDoubt = false,
            HasRead = true,
            HasSeen = true,
            Seen = entry,
            SeenRevision = revision,
            SeenSince = isSame ? SeenSince : now,
            DueAt = now + Times.Poll,
        };
    }

    /// <summary>True once anything was read.</summary>
    public bool HasSeen { get; init; }

    /// <summary>A write was made.</summary>
    /// <param name="action">Which.</param>
    /// <param name="sentAt">When it was begun.</param>
    /// <param name="revision">Its revision.</param>
    public Lease OnWritten(in LeaseAction action, long sentAt, long revision)
    {
        if (action.Entry.Holder != Me)
            return this with { Term = 0, ValidUntil = 0, IsInDoubt = false, HasRead = false, HasSeen = false, DueAt = sentAt + Times.Poll };
        return this with { Term = action.Entry.Term, Revision = revision, ValidUntil = sentAt + Times.Length - Times.Margin, IsInDoubt = false, HasRead = false, HasSeen = false, DueAt = sentAt + Times.Renew };
    }

    /// <summary>A write was refused: another revision is there.</summary>
    public Lease OnRefused(long now) => this with { IsInDoubt = true, DueAt = now };

    /// <summary>Nothing came of it, or nobody knows: the register is out of reach, or the answer was lost.</summary>
    public Lease OnFailed(in LeaseAction action, long now) => this with { IsInDoubt = IsInDoubt || action.Step == LeaseStep.Write, DueAt = now + Times.Poll };

    /// <summary>Something was heard that makes it worth to look now.</summary>
    public Lease Nudged(long now) => Term == 0 ? this with { DueAt = Math.Min(DueAt, now), HasRead = false } : this;

    /// <summary>Somebody has spoken in this term. Whoever leads in an earlier one has been overtaken, whatever its clock says.</summary>
    public Lease OnHeard(long term, long now) => Term != 0 && term > Term ? this with { Term = 0, ValidUntil = 0, IsInDoubt = false, HasRead = false, HasSeen = false, DueAt = now } : this;

    /// <summary>Falls silent for good, to hand over by the write that is returned. Null when it does not lead.</summary>
    /// <param name="to">Who is to lead; empty for anybody.</param>
    /// <param name="now">Now.</param>
    public (Lease Lease, LeaseAction Action)? HandOver(string to, long now) => !MaySpeak(now) || IsInDoubt
        ? null
        : (this with { ValidUntil = 0 }, new LeaseAction(LeaseStep.Write, Entry: new LeaseEntry(to, to.Length == 0 ? Term : Term + 1), Revision: Revision));
}
