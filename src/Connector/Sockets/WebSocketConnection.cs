using System.Buffers;
using System.Buffers.Binary;
using System.Net.WebSockets;
using Archipelago.Protocol;

namespace Archipelago.Connector;

/// <summary>
/// Carries one session over a WebSocket: puts fragments together, hands messages to the session one after the other, and sends what is queued without anybody
/// waiting for a slow client. An idle connection holds a buffer for small messages and nothing else.
/// </summary>
internal sealed class WebSocketConnection : ISessionSocket
{
    // A heartbeat has some 30 bytes. What does not fit is received into a rented buffer, which goes back when it has been handled.
    private const int SmallMessage = 128;
    private const int LengthPrefix = sizeof(int);

    private const int Idle = 0, Sending = 1, SendingAndMore = 2;

    private readonly WebSocket socket;
    private readonly Action abort;
    private readonly TimeProvider clock;
    private readonly SessionMetrics metrics;
    private readonly Limit maxMessage;
    private readonly byte[] small = new byte[SmallMessage];
    private readonly TaskCompletionSource finished = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Handshake and farewell: a handful in the life of a connection.
    private readonly Queue<ReadOnlyMemory<byte>> packets = new(2);
    private CloseReason? closeReason;
    private long closingSince;

    // The latest island change, framed, behind its length, in a rented array. Whoever takes it out gives it back.
    private byte[]? islandChange;

    private int sending;
    private long sendingSince;

    /// <summary>Wraps an accepted socket.</summary>
    /// <param name="socket">The socket; disposed by the caller.</param>
    /// <param name="abort">Cuts the connection, from any thread.</param>
    /// <param name="options">The limits.</param>
    /// <param name="metrics">Counts.</param>
    /// <param name="clock">Tells how long things take.</param>
    public WebSocketConnection(WebSocket socket, Action abort, ConnectorOptions options, SessionMetrics metrics, TimeProvider clock)
    {
        this.socket = socket;
        this.abort = abort;
        this.metrics = metrics;
        this.clock = clock;
        maxMessage = options.MessageBytes;
    }

    /// <summary>How long the client has not taken what is being sent to it; zero when nothing is.</summary>
    public TimeSpan Stalled => Volatile.Read(ref sendingSince) is var since && since == 0 ? TimeSpan.Zero : clock.GetElapsedTime(since);

    /// <summary>How long the connection has been closing; zero when it is not.</summary>
    public TimeSpan Closing => Volatile.Read(ref closingSince) is var since && since == 0 ? TimeSpan.Zero : clock.GetElapsedTime(since);

    private bool IsClosing => Volatile.Read(ref closingSince) != 0;

    public bool TrySend(ReadOnlyMemory<byte> frame)
    {
        lock (packets)
        {
            if (closeReason is not null)
                return false;
            packets.Enqueue(frame);
        }
        Wake();
        return true;
    }

    public bool TrySendIslandChange(ReadOnlySpan<byte> message)
    {
        if (IsClosing)
            return false;
        int length = ServerFrames.IslandChangedLength(message.Length);
        byte[] framed = ArrayPool<byte>.Shared.Rent(LengthPrefix + length);
        BinaryPrimitives.WriteInt32LittleEndian(framed, length);
        ServerFrames.WriteIslandChanged(message, framed.AsSpan(LengthPrefix));
        if (Interlocked.Exchange(ref islandChange, framed) is { } overtaken)
        {
            ArrayPool<byte>.Shared.Return(overtaken);
            metrics.IslandChangeReplaced();
        }
        Wake();
        return true;
    }

    public void Close(CloseReason reason)
    {
        lock (packets)
        {
            if (closeReason is not null)
                return;
            closeReason = reason;
            Volatile.Write(ref closingSince, Math.Max(1, clock.GetTimestamp()));
        }
        Wake();
    }

    /// <summary>Cuts the connection without a word.</summary>
    public void Abort() => abort();

    /// <summary>Runs the session until its socket is closed by either side.</summary>
    public async Task RunAsync(Session session)
    {
        try
        {
            await ReceiveAllAsync(session);
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or IOException)
        {
            // The client has gone, or was cut off.
        }
        catch (Exception)
        {
            Close(CloseReason.InternalError);
            throw;
        }
        finally
        {
            try
            {
                await session.EndAsync();
            }
            finally
            {
                Close(CloseReason.Answer);
                await finished.Task;
                if (Interlocked.Exchange(ref islandChange, null) is { } unsent)
                    ArrayPool<byte>.Shared.Return(unsent);
            }
        }
    }

    private async Task ReceiveAllAsync(Session session)
    {
        while (true)
        {
            ValueWebSocketReceiveResult result = await socket.ReceiveAsync(small.AsMemory(), CancellationToken.None);
            if (result.MessageType == WebSocketMessageType.Close)
                return;
            if (!result.EndOfMessage)
            {
                if (!await ReceiveLargeAsync(session, result.Count))
                    return;
            }
            else if (!IsClosing)
            {
                await session.HandleAsync(small.AsMemory(0, result.Count));
            }
        }
    }

