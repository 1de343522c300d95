namespace Archipelago.Core.Internals.Crowds;

/// <summary>A member would rather be in another island, which is full: it waits for somebody who wants the way back.</summary>
/// <param name="Peer">Who.</param>
/// <param name="From">The number of the island that it is in.</param>
/// <param name="To">The number of the one that it would rather be in.</param>
/// <param name="Until">The last turn in which the wish counts.</param>
internal readonly record struct Wish(PeerHandle Peer, long From, long To, long Until);

/// <summary>What the crowd policy remembers from flush to flush; saved with the engine.</summary>
internal sealed class CrowdState
{
    /// <summary>The least and the most that a move has to gain.</summary>
    public const double LeastGain = 3, MostGain = 22;

    private const double GainStep = 0.1, QuietStep = 0.5, Memory = 30, Margin = 0.97;

    /// <summary>Flushes of everybody so far, under whatever policy.</summary>
    public long Turn;

    /// <summary>What a move has to gain: the governor raises it while people are moved more often than they may be.</summary>
    public double Gain = LeastGain;

    /// <summary>Forced moves a member and flush, the mean of the last thirty or so.</summary>
    public double Rate;

    /// <summary>By slot: whose neighbours are rather elsewhere. They are looked at in every flush, or more rarely where many stand in one place.</summary>
    public bool[] Uneasy = [];

    /// <summary>Wishes that have not lapsed.</summary>
    public readonly Pool<Wish> Wishes = new();

    /// <summary>
    /// Takes what a flush did, and sets what the next move has to gain. Slowly while much is to be done, for order that is lost among people who walk does not come back by itself;
    /// quickly when it has become quiet.
    /// </summary>
    public void Govern(int moves, int members, double mostPerFlush)
    {
        Rate += ((members == 0 ? 0 : (double)moves / members) - Rate) / Memory;
        double step = Rate > mostPerFlush * Margin ? GainStep : Rate > mostPerFlush / 2 ? -GainStep : -QuietStep;
        Gain = Math.Clamp(Gain + step, LeastGain, MostGain);
    }
}
