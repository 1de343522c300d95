using System.Buffers;
using System.Net.WebSockets;
using System.Threading.Channels;

namespace Archipelago.Connector;

/// <summary>
/// Carries one session over a WebSocket: puts fragments together, hands messages to the session one after the other, and sends what is queued from
/// a loop of its own, so that nobody ever waits for a slow client.
/// </summary>
internal sealed class WebSocketConnection : ISessionSocket
{
    /// <summary>The largest message of a client, in bytes.</summary>
    public const int MaxMessage = 16 * 1024;

    private const int MaxQueued = 64;
    private static readonly TimeSpan CloseTimeLimit = TimeSpan.FromSeconds(5);

    private readonly WebSocket socket;
    // Never disposed, for Close may come from any thread at any time; it holds nothing but, at the end, a timer of a few seconds.
    private readonly CancellationTokenSource cut = new();
    private readonly Channel<ReadOnlyMemory<byte>> outgoing =
        Channel.CreateBounded<ReadOnlyMemory<byte>>(new BoundedChannelOptions(MaxQueued) { SingleReader = true });
    private readonly byte[] oneTooMany = new byte[1];
    private CloseReason? closeReason;
    private readonly Lock closing = new();

    public WebSocketConnection(WebSocket socket) => this.socket = socket;

    public bool TrySend(ReadOnlyMemory<byte> frame)
    {
        if (outgoing.Writer.TryWrite(frame))
            return true;
        Close(CloseReason.TooSlow);
        return false;
    }

    public void Close(CloseReason reason)
    {
        lock (closing)
        {
            if (closeReason is not null)
                return;
            closeReason = reason;
        }
        outgoing.Writer.TryComplete();
        // What is queued and the closing handshake get this long, whatever the client does.
        cut.CancelAfter(CloseTimeLimit);
    }

    /// <summary>Runs the session until its socket is closed by either side.</summary>
    public async Task RunAsync(Session session)
    {
        Task sending = SendAllAsync();
        try
        {
            await ReceiveAllAsync(session);
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException)
        {
            // The client has gone, or did not answer our close in time.
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
                await sending;
            }
        }
    }

    private async Task ReceiveAllAsync(Session session)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(MaxMessage);
        try
        {
            while (true)
            {
                int length = await ReceiveMessageAsync(buffer);
                if (length < 0)
                    return;
                if (closeReason is null)
                    await session.HandleAsync(buffer.AsMemory(0, length), cut.Token);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>The length of the next whole message in the buffer; -1 when the client closed or sent too much.</summary>
    private async ValueTask<int> ReceiveMessageAsync(byte[] buffer)
    {
        int length = 0;
        while (true)
        {
            // A full buffer whose message has not ended may still get its end, an empty fragment; one more byte is too much.
            Memory<byte> rest = length < MaxMessage ? buffer.AsMemory(length, MaxMessage - length) : oneTooMany;
            ValueWebSocketReceiveResult result = await socket.ReceiveAsync(rest, cut.Token);
            if (result.MessageType == WebSocketMessageType.Close)
                return -1;
            length += result.Count;
            if (length > MaxMessage)
            {
                Close(CloseReason.TooBig);
                return -1;
            }
            if (result.EndOfMessage)
                return length;
        }
    }

    private async Task SendAllAsync()
    {
        try
        {
            await foreach (ReadOnlyMemory<byte> frame in outgoing.Reader.ReadAllAsync())
                await socket.SendAsync(frame, WebSocketMessageType.Binary, endOfMessage: true, cut.Token);
            CloseReason reason = closeReason ?? CloseReason.Answer;
            if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
                await socket.CloseOutputAsync((WebSocketCloseStatus)reason.Code, reason.Text, cut.Token);
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or ObjectDisposedException)
        {
            // Nobody is left to read.
        }
    }
}
