namespace Archipelago.Connector;

/// <summary>
/// Looks at all sockets four times a second, which costs less than a timer each: cuts those whose clients do not read, do not answer a close, or have gone without a word. Who
/// has said nothing for 74 seconds is pinged and has 16 more to answer, as in the service replaced.
/// </summary>
internal sealed class SocketSweep(SocketSet sockets, ConnectorOptions options, SessionMetrics metrics, TimeProvider clock) : BackgroundService
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(250);

    /// <summary>What is queued and the closing handshake get this long.</summary>
    private static readonly TimeSpan CloseTimeLimit = TimeSpan.FromSeconds(5);

    /// <summary>Strangers get less, since closing must make room.</summary>
    private static readonly TimeSpan StrangersCloseTimeLimit = TimeSpan.FromMilliseconds(500);

    private static readonly TimeSpan PingAfter = TimeSpan.FromSeconds(74), GoneAfter = TimeSpan.FromSeconds(90);

    private TimeSpan SendTimeLimit => TimeSpan.FromMilliseconds(options.SendTimeout.Threshold);

    public void Sweep()
    {
        sockets.CutLingering(clock.GetTimestamp() - (long)(CloseTimeLimit.TotalSeconds * clock.TimestampFrequency));
        foreach ((WebSocketConnection connection, Session session) in sockets.All)
        {
            TimeSpan closing = connection.Closing;
            if (closing > (session.Address.Length > 0 ? CloseTimeLimit : StrangersCloseTimeLimit))
                connection.Abort();
            else if (closing == TimeSpan.Zero)
                Look(connection, session);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Period, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            Sweep();
    }

    private void Look(WebSocketConnection connection, Session session)
    {
        TimeSpan silent = connection.Silent, stalled = connection.Stalled;
        if (stalled == TimeSpan.Zero)
            connection.IsCountedAsStalled = false;
        if (silent >= GoneAfter)
            connection.Abort();
        else if (stalled > SendTimeLimit)
            GiveUp(connection, session);
        else if (silent >= PingAfter)
            connection.Ping();
    }

    private void GiveUp(WebSocketConnection connection, Session session)
    {
        if (connection.IsCountedAsStalled)
            return;
        connection.IsCountedAsStalled = true;
        metrics.Refused(LimitKind.SendTimeout);
        if (!options.SendTimeout.IsEnforced)
            return;
        connection.Close(CloseReason.TooSlow);
        _ = session.EndAsync();
    }
}
