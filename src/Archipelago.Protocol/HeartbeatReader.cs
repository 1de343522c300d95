using System.Buffers.Binary;
using System.Text.Unicode;
using Decentraland.Kernel.Comms.V3;

namespace Archipelago.Protocol;

/// <summary>A heartbeat as it lies in the received bytes; valid as long as they are.</summary>
public readonly ref struct HeartbeatView
{
    /// <summary>False when the heartbeat has no position.</summary>
    public bool HasPosition { get; init; }

    /// <summary>East.</summary>
    public float X { get; init; }

    /// <summary>Up.</summary>
    public float Y { get; init; }

    /// <summary>North.</summary>
    public float Z { get; init; }

    /// <summary>The island that the peer would like to be in, in UTF-8; empty for none.</summary>
    public ReadOnlySpan<byte> DesiredRoom { get; init; }
}

/// <summary>
/// Reads heartbeats without making objects of them. What is not the usual form (repeated or unknown fields, other wire types) goes through the generated
/// classes, so that the verdict and the outcome are theirs.
/// </summary>
public static class HeartbeatReader
{
    private const byte PositionTag = 0x0A, RoomTag = 0x12, XTag = 0x0D, YTag = 0x15, ZTag = 0x1D;

    /// <summary>Reads the payload of <c>peer.&lt;address&gt;.heartbeat</c>.</summary>
    /// <returns>False when the bytes are no <c>Heartbeat</c>.</returns>
    public static bool TryRead(ReadOnlySpan<byte> payload, out HeartbeatView heartbeat)
    {
        if (TryReadUsual(payload, out heartbeat))
            return true;
        if (!ClientFrames.TryDecodeHeartbeat(payload, out Heartbeat? decoded))
            return false;
        heartbeat = new HeartbeatView
        {
            HasPosition = decoded.Position is not null,
            X = decoded.Position?.X ?? 0,
            Y = decoded.Position?.Y ?? 0,
            Z = decoded.Position?.Z ?? 0,
            DesiredRoom = System.Text.Encoding.UTF8.GetBytes(decoded.DesiredRoom),
        };
        return true;
    }

    private static bool TryReadUsual(ReadOnlySpan<byte> payload, out HeartbeatView heartbeat)
    {
        heartbeat = default;
        ReadOnlySpan<byte> position = default, room = default;
        bool hasPosition = false;
        while (!payload.IsEmpty)
        {
            // Lengths of one byte only, and each field once.
            if (payload.Length < 2 || payload[1] > 0x7F || payload.Length < 2 + payload[1])
                return false;
            ReadOnlySpan<byte> content = payload.Slice(2, payload[1]);
            switch (payload[0])
            {
                case PositionTag when !hasPosition:
                    position = content;
                    hasPosition = true;
                    break;
                case RoomTag when room.IsEmpty && Utf8.IsValid(content):
                    room = content;
                    break;
                default:
                    return false;
            }
            payload = payload[(2 + content.Length)..];
        }
        if (!TryReadPosition(position, out float x, out float y, out float z))
            return false;
        heartbeat = new HeartbeatView { HasPosition = hasPosition, X = x, Y = y, Z = z, DesiredRoom = room };
        return true;
    }

    private static bool TryReadPosition(ReadOnlySpan<byte> bytes, out float x, out float y, out float z)
    {
        x = y = z = 0;
        for (; bytes.Length >= 5; bytes = bytes[5..])
        {
            float value = BinaryPrimitives.ReadSingleLittleEndian(bytes[1..]);
            switch (bytes[0])
            {
                case XTag:
                    x = value;
                    break;
                case YTag:
                    y = value;
                    break;
                case ZTag:
                    z = value;
                    break;
                default:
                    return false;
            }
        }
        return bytes.IsEmpty;
    }
}
