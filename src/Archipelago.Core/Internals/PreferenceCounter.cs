namespace Archipelago.Core.Internals;

/// <summary>
/// Finds the island that most members of an island prefer; on a tie, the preference that first reached the winning count while going
/// through the members in order.
/// </summary>
internal sealed class PreferenceCounter(PeerTable peers)
{
    private readonly Pool<(long Preference, int Count)> counts = new();

    /// <summary>The preferred island's number, or 0 when no member prefers any.</summary>
    public long PreferredBy(World world, int island)
    {
        counts.Clear();
        long best = 0;
        int bestCount = 0, first = world.Islands[island].First, slot = first;
        do
        {
            long preference = peers.Preference(slot);
            if (preference != 0)
            {
                int count = Count(preference);
                if (count > bestCount)
                    (best, bestCount) = (preference, count);
            }
            slot = world.Bodies[slot].Next;
        }
        while (slot != first);
        return best;
    }

    private int Count(long preference)
    {
        foreach (ref (long Preference, int Count) entry in counts.Span)
            if (entry.Preference == preference)
                return ++entry.Count;
        counts.Add((preference, 1));
        return 1;
    }
}
