using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Archipelago.Benchmarks.Nats;

/// <summary>NATS by hand over a blocking socket: the least that a client can do, as the limit to compare with.</summary>
internal sealed class RawSocket : IDisposable
{
    private readonly byte[] buffer = new byte[1 << 18];

    private RawSocket(Socket socket) => Socket = socket;

    public Socket Socket { get; }

    public static RawSocket Connect(int port)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(IPAddress.Loopback, port);
        var raw = new RawSocket(socket);
        raw.ReadUntil("\r\n"u8);
        raw.Send("CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"raw\",\"version\":\"0\",\"protocol\":1,\"headers\":true,\"no_responders\":true}\r\nPING\r\n"u8);
        raw.ReadUntil("PONG\r\n"u8);
        return raw;
    }

    public void Send(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
            bytes = bytes[Socket.Send(bytes)..];
    }

    public void Send(string text) => Send(Encoding.ASCII.GetBytes(text));

    /// <summary>Waits until everything sent before has been taken.</summary>
    public void Flush()
    {
        Send("PING\r\n"u8);
        ReadUntil("PONG\r\n"u8);
    }

    /// <summary>Receives so many bytes and forgets them.</summary>
    public void Skip(long bytes)
    {
        while (bytes > 0)
        {
            int read = Socket.Receive(buffer);
            bytes = read > 0 ? bytes - read : throw new IOException("The server went.");
        }
    }

    /// <summary>Receives until what came ends like this; returns the length of it.</summary>
    public int ReadUntil(ReadOnlySpan<byte> end)
    {
        int length = 0;
        while (!buffer.AsSpan(0, length).EndsWith(end))
        {
            int read = Socket.Receive(buffer.AsSpan(length));
            length += read > 0 ? read : throw new IOException("The server went.");
        }
        return length;
    }

    public ReadOnlySpan<byte> Received(int length) => buffer.AsSpan(0, length);

    public void Dispose() => Socket.Dispose();
}
