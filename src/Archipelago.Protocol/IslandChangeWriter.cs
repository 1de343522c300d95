using System.Buffers;
using System.Buffers.Binary;

namespace Archipelago.Protocol;

/// <summary>
/// Writes <c>IslandChangedMessage</c> in parts: the <c>peers</c> field, which all who come to an island share, apart from the fields of each. Fields may
/// follow one another in any order (protobuf encoding guide), so a message is the one behind the other. The bytes of each part are those that the
/// generated classes write. Allocates nothing but what the destination does.
/// </summary>
public static class IslandChangeWriter
{
    private const byte IslandTag = 0x0A, ConnectionTag = 0x12, FromTag = 0x1A, PeerTag = 0x22, KeyTag = 0x0A, ValueTag = 0x12;
    private const byte XTag = 0x0D, YTag = 0x15, ZTag = 0x1D;

    /// <summary>Cuts the id of the island out of an <c>IslandChangedMessage</c>; every encoder at hand writes it first.</summary>
    /// <returns>False when the bytes do not begin with an id of at most 127 bytes.</returns>
    public static bool TryReadIsland(ReadOnlySpan<byte> message, out ReadOnlySpan<byte> island)
    {
        island = default;
        if (message.Length < 2 || message[0] != IslandTag || message[1] > 0x7F || message.Length < 2 + message[1])
            return false;
        island = message.Slice(2, message[1]);
        return true;
    }

    /// <summary>Writes the fields of one receiver.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="island">The id of the island, in UTF-8.</param>
    /// <param name="connection">The connection string, in UTF-8.</param>
    /// <param name="from">The id of the island that the peer comes from; empty for none.</param>
    public static void WriteChange(IBufferWriter<byte> to, ReadOnlySpan<byte> island, ReadOnlySpan<byte> connection, ReadOnlySpan<byte> from)
    {
        ArgumentNullException.ThrowIfNull(to);
        WriteField(to, IslandTag, island);
        WriteField(to, ConnectionTag, connection);
        if (!from.IsEmpty)
            WriteField(to, FromTag, from);
    }

    /// <summary>Writes one entry of the <c>peers</c> field.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="address">The peer, in UTF-8.</param>
    /// <param name="x">East.</param>
    /// <param name="y">Up.</param>
    /// <param name="z">North.</param>
    public static void WritePeer(IBufferWriter<byte> to, ReadOnlySpan<byte> address, float x, float y, float z)
    {
        ArgumentNullException.ThrowIfNull(to);
        int position = (IsDefault(x) ? 0 : 5) + (IsDefault(y) ? 0 : 5) + (IsDefault(z) ? 0 : 5);
        int entry = 1 + Varint.Length((uint)address.Length) + address.Length + 2 + position;
        Span<byte> span = to.GetSpan(1 + Varint.Length((uint)entry) + entry);
        int at = 0;
        span[at++] = PeerTag;
        at += Varint.Write(span[at..], (uint)entry);
        span[at++] = KeyTag;
        at += Varint.Write(span[at..], (uint)address.Length);
        address.CopyTo(span[at..]);
        at += address.Length;
        span[at++] = ValueTag;
        span[at++] = (byte)position;
        WriteCoordinate(span, XTag, x, ref at);
        WriteCoordinate(span, YTag, y, ref at);
        WriteCoordinate(span, ZTag, z, ref at);
        to.Advance(at);
    }

    /// <summary>A field that has its default value is not written.</summary>
    private static bool IsDefault(float value) => value == 0;

    private static void WriteCoordinate(Span<byte> to, byte tag, float value, ref int at)
    {
        if (IsDefault(value))
            return;
        to[at] = tag;
        BinaryPrimitives.WriteSingleLittleEndian(to[(at + 1)..], value);
        at += 5;
    }

    private static void WriteField(IBufferWriter<byte> to, byte tag, ReadOnlySpan<byte> content)
    {
        Span<byte> span = to.GetSpan(1 + Varint.Length((uint)content.Length) + content.Length);
        int at = 0;
        span[at++] = tag;
        at += Varint.Write(span[at..], (uint)content.Length);
        content.CopyTo(span[at..]);
        to.Advance(at + content.Length);
    }
}
