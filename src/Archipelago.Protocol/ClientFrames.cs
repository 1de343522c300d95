using System.Diagnostics.CodeAnalysis;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Protocol;

/// <summary>Decodes what clients and the bus send. Unknown fields are skipped and not kept; bytes that do not decode are reported, never thrown.</summary>
public static class ClientFrames
{
    private static readonly MessageParser<ClientPacket> Packets = ClientPacket.Parser.WithDiscardUnknownFields(true);
    private static readonly MessageParser<Heartbeat> Heartbeats = Heartbeat.Parser.WithDiscardUnknownFields(true);

    /// <summary>Decodes one WebSocket message. An empty message is a packet with nothing in it.</summary>
    /// <returns>False when the bytes are no <c>ClientPacket</c>.</returns>
    public static bool TryDecode(ReadOnlySpan<byte> frame, [NotNullWhen(true)] out ClientPacket? packet) => TryParse(Packets, frame, out packet);

    /// <summary>Decodes the payload of a heartbeat on the bus.</summary>
    /// <returns>False when the bytes are no <c>Heartbeat</c>.</returns>
    public static bool TryDecodeHeartbeat(ReadOnlySpan<byte> payload, [NotNullWhen(true)] out Heartbeat? heartbeat) => TryParse(Heartbeats, payload, out heartbeat);

    /// <summary>True when no coordinate is NaN or infinite.</summary>
    public static bool IsFinite(Position position)
    {
        ArgumentNullException.ThrowIfNull(position);
        return float.IsFinite(position.X) && float.IsFinite(position.Y) && float.IsFinite(position.Z);
    }

    /// <summary>Decodes a message of any type, bytes that do not decode being an answer and not an exception.</summary>
    public static bool TryParse<T>(MessageParser<T> parser, ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out T? message)
        where T : class, IMessage<T>
    {
        ArgumentNullException.ThrowIfNull(parser);
        try
        {
            message = parser.ParseFrom(bytes);
            return true;
        }
        catch (InvalidProtocolBufferException)
        {
            message = null;
            return false;
        }
    }
}
