using System.Buffers;
using System.Buffers.Binary;

namespace Archipelago.Connector;

/// <summary>What a frame is (RFC 6455, §5.2).</summary>
internal enum FrameKind : byte
{
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// <summary>The beginning of a client's frame (RFC 6455, §5.2). Reading and writing allocate nothing.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="IsFinal">Whether its message ends with it.</param>
/// <param name="Length">Bytes of payload.</param>
/// <param name="Mask">What the payload is masked with, its first byte the lowest.</param>
internal readonly record struct FrameHeader(FrameKind Kind, bool IsFinal, long Length, uint Mask)
{
    /// <summary>Bytes of the longest header that a server writes.</summary>
    public const int LongestWritten = 10;

    private const int LongestRead = 14;
    private const byte Final = 0x80, Masked = 0x80, Reserved = 0x70;
    private const int TwoBytes = 126, EightBytes = 127, LongestControl = 125;

    /// <summary>True for frames that stand between those of a message.</summary>
    public bool IsControl => Kind >= FrameKind.Close;

    /// <summary>Reads a header off the front, when it is there as a whole.</summary>
    /// <param name="bytes">What came; behind the header afterwards.</param>
    /// <param name="header">The header.</param>
    /// <param name="broken">True when no client that keeps to the protocol sends this.</param>
    /// <returns>False when more bytes are needed, or it is broken.</returns>
    public static bool TryRead(ref ReadOnlySequence<byte> bytes, out FrameHeader header, out bool broken)
    {
        header = default;
        broken = false;
        Span<byte> copy = stackalloc byte[LongestRead];
        scoped ReadOnlySpan<byte> span = bytes.FirstSpan;
        if (span.Length < LongestRead && !bytes.IsSingleSegment)
        {
            ReadOnlySequence<byte> front = bytes.Length > LongestRead ? bytes.Slice(0, LongestRead) : bytes;
            front.CopyTo(copy);
            span = copy[..(int)front.Length];
        }
        if (span.Length < 2)
            return false;
        byte first = span[0], second = span[1];
        var kind = (FrameKind)(first & 0x0F);
        bool final = (first & Final) != 0, control = kind >= FrameKind.Close;
        int length = second & ~Masked;
        broken = (first & Reserved) != 0 || (second & Masked) == 0
            || kind is not (FrameKind.Continuation or FrameKind.Text or FrameKind.Binary or FrameKind.Close or FrameKind.Ping or FrameKind.Pong)
            || (control && (!final || length > LongestControl));
        if (broken)
            return false;
        int lengthSize = length switch { TwoBytes => 2, EightBytes => 8, _ => 0 }, size = 2 + lengthSize + sizeof(uint);
        if (span.Length < size)
            return false;
        long whole = lengthSize switch
        {
            2 => BinaryPrimitives.ReadUInt16BigEndian(span[2..]),
            8 => BinaryPrimitives.ReadInt64BigEndian(span[2..]),
            _ => length,
        };
        broken = whole < 0;
        if (broken)
            return false;
        header = new FrameHeader(kind, final, whole, BinaryPrimitives.ReadUInt32LittleEndian(span[(2 + lengthSize)..]));
        bytes = bytes.Slice(size);
        return true;
    }

    /// <summary>The length of a header that <see cref="Write"/> has written.</summary>
    public static int WrittenSize(ReadOnlySpan<byte> frame) => frame[1] switch { TwoBytes => 4, EightBytes => LongestWritten, _ => 2 };

    /// <summary>Writes the header of a whole, unmasked message, as servers send them; returns its length.</summary>
    public static int Write(Span<byte> to, FrameKind kind, int length)
    {
        to[0] = (byte)(Final | (byte)kind);
        switch (length)
        {
            case < TwoBytes:
                to[1] = (byte)length;
                return 2;
            case <= ushort.MaxValue:
                to[1] = TwoBytes;
                BinaryPrimitives.WriteUInt16BigEndian(to[2..], (ushort)length);
                return 4;
            default:
                to[1] = EightBytes;
                BinaryPrimitives.WriteInt64BigEndian(to[2..], length);
                return LongestWritten;
        }
    }

    /// <summary>Takes the mask off a part of the payload.</summary>
    /// <param name="from">The part as it came.</param>
    /// <param name="to">Receives as many bytes.</param>
    /// <param name="offset">How many bytes of the payload came before.</param>
    public void Unmask(ReadOnlySpan<byte> from, Span<byte> to, long offset)
    {
        uint turned = System.Numerics.BitOperations.RotateRight(Mask, 8 * (int)(offset & 3));
        ulong mask = turned | ((ulong)turned << 32);
        int at = 0;
        for (; at + sizeof(ulong) <= from.Length; at += sizeof(ulong))
            BinaryPrimitives.WriteUInt64LittleEndian(to[at..], BinaryPrimitives.ReadUInt64LittleEndian(from[at..]) ^ mask);
        for (; at < from.Length; at++)
            to[at] = (byte)(from[at] ^ (mask >> (8 * (at & 7))));
    }
}
