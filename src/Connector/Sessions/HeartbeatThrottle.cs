namespace Archipelago.Connector;

/// <summary>
/// Holds the latest of the heartbeats that came faster than allowed, and lets it go when its time has come. Made for the first session's heartbeat that is one too
/// many; honest clients never have one.
/// </summary>
/// <param name="clock">Tells when.</param>
/// <param name="publish">Publishes the bytes, which it must have read when it returns; false when it cannot at the moment.</param>
internal sealed class HeartbeatThrottle(TimeProvider clock, Func<ReadOnlyMemory<byte>, bool> publish) : IDisposable
{
    private static readonly TimeSpan Again = TimeSpan.FromMilliseconds(5);

    private readonly Lock changing = new();
    private ITimer? timer;
    private byte[] latest = [];
    private int length = -1;

    /// <summary>Puts a heartbeat in the place of the one that waits; false when none does.</summary>
    public bool TryReplace(ReadOnlySpan<byte> heartbeat)
    {
        lock (changing)
        {
            if (length < 0)
                return false;
            Keep(heartbeat);
            return true;
        }
    }

    /// <summary>Keeps a heartbeat until then.</summary>
    public void Hold(ReadOnlySpan<byte> heartbeat, TimeSpan until)
    {
        lock (changing)
        {
            Keep(heartbeat);
            timer ??= clock.CreateTimer(static t => ((HeartbeatThrottle)t!).OnTime(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            timer.Change(until, Timeout.InfiniteTimeSpan);
        }
    }

    public void Dispose()
    {
        lock (changing)
        {
            timer?.Dispose();
            length = -1;
        }
    }

    private void Keep(ReadOnlySpan<byte> heartbeat)
    {
        if (latest.Length < heartbeat.Length)
            latest = new byte[Math.Max(64, heartbeat.Length)];
        heartbeat.CopyTo(latest);
        length = heartbeat.Length;
    }

    private void OnTime()
    {
        lock (changing)
        {
            if (length < 0)
                return;
            if (publish(latest.AsMemory(0, length)))
                length = -1;
            else
                timer!.Change(Again, Timeout.InfiniteTimeSpan);
        }
    }
}
