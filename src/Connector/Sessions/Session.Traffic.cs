using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Connector;

/// <summary>What goes through a session that is in: heartbeats to the bus, island changes to the client. In the steady state without an allocation of ours.</summary>
internal sealed partial class Session
{
    // Who tells the island holds this for a few instructions: a flush and the answer to a question may come on two threads at once.
    private int telling;
    private byte[] island = [];
    private int islandLength;

    // Written by the socket's thread, read by the checks; a stale value makes a check early or late.
    private long firstHeartbeat = Never;
    private long lastCompared;

    /// <summary>Sends an island change that came from the bus; nothing before the welcome.</summary>
    public void SendIslandChange(ReadOnlySpan<byte> message)
    {
        if (stage != Stage.Completed)
            return;
        bool isNew = true;
        // Noted and queued in one step, so that what is noted is what the client is told last.
        EnterTelling();
        try
        {
            if (IslandChangeWriter.TryReadIsland(message, out ReadOnlySpan<byte> told))
                isNew = TryRemember(told);
            if (isNew)
                socket.TrySendIslandChange(message);
        }
        finally
        {
            Volatile.Write(ref telling, 0);
        }
        if (isNew)
            Volatile.Write(ref lastCompared, services.Clock.GetTimestamp());
        else
            services.Metrics.IslandChangeRepeated();
    }

    /// <summary>
    /// Asks, when it is time, whether the island that the client was last told is the one that it is in: the bus may lose a message. Until it has been told of
    /// any it asks ten times as often.
    /// </summary>
    public async ValueTask CompareIslandAsync(CancellationToken cancellationToken)
    {
        if (stage != Stage.Completed || Volatile.Read(ref firstHeartbeat) is var first && first == Never)
            return;
        TimeSpan period = Volatile.Read(ref islandLength) == 0 ? services.Options.IslandCheckPeriod / 10 : services.Options.IslandCheckPeriod;
        if (services.Clock.GetElapsedTime(Math.Max(first, Volatile.Read(ref lastCompared))) < period)
            return;
        await AskIslandAsync(cancellationToken);
    }

    private async ValueTask AskIslandAsync(CancellationToken cancellationToken)
    {
        Volatile.Write(ref lastCompared, services.Clock.GetTimestamp());
        services.Metrics.IslandAsked();
        await services.Bus.PublishAsync(Subjects.Ask(address), Heard(), WhenDisconnected.Drop, cancellationToken, stamp.ToHeaders());
    }

    /// <summary>Notes which island the client is told; false when it is the one that it was told before.</summary>
    private bool TryRemember(ReadOnlySpan<byte> told)
    {
        if (told.SequenceEqual(island.AsSpan(0, islandLength)))
            return false;
        if (island.Length < told.Length)
            island = new byte[Math.Max(32, told.Length)];
        told.CopyTo(island);
        Volatile.Write(ref islandLength, told.Length);
        return true;
    }

    private byte[] Heard()
    {
        EnterTelling();
        byte[] heard = island.AsSpan(0, islandLength).ToArray();
        Volatile.Write(ref telling, 0);
        return heard;
    }

    private void EnterTelling()
    {
        var wait = default(SpinWait);
        while (Interlocked.CompareExchange(ref telling, 1, 0) != 0)
            wait.SpinOnce();
    }

    private ValueTask ForwardAsync(ReadOnlyMemory<byte> heartbeat, float x, float y, float z)
    {
        services.Metrics.HeartbeatReceived();
        if (!float.IsFinite(x) || !float.IsFinite(y) || !float.IsFinite(z))
        {
            services.Metrics.HeartbeatDropped(DropReason.NotFinite);
            return default;
        }
        if (services.Options.World is { } world && !world.Contains(x, z))
        {
            services.Metrics.HeartbeatDropped(DropReason.OutsideTheWorld);
            return default;
        }
        if (heartbeat.Length > services.Bus.MaxPayload)
        {
            services.Metrics.HeartbeatDropped(DropReason.TooLarge);
            return default;
        }
        return IsHeldBack(heartbeat.Span) ? default : PublishAsync(heartbeat);
    }

    /// <summary>True when the client sends faster than it may: the heartbeat then waits its turn, and a later one takes its place.</summary>
    private bool IsHeldBack(ReadOnlySpan<byte> heartbeat)
    {
        Limit limit = services.Options.HeartbeatsPerSecond;
        TimeProvider clock = services.Clock;
        long now = clock.GetTimestamp();
        if (throttle is not null && throttle.TryReplace(heartbeat))
        {
            services.Metrics.Refused(LimitKind.HeartbeatRate);
            return true;
        }
        if (heartbeatRate.TryTake(now, clock.TimestampFrequency, limit.Threshold, out long ready))
            return false;
        services.Metrics.Refused(LimitKind.HeartbeatRate);
        if (!limit.IsEnforced)
            return false;
        heartbeatRate.TakeAhead(clock.TimestampFrequency, limit.Threshold);
        throttle ??= new HeartbeatThrottle(clock, PublishHeldBack);
        throttle.Hold(heartbeat, clock.GetElapsedTime(now, ready));
        return true;
    }

    private ValueTask PublishAsync(ReadOnlyMemory<byte> heartbeat)
    {
        // Held by a heartbeat that had to wait its turn, which is older than this one by a moment; or the session has ended.
        if (!publishing.TryEnter())
        {
            services.Metrics.HeartbeatDropped(DropReason.Overtaken);
            return default;
        }
        ValueTask published;
        try
        {
            published = services.Bus.PublishAsync(heartbeatSubject, heartbeat, WhenDisconnected.Drop);
        }
        catch
        {
            publishing.Exit();
            throw;
        }
        if (!published.IsCompletedSuccessfully)
            return FinishAsync(published);
        OnPublished();
        return default;
    }

    private async ValueTask FinishAsync(ValueTask published)
    {
        try
        {
            await published;
        }
        catch
        {
            publishing.Exit();
            throw;
        }
        OnPublished();
    }

    private void OnPublished()
    {
        publishing.Exit();
        if (!services.Bus.IsConnected)
        {
            services.Metrics.HeartbeatDropped(DropReason.BusUnreachable);
            return;
        }
        if (firstHeartbeat == Never)
            Volatile.Write(ref firstHeartbeat, services.Clock.GetTimestamp());
        services.Metrics.HeartbeatForwarded();
    }

    /// <summary>Publishes what was held back; false when the socket's own thread is publishing.</summary>
    private bool PublishHeldBack(ReadOnlyMemory<byte> heartbeat)
    {
        if (stage != Stage.Completed)
            return true;
        if (!publishing.TryEnter())
            return false;
        try
        {
            // Copied, since the bus may push back and read it later than this returns.
            ValueTask published = services.Bus.PublishAsync(heartbeatSubject, heartbeat.ToArray(), WhenDisconnected.Drop);
            _ = FinishAsync(published).AsTask();
        }
        catch (Exception e) when (e is ArgumentException or ObjectDisposedException)
        {
            // On a timer's thread, where nobody would catch it: the bus takes less than it did, or the host is stopping.
            publishing.Exit();
            services.Metrics.HeartbeatDropped(DropReason.BusUnreachable);
        }
        return true;
    }
}
