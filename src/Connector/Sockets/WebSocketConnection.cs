using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Text;
using Archipelago.Protocol;

namespace Archipelago.Connector;

/// <summary>
/// Carries one session over a WebSocket (RFC 6455), from the upgrade to the end: hands the client's messages to the session one after the other, and sends what is queued without
/// anybody waiting for a slow client. An idle connection holds no buffer. <see cref="RunAsync"/> reads; the rest may be called from any thread.
/// </summary>
internal sealed class WebSocketConnection : ISessionSocket
{
    private const int LengthPrefix = sizeof(int);
    private const int Idle = 0, Sending = 1, SendingAndMore = 2;
    private static readonly byte[] PingFrame = Framed(FrameKind.Ping, default);

    private readonly IDuplexPipe transport;
    private readonly Action abort;
    private readonly TimeProvider clock;
    private readonly SessionMetrics metrics;
    private readonly TaskCompletionSource finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly bool closesOnTooBig;
    private MessageReader reader;

    // Handshake, pongs and farewell: a handful in the life of a connection.
    private readonly Queue<byte[]> frames = new(2);
    private byte[]? pong;
    private CloseReason? closeReason;
    private long closingSince;

    // The latest island change as a frame, behind its length, in a rented array. Whoever takes it out gives it back.
    private byte[]? islandChange;

    // The island that was sent last; only whoever sends looks at it.
    private byte[] sentIsland = [];
    private int sentIslandLength;

    private int sending;
    private long sendingSince;
    private long heardAt;
    private int pinged;

    /// <summary>Takes over a connection whose upgrade was agreed on.</summary>
    /// <param name="transport">The bytes; completed by the caller.</param>
    /// <param name="abort">Cuts the connection, from any thread.</param>
    /// <param name="options">The limits.</param>
    /// <param name="metrics">Counts.</param>
    /// <param name="clock">Tells how long things take.</param>
    public WebSocketConnection(IDuplexPipe transport, Action abort, ConnectorOptions options, SessionMetrics metrics, TimeProvider clock)
    {
        this.transport = transport;
        this.abort = abort;
        this.metrics = metrics;
        this.clock = clock;
        reader = new MessageReader(options.MessageBytes);
        closesOnTooBig = options.MessageBytes.IsEnforced;
        heardAt = clock.GetTimestamp();
    }

    /// <summary>How long the client has not taken what is being sent to it; zero when nothing is.</summary>
    public TimeSpan Stalled => Volatile.Read(ref sendingSince) is var since && since == 0 ? TimeSpan.Zero : clock.GetElapsedTime(since);

    /// <summary>Whether the sweep has counted that the client does not read.</summary>
    public bool IsCountedAsStalled { get; set; }

    /// <summary>How long the connection has been closing; zero when it is not.</summary>
    public TimeSpan Closing => Volatile.Read(ref closingSince) is var since && since == 0 ? TimeSpan.Zero : clock.GetElapsedTime(since);

    /// <summary>How long nothing has been heard of the client.</summary>
    public TimeSpan Silent => clock.GetElapsedTime(Volatile.Read(ref heardAt));

    /// <summary>True once the server has decided to close, or the client has.</summary>
    public bool IsClosing => Volatile.Read(ref closingSince) != 0;

    public bool TrySend(ReadOnlyMemory<byte> message)
    {
        byte[] frame = Framed(FrameKind.Binary, message.Span);
        lock (frames)
        {
            if (closeReason is not null)
                return false;
            frames.Enqueue(frame);
        }
        Wake();
        return true;
    }

    public bool TrySendIslandChange(ReadOnlySpan<byte> message)
    {
        if (IsClosing)
            return false;
        int length = ServerFrames.IslandChangedLength(message.Length);
        byte[] framed = ArrayPool<byte>.Shared.Rent(LengthPrefix + FrameHeader.LongestWritten + length);
        int header = FrameHeader.Write(framed.AsSpan(LengthPrefix), FrameKind.Binary, length);
        BinaryPrimitives.WriteInt32LittleEndian(framed, header + length);
        ServerFrames.WriteIslandChanged(message, framed.AsSpan(LengthPrefix + header));
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
        lock (frames)
        {
            if (closeReason is not null)
                return;
            closeReason = reason;
            Volatile.Write(ref closingSince, Math.Max(1, clock.GetTimestamp()));
        }
        Wake();
    }

