using System.Security.Cryptography;
using Archipelago.Protocol;

namespace Archipelago.Connector;

/// <summary>
/// Stamps sessions with a time that is ahead of every stamp that this Connector has heard of, so that the order holds though machines' clocks differ (a hybrid logical
/// clock: Kulkarni and others, "Logical Physical Clocks", 2014). Any thread.
/// </summary>
internal sealed class SessionClock(TimeProvider clock)
{
    private long latest;

    /// <summary>A stamp later than all that were made or heard of here.</summary>
    public SessionStamp Next()
    {
        long now = clock.GetUtcNow().ToUnixTimeMilliseconds();
        long seen = Volatile.Read(ref latest);
        while (true)
        {
            long next = Math.Max(now, seen + 1);
            long before = Interlocked.CompareExchange(ref latest, next, seen);
            if (before == seen)
                return new SessionStamp(next, BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))));
            seen = before;
        }
    }

    /// <summary>Notes a stamp of another Connector.</summary>
    public void Hear(SessionStamp other)
    {
        // A stamp beyond reason must not stop the clock.
        long limit = clock.GetUtcNow().AddYears(1).ToUnixTimeMilliseconds();
        long seen = Volatile.Read(ref latest);
        while (other.Began > seen && other.Began < limit)
        {
            long before = Interlocked.CompareExchange(ref latest, other.Began, seen);
            if (before == seen)
                return;
            seen = before;
        }
    }
}
