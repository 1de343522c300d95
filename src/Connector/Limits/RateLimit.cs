namespace Archipelago.Connector;

/// <summary>
/// A bucket that holds a second's worth of events and refills evenly (the generic cell rate algorithm, ITU-T I.371). One thread at a time.
/// </summary>
internal struct RateLimit
{
    private long full;

    /// <summary>Takes one event's worth, if it is there.</summary>
    /// <param name="now">The time, in ticks of a monotonic clock.</param>
    /// <param name="frequency">Ticks a second.</param>
    /// <param name="perSecond">Events a second.</param>
    /// <param name="ready">When it will be there: now or earlier when the answer is true.</param>
    public bool TryTake(long now, long frequency, int perSecond, out long ready)
    {
        long interval = frequency / perSecond;
        ready = full - frequency + interval;
        if (now < ready)
            return false;
        full = Math.Max(full, now) + interval;
        return true;
    }

    /// <summary>Takes one event's worth in advance.</summary>
    public void TakeAhead(long frequency, int perSecond) => full += frequency / perSecond;
}
