using System.Collections.Concurrent;

namespace Archipelago.Hosting;

/// <summary>
/// Lets one log line a cause through in a period and counts the rest, so that bad input cannot flood the log. Causes are few: texts of
/// the program and its configuration, never input. May be called from any thread.
/// </summary>
/// <param name="clock">Tells when the period is over.</param>
/// <param name="period">How long a cause stays quiet after a line.</param>
public sealed class LogThrottle(TimeProvider clock, TimeSpan period)
{
    private sealed class Cause
    {
        public long QuietUntil = long.MinValue;
        public long Suppressed;
    }

    private readonly ConcurrentDictionary<string, Cause> causes = new();

    /// <summary>True when this occurrence may be logged; then tells how many of its kind were not since the last line.</summary>
    public bool ShouldLog(string cause, out long suppressed)
    {
        Cause state = causes.GetOrAdd(cause, static _ => new Cause());
        long now = clock.GetTimestamp(), until = Volatile.Read(ref state.QuietUntil);
        long next = now + (long)(period.TotalSeconds * clock.TimestampFrequency);
        if (now < until || Interlocked.CompareExchange(ref state.QuietUntil, next, until) != until)
        {
            Interlocked.Increment(ref state.Suppressed);
            suppressed = 0;
            return false;
        }
        suppressed = Interlocked.Exchange(ref state.Suppressed, 0);
        return true;
    }
}
