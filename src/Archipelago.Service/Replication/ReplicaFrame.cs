using System.Buffers;
using System.Buffers.Binary;
using Archipelago.Core;
using Archipelago.Protocol;

namespace Archipelago.Service.Replication;

/// <summary>What a message of the leader to its standbys is.</summary>
internal enum ReplicaKind : byte
{
    /// <summary>What one flush did.</summary>
    Flush = 1,

    /// <summary>All changes up to a flush have been told.</summary>
    Told = 2,

    /// <summary>Everything as of a flush, for one standby.</summary>
    Snapshot = 3,

    /// <summary>A piece of a message that is larger than the bus carries.</summary>
    Part = 4,
}

/// <summary>The head of every message between leader and standbys: version, kind, term, flush. Little-endian.</summary>
/// <param name="Kind">What follows.</param>
/// <param name="Term">The leader's.</param>
/// <param name="Flush">The flush that it is about; of a part, the number of the message that it is of.</param>
internal readonly record struct ReplicaHead(ReplicaKind Kind, long Term, long Flush)
{
    public const int Length = 18;

    private const byte Version = 1;

    public void Write(IBufferWriter<byte> to)
    {
        Span<byte> span = to.GetSpan(Length);
        (span[0], span[1]) = (Version, (byte)Kind);
        BinaryPrimitives.WriteInt64LittleEndian(span[2..], Term);
        BinaryPrimitives.WriteInt64LittleEndian(span[10..], Flush);
        to.Advance(Length);
    }

    /// <summary>Reads the head, and cuts it off.</summary>
    /// <exception cref="FormatException">It is none, or of a version that this one does not read.</exception>
    public static ReplicaHead Read(ref ReadOnlySpan<byte> message)
    {
        if (message.Length < Length || message[1] is < (byte)ReplicaKind.Flush or > (byte)ReplicaKind.Part)
            throw new FormatException("The leader's message is none that a standby knows.");
        if (message[0] != Version)
            throw new FormatException($"The leader's message is of version {message[0]}; this standby reads version {Version}.");
        var head = new ReplicaHead((ReplicaKind)message[1], BinaryPrimitives.ReadInt64LittleEndian(message[2..]), BinaryPrimitives.ReadInt64LittleEndian(message[10..]));
        message = message[Length..];
        return head;
    }
}

/// <summary>Who came in a flush: what stands before the engine's delta.</summary>
internal static class ReplicaComers
{
    private const int Fixed = 26;

    public static void Write(IBufferWriter<byte> to, PeerHandle handle, Peer? peer)
    {
        // One that no subject can carry is none.
        ReadOnlySpan<byte> address = peer is null || peer.AddressBytes.Length > ushort.MaxValue ? default : peer.AddressBytes;
        Span<byte> span = to.GetSpan(Fixed + address.Length);
        SessionStamp session = peer?.Session ?? default;
        BinaryPrimitives.WriteInt32LittleEndian(span, handle.Slot);
        BinaryPrimitives.WriteUInt32LittleEndian(span[4..], handle.Generation);
        BinaryPrimitives.WriteInt64LittleEndian(span[8..], session.Began);
        BinaryPrimitives.WriteUInt64LittleEndian(span[16..], session.Chance);
        BinaryPrimitives.WriteUInt16LittleEndian(span[24..], (ushort)address.Length);
        address.CopyTo(span[Fixed..]);
        to.Advance(Fixed + address.Length);
    }

    /// <exception cref="FormatException">It is cut short.</exception>
    public static SavedPeer Read(ref ReadOnlySpan<byte> message)
    {
        int length = message.Length < Fixed ? int.MaxValue - Fixed : BinaryPrimitives.ReadUInt16LittleEndian(message[24..]);
        if (message.Length < Fixed + length)
            throw new FormatException("The leader's message is cut short.");
        var handle = new PeerHandle(BinaryPrimitives.ReadInt32LittleEndian(message), BinaryPrimitives.ReadUInt32LittleEndian(message[4..]));
        var session = new SessionStamp(BinaryPrimitives.ReadInt64LittleEndian(message[8..]), BinaryPrimitives.ReadUInt64LittleEndian(message[16..]));
        string address = Subjects.Text(message.Slice(Fixed, length));
        message = message[(Fixed + length)..];
        return new SavedPeer(address, handle, session == default ? null : session);
    }
}

/// <summary>Puts messages together that came in parts. One sender, whose parts come in order; a message of which one is missing is given up.</summary>
internal sealed class PartAssembler
{
    private const int MostParts = 100_000;

    private readonly ArrayBufferWriter<byte> whole = new();
    private (long Term, long Number) message;
    private int expected;

    /// <summary>The head of a part, behind <see cref="ReplicaHead"/>: which one, of how many.</summary>
    public const int HeadLength = 8;

    public static void WriteHead(IBufferWriter<byte> to, int index, int count)
    {
        Span<byte> span = to.GetSpan(HeadLength);
        BinaryPrimitives.WriteInt32LittleEndian(span, index);
        BinaryPrimitives.WriteInt32LittleEndian(span[4..], count);
        to.Advance(HeadLength);
    }

    /// <summary>Takes a part; returns the whole message with its last one, null before and when one was missed.</summary>
    /// <exception cref="FormatException">It is cut short, or its numbers make no sense.</exception>
    public byte[]? Take(in ReplicaHead head, ReadOnlySpan<byte> part)
    {
        if (part.Length < HeadLength)
            throw new FormatException("A part of the leader's message is cut short.");
        int index = BinaryPrimitives.ReadInt32LittleEndian(part), count = BinaryPrimitives.ReadInt32LittleEndian(part[4..]);
        if (count is < 1 or > MostParts || index < 0 || index >= count)
            throw new FormatException("A part of the leader's message has a number that makes no sense.");
        if (index == 0)
        {
            whole.ResetWrittenCount();
            (message, expected) = ((head.Term, head.Flush), 0);
        }
        else if (message != (head.Term, head.Flush) || index != expected)
        {
            expected = -1;
            return null;
        }
        whole.Write(part[HeadLength..]);
        expected++;
        if (expected < count)
            return null;
        byte[] complete = whole.WrittenSpan.ToArray();
        whole.Clear();
        return complete;
    }
}
