using System.Buffers.Binary;
using System.Text.Unicode;

namespace Archipelago.Protocol;

/// <summary>
/// Finds a heartbeat in a client's message without decoding it. When the bytes are exactly those that an encoder would write for it again (one member, fields in
/// order, no defaults, shortest lengths), they can go to the bus as they came.
/// </summary>
public static class HeartbeatFrame
{
    private const byte HeartbeatTag = 0x1A, PositionTag = 0x0A, RoomTag = 0x12;
    private const int CoordinateSize = 5;

    // Field 1, 2 and 3, 32 bits each.
    private static ReadOnlySpan<byte> CoordinateTags => [0x0D, 0x15, 0x1D];

    /// <summary>Finds the heartbeat of a message in canonical form. Allocates nothing; any thread.</summary>
    /// <param name="frame">A whole message: a <c>ClientPacket</c>.</param>
    /// <param name="start">Where the encoded <c>Heartbeat</c> begins; it ends with the message.</param>
    /// <param name="heartbeat">What it says.</param>
    /// <returns>False for any other packet, for other forms of a heartbeat, and for bytes that are no packet.</returns>
    public static bool TryFind(ReadOnlySpan<byte> frame, out int start, out HeartbeatView heartbeat)
    {
        start = 0;
        heartbeat = default;
        ReadOnlySpan<byte> rest = frame;
        if (!TryTake(ref rest, HeartbeatTag, out ReadOnlySpan<byte> inner) || !rest.IsEmpty)
            return false;
        start = frame.Length - inner.Length;

        bool hasPosition = TryTake(ref inner, PositionTag, out ReadOnlySpan<byte> position);
        bool hasRoom = TryTake(ref inner, RoomTag, out ReadOnlySpan<byte> room);
        if (!inner.IsEmpty || (hasRoom && !Utf8.IsValid(room)))
            return false;
        float x = TakeCoordinate(ref position, 0), y = TakeCoordinate(ref position, 1), z = TakeCoordinate(ref position, 2);
        heartbeat = new HeartbeatView { HasPosition = hasPosition, X = x, Y = y, Z = z, DesiredRoom = room };
        return position.IsEmpty;
    }

    /// <summary>Takes a length-delimited field off the front, when it is this one and its length is written as short as it can be.</summary>
    private static bool TryTake(scoped ref ReadOnlySpan<byte> bytes, byte tag, out ReadOnlySpan<byte> content)
    {
        content = default;
        if (bytes.Length < 2 || bytes[0] != tag)
            return false;
        int length = bytes[1], header = 2;
        if (length >= 0x80)
        {
            // Two digits carry up to 16383 bytes, the largest that fits a message.
            if (bytes.Length < 3 || bytes[2] is 0 or >= 0x80)
                return false;
            length = (length & 0x7F) | (bytes[2] << 7);
            header = 3;
        }
        if (bytes.Length - header < length)
            return false;
        content = bytes.Slice(header, length);
        bytes = bytes[(header + length)..];
        return true;
    }

    /// <summary>A coordinate that is zero is not written; one that is written as zero stays in place, and the form is not canonical.</summary>
    private static float TakeCoordinate(ref ReadOnlySpan<byte> bytes, int index)
    {
        if (bytes.Length < CoordinateSize || bytes[0] != CoordinateTags[index])
            return 0;
        float value = BinaryPrimitives.ReadSingleLittleEndian(bytes[1..]);
        if (value != 0)
            bytes = bytes[CoordinateSize..];
        return value;
    }
}