    /// <summary>Receives the rest of a message of which the small buffer holds the beginning, and handles it; false when the client closed or sent too much.</summary>
    private async ValueTask<bool> ReceiveLargeAsync(Session session, int length)
    {
        // One byte more than allowed tells what is too much; a full buffer whose message has not ended may still get its end, an empty fragment.
        byte[] buffer = ArrayPool<byte>.Shared.Rent(maxMessage.Threshold + 1);
        try
        {
            small.AsSpan(0, length).CopyTo(buffer);
            bool counted = false;
            while (true)
            {
                ValueWebSocketReceiveResult result = await socket.ReceiveAsync(buffer.AsMemory(length), CancellationToken.None);
                if (result.MessageType == WebSocketMessageType.Close)
                    return false;
                length += result.Count;
                if (length > maxMessage.Threshold && !counted)
                {
                    counted = true;
                    metrics.Refused(LimitKind.MessageBytes);
                    if (maxMessage.IsEnforced)
                    {
                        // What follows is read and forgotten until the client answers the close: cut off now, it might never see why.
                        Close(CloseReason.TooBig);
                    }
                }
                if (IsClosing)
                    length = 0;
                if (result.EndOfMessage)
                    break;
                if (length == buffer.Length)
                    buffer = Grow(buffer);
            }
            if (!IsClosing)
                await session.HandleAsync(buffer.AsMemory(0, length));
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static byte[] Grow(byte[] buffer)
    {
        byte[] larger = ArrayPool<byte>.Shared.Rent(2 * buffer.Length);
        buffer.CopyTo(larger, 0);
        ArrayPool<byte>.Shared.Return(buffer);
        return larger;
    }

    /// <summary>Sees to it that somebody sends: whoever is sending already looks again, or else the caller begins.</summary>
    private void Wake()
    {
        while (true)
        {
            int seen = Interlocked.CompareExchange(ref sending, Sending, Idle);
            if (seen == Idle)
            {
                _ = SendAllAsync();
                return;
            }
            if (seen == SendingAndMore || Interlocked.CompareExchange(ref sending, SendingAndMore, Sending) == Sending)
                return;
        }
    }

    private async Task SendAllAsync()
    {
        try
        {
            do
            {
                Volatile.Write(ref sending, Sending);
                while (TryNextPacket(out ReadOnlyMemory<byte> packet))
                    await SendAsync(packet);
                if (Interlocked.Exchange(ref islandChange, null) is { } framed)
                    await SendIslandChangeAsync(framed);
                if (IsAtTheEnd(out CloseReason reason))
                {
                    await SendCloseAsync(reason);
                    finished.TrySetResult();
                    return;
                }
            }
            while (HasMore() || Interlocked.CompareExchange(ref sending, Idle, Sending) != Sending);
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or ObjectDisposedException or InvalidOperationException or IOException)
        {
            // Nobody is left to read. What else is sent goes nowhere, and nobody sends again.
            Close(CloseReason.Answer);
            abort();
            finished.TrySetResult();
        }
    }

    private bool TryNextPacket(out ReadOnlyMemory<byte> packet)
    {
        lock (packets)
            return packets.TryDequeue(out packet);
    }

    private bool HasMore()
    {
        if (Volatile.Read(ref islandChange) is not null)
            return true;
        lock (packets)
            return packets.Count > 0;
    }

    private bool IsAtTheEnd(out CloseReason reason)
    {
        lock (packets)
        {
            reason = closeReason ?? default;
            return closeReason is not null && packets.Count == 0;
        }
    }

    private async ValueTask SendIslandChangeAsync(byte[] framed)
    {
        try
        {
            await SendAsync(framed.AsMemory(LengthPrefix, BinaryPrimitives.ReadInt32LittleEndian(framed)));
            metrics.IslandChangeSent();
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(framed);
        }
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> frame)
    {
        Volatile.Write(ref sendingSince, Math.Max(1, clock.GetTimestamp()));
        await socket.SendAsync(frame, WebSocketMessageType.Binary, endOfMessage: true, CancellationToken.None);
        Volatile.Write(ref sendingSince, 0);
        metrics.Sent(frame.Length);
    }

    private async ValueTask SendCloseAsync(CloseReason reason)
    {
        if (socket.State is not (WebSocketState.Open or WebSocketState.CloseReceived))
            return;
        Volatile.Write(ref sendingSince, Math.Max(1, clock.GetTimestamp()));
        await socket.CloseOutputAsync((WebSocketCloseStatus)reason.Code, reason.Text, CancellationToken.None);
        Volatile.Write(ref sendingSince, 0);
    }
}
