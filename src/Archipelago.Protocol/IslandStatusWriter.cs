using System.Buffers;
using System.Buffers.Binary;

namespace Archipelago.Protocol;

/// <summary>
/// Writes <c>IslandStatusMessage</c> island by island, with the bytes that the generated classes write. Any range of whole islands is a message. Allocates
/// nothing but what the destination does.
/// </summary>
public static class IslandStatusWriter
{
    private const byte DataTag = 0x0A, IdTag = 0x0A, PeerTag = 0x12, MaxPeersTag = 0x18, CenterTag = 0x22, RadiusTag = 0x29, XTag = 0x0D, ZTag = 0x1D;

    /// <summary>Writes one member, for <see cref="WriteIsland"/>.</summary>
    /// <param name="to">Where to: a buffer for the members of one island.</param>
    /// <param name="address">The member, in UTF-8.</param>
    public static void WriteMember(IBufferWriter<byte> to, ReadOnlySpan<byte> address)
    {
        ArgumentNullException.ThrowIfNull(to);
        Span<byte> span = to.GetSpan(1 + Varint.MaxLength + address.Length);
        span[0] = PeerTag;
        int at = 1 + Varint.Write(span[1..], (uint)address.Length);
        address.CopyTo(span[at..]);
        to.Advance(at + address.Length);
    }

    /// <summary>Writes one island.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="id">Its id, in UTF-8.</param>
    /// <param name="members">What <see cref="WriteMember"/> wrote for each member.</param>
    /// <param name="maxPeers">The most members that it may have.</param>
    /// <param name="centerX">Mean x; the height of a centre is 0 and not written.</param>
    /// <param name="centerZ">Mean z.</param>
    /// <param name="radius">Distance of the farthest member from the centre.</param>
    public static void WriteIsland(IBufferWriter<byte> to, ReadOnlySpan<byte> id, ReadOnlySpan<byte> members, uint maxPeers, float centerX, float centerZ, double radius)
    {
        ArgumentNullException.ThrowIfNull(to);
        int center = (centerX == 0 ? 0 : 5) + (centerZ == 0 ? 0 : 5);
        int length = 1 + Varint.Length((uint)id.Length) + id.Length + members.Length + (maxPeers == 0 ? 0 : 1 + Varint.Length(maxPeers)) + 2 + center + (radius == 0 ? 0 : 9);
        Span<byte> span = to.GetSpan(1 + Varint.MaxLength + length);
        span[0] = DataTag;
        int at = 1 + Varint.Write(span[1..], (uint)length);
        span[at++] = IdTag;
        at += Varint.Write(span[at..], (uint)id.Length);
        id.CopyTo(span[at..]);
        at += id.Length;
        members.CopyTo(span[at..]);
        at += members.Length;
        if (maxPeers != 0)
        {
            span[at++] = MaxPeersTag;
            at += Varint.Write(span[at..], maxPeers);
        }
        span[at++] = CenterTag;
        span[at++] = (byte)center;
        at += WriteCoordinate(span[at..], XTag, centerX);
        at += WriteCoordinate(span[at..], ZTag, centerZ);
        if (radius != 0)
        {
            span[at++] = RadiusTag;
            BinaryPrimitives.WriteDoubleLittleEndian(span[at..], radius);
            at += sizeof(double);
        }
        to.Advance(at);
    }

    private static int WriteCoordinate(Span<byte> to, byte tag, float value)
    {
        if (value == 0)
            return 0;
        to[0] = tag;
        BinaryPrimitives.WriteSingleLittleEndian(to[1..], value);
        return 1 + sizeof(float);
    }
}
