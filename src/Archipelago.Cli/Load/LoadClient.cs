using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Archipelago.Cli.Bots;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Cli.Load;

/// <summary>
/// A client of a load: WebSocket frames over a bare socket, so that thousands take little of the processors that the server under load needs. Nothing is masked but by
/// zeros, which the protocol allows.
/// </summary>
/// <param name="identity">Who it is; null for one that only opens a socket.</param>
/// <param name="from">Where it comes from, as a proxy would tell; null for nothing.</param>
internal sealed class LoadClient(LoadIdentity? identity, string? from = null) : IDisposable
{
    private const byte Binary = 0x82, Close = 0x88, Ping = 0x89, Pong = 0x8A, Masked = 0x80;

    private const string Upgrade =
        "GET /ws HTTP/1.1\r\nHost: load\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bG9hZCBsb2FkIGxvYWQhIQ==\r\n";

    // ClientPacket.heartbeat with a position of three coordinates.
    private readonly byte[] heartbeat = [Binary, Masked | 19, 0, 0, 0, 0, 0x1A, 17, 0x0A, 15, 0x0D, 0, 0, 0, 0, 0x15, 0, 0, 0x80, 0x3F, 0x1D, 0, 0, 0, 0];
    private Socket socket = null!;
    private byte[] buffer = new byte[512];
    private int start, end;

    /// <summary>Its address; empty for one without.</summary>
    public string Address => identity?.Address ?? "";

    /// <summary>When it last sent a heartbeat, by the stopwatch; 0 when the last one has arrived.</summary>
    public long SentAt;

    /// <summary>True while its socket is open and, if it is somebody, welcomed.</summary>
    public bool IsIn { get; private set; }

    /// <summary>The code with which the server closed; null while it has not.</summary>
    public int? CloseCode { get; private set; }

    public long IslandChanges { get; private set; }

    /// <summary>Heartbeats that had not been forwarded when the next was due.</summary>
    public long Overdue { get; private set; }

    /// <summary>Ends when the connection does; null before it is opened.</summary>
    public Task? Listening { get; private set; }

    /// <summary>Milliseconds from opening the socket, or from the first attempt, to the welcome.</summary>
    public double EnteredMs { get; private set; }

    /// <summary>Opens a WebSocket.</summary>
    public async Task ConnectAsync(IPEndPoint server, CancellationToken cancellationToken)
    {
        (start, end, IsIn, CloseCode) = (0, 0, false, null);
        socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(server, cancellationToken);
        string forwarded = from is null ? "" : $"X-Forwarded-For: {from}\r\n";
        await socket.SendAsync(Encoding.ASCII.GetBytes($"{Upgrade}{forwarded}\r\n"), cancellationToken);
        while (true)
        {
            int at = buffer.AsSpan(start, end - start).IndexOf("\r\n\r\n"u8);
            if (at >= 0)
            {
                if (!buffer.AsSpan(start, end - start).StartsWith("HTTP/1.1 101"u8))
                    throw new ProtocolException("the upgrade was refused");
                start += at + 4;
                break;
            }
            await FillAsync(cancellationToken);
        }
    }

    /// <summary>Opens a WebSocket, as nobody, and listens.</summary>
    public async Task OpenAsync(IPEndPoint server, CancellationToken cancellationToken)
    {
        await ConnectAsync(server, cancellationToken);
        IsIn = true;
        Listening = ListenAsync();
    }

    /// <summary>Opens a WebSocket and proves who it is.</summary>
    /// <exception cref="ProtocolException">It was not let in.</exception>
    public async Task EnterAsync(IPEndPoint server, CancellationToken cancellationToken, Func<string, string>? sign = null, long? since = null)
    {
        long began = since ?? Stopwatch.GetTimestamp();
        await ConnectAsync(server, cancellationToken);
        await SendAsync(new ClientPacket { ChallengeRequest = new ChallengeRequestMessage { Address = identity!.Address } }, cancellationToken);
        string challenge = (await ReceiveAsync(cancellationToken)).ChallengeResponse?.ChallengeToSign ?? throw new ProtocolException("no challenge came");
        string chain = (sign ?? identity.SignChain)(challenge);
        await SendAsync(new ClientPacket { SignedChallenge = new SignedChallengeMessage { AuthChainJson = chain } }, cancellationToken);
        if ((await ReceiveAsync(cancellationToken)).Welcome?.PeerId != identity.Address)
            throw new ProtocolException("no welcome came");
        EnteredMs = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        IsIn = true;
    }

