using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Protocol;

/// <summary>Encodes <c>ServerPacket</c>s, one a WebSocket message.</summary>
public static class ServerFrames
{
    private static readonly byte[] KickedBytes =
        new ServerPacket { Kicked = new KickedMessage { Reason = KickedReason.KrNewSession } }.ToByteArray();

    /// <summary>"A newer session of your address has taken over", also told to the banned: two bytes, <c>32 00</c>.</summary>
    public static ReadOnlyMemory<byte> Kicked => KickedBytes;

    /// <summary>What the client has to sign, and whether a session of its address exists in this process.</summary>
    public static ReadOnlyMemory<byte> ChallengeResponse(string challenge, bool alreadyConnected) =>
        new ServerPacket
        {
            ChallengeResponse = new ChallengeResponseMessage { ChallengeToSign = challenge, AlreadyConnected = alreadyConnected },
        }.ToByteArray();

    /// <summary>The client is in, under this peer id.</summary>
    public static ReadOnlyMemory<byte> Welcome(string peerId) =>
        new ServerPacket { Welcome = new WelcomeMessage { PeerId = peerId } }.ToByteArray();

    /// <summary>How long the packet of an encoded <c>IslandChangedMessage</c> of this length is.</summary>
    public static int IslandChangedLength(int message) => 1 + Varint.Length((uint)message) + message;

    /// <summary>The id of the island in a packet that <see cref="WriteIslandChanged"/> has written; false when its message does not begin with one.</summary>
    public static bool TryReadIsland(ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> island)
    {
        int header = 1;
        while (header < frame.Length && frame[header] > 0x7F)
            header++;
        island = default;
        return header < frame.Length && IslandChangeWriter.TryReadIsland(frame[(header + 1)..], out island);
    }

    /// <summary>Puts an encoded <c>IslandChangedMessage</c> into its packet without decoding it: field 3, length, the bytes as they came.</summary>
    /// <param name="message">The message.</param>
    /// <param name="frame">Receives <see cref="IslandChangedLength"/> bytes.</param>
    public static void WriteIslandChanged(ReadOnlySpan<byte> message, Span<byte> frame)
    {
        frame[0] = (ServerPacket.IslandChangedFieldNumber << 3) | 2;
        int at = 1 + Varint.Write(frame[1..], (uint)message.Length);
        message.CopyTo(frame[at..]);
    }
}
