using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;

namespace Archipelago.Connector.Tests;

/// <summary>The client's end of a connection that is two pipes in memory. What it sends is handled before the call returns.</summary>
internal sealed class MemoryClient : IDuplexPipe
{
    private static readonly PipeOptions Inline = new(readerScheduler: PipeScheduler.Inline, writerScheduler: PipeScheduler.Inline, useSynchronizationContext: false);

    private readonly Pipe toServer = new(Inline), toClient = new(Inline);

    /// <summary>The server's side.</summary>
    public PipeReader Input => toServer.Reader;

    /// <summary>The server's side.</summary>
    public PipeWriter Output => toClient.Writer;

    public bool Aborted { get; private set; }

    public void Abort()
    {
        Aborted = true;
        toServer.Writer.Complete();
        toClient.Reader.Complete();
    }

    public async ValueTask SendAsync(ReadOnlyMemory<byte> bytes) => await toServer.Writer.WriteAsync(bytes);

    /// <summary>Sends where the server is known to be waiting; allocates nothing.</summary>
    public void Send(ReadOnlyMemory<byte> bytes) => Assert.True(toServer.Writer.WriteAsync(bytes).IsCompletedSuccessfully);

    /// <summary>The next frame: its first byte and its payload; null when the server has nothing more to say.</summary>
    public async Task<(byte First, byte[] Payload)?> ReceiveAsync()
    {
        while (true)
        {
            ReadResult result = await toClient.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20));
            byte[] bytes = result.Buffer.ToArray();
            if (TryFrame(bytes, out int size, out byte[] payload))
            {
                toClient.Reader.AdvanceTo(result.Buffer.GetPosition(size));
                return (bytes[0], payload);
            }
            toClient.Reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            if (result.IsCompleted)
                return null;
        }
    }

    /// <summary>Throws away what the server has sent; returns how much it was. Allocates nothing.</summary>
    public long Forget()
    {
        if (!toClient.Reader.TryRead(out ReadResult result))
            return 0;
        long length = result.Buffer.Length;
        toClient.Reader.AdvanceTo(result.Buffer.End);
        return length;
    }

    /// <summary>A client's frame.</summary>
    public static byte[] Frame(FrameKind kind, ReadOnlySpan<byte> payload, bool final = true, uint mask = 0x12345678)
    {
        Span<byte> header = stackalloc byte[14];
        int size = FrameHeader.Write(header, kind, payload.Length);
        if (!final)
            header[0] &= 0x7F;
        header[1] |= 0x80;
        BinaryPrimitives.WriteUInt32LittleEndian(header[size..], mask);
        byte[] frame = [.. header[..(size + 4)], .. payload];
        for (int i = 0; i < payload.Length; i++)
            frame[size + 4 + i] ^= (byte)(mask >> (8 * (i % 4)));
        return frame;
    }

    private static bool TryFrame(byte[] bytes, out int size, out byte[] payload)
    {
        (size, payload) = (0, []);
        if (bytes.Length < 2)
            return false;
        int length = bytes[1], header = 2;
        if (length == 126 && bytes.Length >= 4)
            (length, header) = (BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(2)), 4);
        else if (length == 127 && bytes.Length >= 10)
            (length, header) = ((int)BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(2)), 10);
        size = header + length;
        if (bytes.Length < size)
            return false;
        payload = bytes[header..size];
        return true;
    }
}
