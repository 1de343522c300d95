namespace Archipelago.Connector;

/// <summary>
/// Ends the sessions of a host that stops, spread evenly over a while: everybody connects again elsewhere, and all at once would be a storm there. New sockets are
/// refused meanwhile.
/// </summary>
internal sealed class Drain(SocketSet sockets, ConnectorOptions options, TimeProvider clock)
{
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(50);

    private volatile bool begun;

    /// <summary>True once the host is stopping.</summary>
    public bool HasBegun => begun;

    /// <summary>Lets nobody in any more.</summary>
    public void Begin() => begun = true;

    /// <summary>Closes all sockets; completes when the last has been told.</summary>
    public async Task RunAsync()
    {
        Begin();
        WebSocketConnection[] all = [.. sockets.All.Select(s => s.Key)];
        long start = clock.GetTimestamp();
        int closed = 0;
        if (options.DrainWindow > TimeSpan.Zero && all.Length > 0)
        {
            using var timer = new PeriodicTimer(Step, clock);
            while (closed < all.Length && await timer.WaitForNextTickAsync())
            {
                double share = clock.GetElapsedTime(start) / options.DrainWindow;
                for (int due = (int)Math.Min(all.Length, Math.Ceiling(share * all.Length)); closed < due; closed++)
                    all[closed].Close(CloseReason.Restart);
            }
        }
        // And whoever slipped in meanwhile.
        foreach ((WebSocketConnection connection, _) in sockets.All)
            connection.Close(CloseReason.Restart);
    }
}