    /// <summary>Asks the client for a sign of life, once until one has come.</summary>
    public void Ping()
    {
        if (IsClosing || Interlocked.Exchange(ref pinged, 1) != 0)
            return;
        lock (frames)
            frames.Enqueue(PingFrame);
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
        catch (Exception e) when (e is IOException or OperationCanceledException)
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
            reader.Release();
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
        bool broken = false;
        while (true)
        {
            ReadResult result = await transport.Input.ReadAsync();
            Volatile.Write(ref heardAt, clock.GetTimestamp());
            pinged = 0;
            ReadOnlySequence<byte> bytes = result.Buffer;
            for (bool more = true; more && !broken;)
            {
                Reading reading = reader.Read(ref bytes, out ReadOnlyMemory<byte> content);
                switch (reading)
                {
                    case Reading.Message when !IsClosing:
                        await session.HandleAsync(content);
                        break;
                    case Reading.Ping when !IsClosing:
                        Answer(content.Span);
                        break;
                    case Reading.TooBig:
                        metrics.Refused(LimitKind.MessageBytes);
                        if (closesOnTooBig)
                            session.OnBadMessage(CloseReason.TooBig, "message too big");
                        break;
                    case Reading.NotText:
                        session.OnBadMessage(CloseReason.NotText, "undecodable");
                        break;
                    case Reading.Close:
                        Close(CloseReason.AnswerTo(content.Span));
                        transport.Input.AdvanceTo(bytes.Start);
                        return;
                    case Reading.Broken:
                        // What follows cannot be read, but is taken in until the client has seen why, or its time is over.
                        session.OnBadMessage(CloseReason.ProtocolError, "broken frames");
                        broken = true;
                        break;
                    case Reading.NeedsMore:
                        more = false;
                        break;
                }
            }
            transport.Input.AdvanceTo(broken ? bytes.End : bytes.Start, bytes.End);
            if (result.IsCompleted)
                return;
        }
    }

    /// <summary>Only the latest ping need be answered (RFC 6455, §5.5.3).</summary>
    private void Answer(ReadOnlySpan<byte> payload)
    {
        Volatile.Write(ref pong, Framed(FrameKind.Pong, payload));
        Wake();
    }

    private static byte[] Framed(FrameKind kind, ReadOnlySpan<byte> payload)
    {
        Span<byte> header = stackalloc byte[FrameHeader.LongestWritten];
        return [.. header[..FrameHeader.Write(header, kind, payload.Length)], .. payload];
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
                while (TryNextFrame(out byte[]? frame))
                    await SendAsync(frame!);
                if (Interlocked.Exchange(ref islandChange, null) is { } framed)
                    await SendIslandChangeAsync(framed);
                if (IsAtTheEnd(out CloseReason reason))
                {
                    await SendAsync(reason.ToFrame());
                    finished.TrySetResult();
                    return;
                }
            }
            while (HasMore() || Interlocked.CompareExchange(ref sending, Idle, Sending) != Sending);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // Nobody is left to read. What else is sent goes nowhere, and nobody sends again.
            Close(CloseReason.Answer);
            abort();
            finished.TrySetResult();
        }
    }

    private bool TryNextFrame(out byte[]? frame)
    {
        frame = Interlocked.Exchange(ref pong, null);
        if (frame is not null)
            return true;
        lock (frames)
            return frames.TryDequeue(out frame);
    }

    private bool HasMore()
    {
        if (Volatile.Read(ref islandChange) is not null || Volatile.Read(ref pong) is not null)
            return true;
        lock (frames)
            return frames.Count > 0;
    }

    private bool IsAtTheEnd(out CloseReason reason)
    {
        lock (frames)
        {
            reason = closeReason ?? default;
            return closeReason is not null && frames.Count == 0;
        }
    }

    private async ValueTask SendIslandChangeAsync(byte[] framed)
    {
        try
        {
            ReadOnlyMemory<byte> frame = framed.AsMemory(LengthPrefix, BinaryPrimitives.ReadInt32LittleEndian(framed));
            // What was to come between may have been overtaken while it waited.
            if (!TryRemember(frame.Span))
            {
                metrics.IslandChangeRepeated();
                return;
            }
            await SendAsync(frame);
            metrics.IslandChangeSent();
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(framed);
        }
    }

    /// <summary>Notes which island is being sent; false when it is the one that was sent before: some clients leave the room that they are told to join again.</summary>
    private bool TryRemember(ReadOnlySpan<byte> frame)
    {
        if (!ServerFrames.TryReadIsland(frame[FrameHeader.WrittenSize(frame)..], out ReadOnlySpan<byte> island))
            return true;
        if (island.SequenceEqual(sentIsland.AsSpan(0, sentIslandLength)))
            return false;
        if (sentIsland.Length < island.Length)
            sentIsland = new byte[Math.Max(32, island.Length)];
        island.CopyTo(sentIsland);
        sentIslandLength = island.Length;
        return true;
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> frame)
    {
        Volatile.Write(ref sendingSince, Math.Max(1, clock.GetTimestamp()));
        FlushResult result = await transport.Output.WriteAsync(frame);
        Volatile.Write(ref sendingSince, 0);
        if (result.IsCompleted)
            throw new IOException("The client has gone.");
        metrics.Sent(frame.Length);
    }
}
