namespace Archipelago.Core.Internals;

/// <summary>
/// Finds the island that most members of an island prefer; on a tie, the preference that first reached the winning count while going
/// through the members in order.
/// </summary>
internal sealed class PreferenceCounter(PeerTable peers)
{
    private readonly Pool<Wish> wishes = new();

    private readonly record struct Wish(long Preference, int Place) : IComparable<Wish>
    {
        public int CompareTo(Wish other) => Preference != other.Preference ? Preference.CompareTo(other.Preference) : Place.CompareTo(other.Place);
    }

    /// <summary>The preferred island's number, or 0 when no member prefers any.</summary>
    public long PreferredBy(World world, int island)
    {
        if (!peers.HasPreferences)
            return 0;
        wishes.Clear();
        int first = world.Islands[island].First, body = first, place = 0;
        do
        {
            long preference = peers.Preference(world.Map.SlotOf(body));
            if (preference != 0)
                wishes.Add(new Wish(preference, place));
            place++;
            body = world.Bodies[body].Next;
        }
        while (body != first);
        return Winner();
    }

    private long Winner()
    {
        Span<Wish> sorted = wishes.Span;
        sorted.Sort();
        long best = 0;
        int bestCount = 0, reachedAt = int.MaxValue;
        for (int start = 0; start < sorted.Length;)
        {
            int end = start + 1;
            while (end < sorted.Length && sorted[end].Preference == sorted[start].Preference)
                end++;
            // The last of the wishes for it is the one that made the count.
            int count = end - start, last = sorted[end - 1].Place;
            if (count > bestCount || (count == bestCount && last < reachedAt))
                (best, bestCount, reachedAt) = (sorted[start].Preference, count, last);
            start = end;
        }
        return best;
    }
}