    /// <summary>Sends a heartbeat from there.</summary>
    public async ValueTask BeatAsync(float x, float z)
    {
        BinaryPrimitives.WriteSingleLittleEndian(heartbeat.AsSpan(11), x);
        BinaryPrimitives.WriteSingleLittleEndian(heartbeat.AsSpan(21), z);
        // One that is still under way keeps its time, or a delay of more than a period would look like a short one.
        if (Interlocked.CompareExchange(ref SentAt, Stopwatch.GetTimestamp(), 0) != 0)
            Overdue++;
        await SendBytesAsync(heartbeat);
    }

    /// <summary>Sends bytes as they are; a connection that has gone is noticed by whoever listens.</summary>
    public async ValueTask SendBytesAsync(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            await socket.SendAsync(bytes);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            IsIn = false;
        }
    }

    /// <summary>Sends one message.</summary>
    public async Task SendAsync(ClientPacket packet, CancellationToken cancellationToken) => await socket.SendAsync(Frame(packet.ToByteArray()), cancellationToken);

    /// <summary>A message as a client's frame.</summary>
    public static byte[] Frame(ReadOnlySpan<byte> message) => message.Length < 126
        ? [Binary, (byte)(Masked | message.Length), 0, 0, 0, 0, .. message]
        : [Binary, Masked | 126, (byte)(message.Length >> 8), (byte)message.Length, 0, 0, 0, 0, .. message];

    /// <summary>Reads what comes until the server closes or the connection breaks; answers pings.</summary>
    public async Task ListenAsync()
    {
        try
        {
            while (true)
            {
                (byte kind, int length) = await NextAsync(CancellationToken.None);
                if (kind == Close)
                {
                    CloseCode = length >= 2 ? BinaryPrimitives.ReadUInt16BigEndian(buffer.AsSpan(start)) : 1005;
                    await SendBytesAsync(new byte[] { Close, Masked, 0, 0, 0, 0 });
                    return;
                }
                if (kind == Ping)
                    await SendBytesAsync(new byte[] { Pong, Masked, 0, 0, 0, 0 });
                else
                    IslandChanges++;
                start += length;
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or ProtocolException)
        {
            CloseCode ??= 1006;
        }
        finally
        {
            IsIn = false;
            socket.Dispose();
        }
    }

    /// <summary>Breaks the connection off.</summary>
    public void Dispose() => socket?.Dispose();

    private async Task<ServerPacket> ReceiveAsync(CancellationToken cancellationToken)
    {
        (byte kind, int length) = await NextAsync(cancellationToken);
        if (kind != Binary)
        {
            CloseCode = kind == Close && length >= 2 ? BinaryPrimitives.ReadUInt16BigEndian(buffer.AsSpan(start)) : 1005;
            throw new ProtocolException($"closed with {CloseCode} {Encoding.UTF8.GetString(buffer, start + Math.Min(2, length), Math.Max(0, length - 2))}");
        }
        var packet = ServerPacket.Parser.ParseFrom(buffer, start, length);
        start += length;
        return packet;
    }

    /// <summary>The next whole frame: its first byte, and how many bytes of it begin at <c>start</c>.</summary>
    private async ValueTask<(byte Kind, int Length)> NextAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            int there = end - start;
            if (there >= 2)
            {
                int length = buffer[start + 1], header = 2;
                if (length == 126 && there >= 4)
                    (length, header) = (BinaryPrimitives.ReadUInt16BigEndian(buffer.AsSpan(start + 2)), 4);
                else if (length == 127 && there >= 10)
                    (length, header) = ((int)BinaryPrimitives.ReadUInt64BigEndian(buffer.AsSpan(start + 2)), 10);
                if (length < 126 || header > 2)
                {
                    if (there >= header + length)
                    {
                        byte kind = buffer[start];
                        start += header;
                        return (kind, length);
                    }
                    MakeRoom(header + length);
                }
            }
            await FillAsync(cancellationToken);
        }
    }

    private void MakeRoom(int size)
    {
        if (start + size <= buffer.Length)
            return;
        byte[] target = size > buffer.Length ? new byte[2 * size] : buffer;
        buffer.AsSpan(start, end - start).CopyTo(target);
        (buffer, end, start) = (target, end - start, 0);
    }

    private async ValueTask FillAsync(CancellationToken cancellationToken)
    {
        if (start == end)
            start = end = 0;
        else if (end == buffer.Length)
            MakeRoom(buffer.Length);
        if (end == buffer.Length)
            MakeRoom(2 * buffer.Length);
        int count = await socket.ReceiveAsync(buffer.AsMemory(end), cancellationToken);
        if (count == 0)
            throw new ProtocolException("the connection was closed");
        end += count;
    }
}
