using System.Buffers.Binary;
using System.Text;

namespace Archipelago.Connector;

/// <summary>Why the server closes a socket, as the close frame tells it (RFC 6455, §7.4).</summary>
/// <param name="Code">The status code; 0 for a close frame without one.</param>
/// <param name="Text">A short reason in ASCII; never says why an authentication failed.</param>
internal readonly record struct CloseReason(int Code, string Text)
{
    private const int LongestText = 123;

    public static CloseReason ProtocolError => new(1002, "Protocol error");

    public static CloseReason Undecodable => new(1007, "Cannot decode ClientPacket");

    public static CloseReason NotText => new(1007, "Text that is not UTF-8");

    public static CloseReason UnexpectedPacket => new(1008, "Unexpected packet");

    public static CloseReason BadAddress => new(1008, "Invalid address");

    public static CloseReason NotAllowed => new(1008, "Not allowed");

    public static CloseReason BadAuthentication => new(1008, "Authentication failed");

    public static CloseReason HandshakeTimeout => new(1008, "Handshake timeout");

    public static CloseReason NewSession => new(1008, "Replaced by a new session");

    public static CloseReason TooSlow => new(1008, "Reads too slowly");

    public static CloseReason TooBig => new(1009, "Message too big");

    public static CloseReason InternalError => new(1011, "Internal error");

    public static CloseReason Restart => new(1012, "Server restarts, connect again");

    public static CloseReason Busy => new(1013, "Try again later");

    public static CloseReason Crowded => new(1013, "Too many connections wait, try again later");

    public static CloseReason CoolingDown => new(1013, "A newer session has just begun, try again later");

    public static CloseReason Answer => new(0, "");

    /// <summary>The answer to a client's close frame: the same code, or none where it had none; a code that may not be sent is an error of its own.</summary>
    public static CloseReason AnswerTo(ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty)
            return Answer;
        int code = payload.Length < 2 ? 0 : BinaryPrimitives.ReadUInt16BigEndian(payload);
        bool known = code is (>= 1000 and <= 1003) or (>= 1007 and <= 1014) or (>= 3000 and <= 4999);
        return known && System.Text.Unicode.Utf8.IsValid(payload[2..]) ? new CloseReason(code, "") : ProtocolError;
    }

    /// <summary>The whole close frame.</summary>
    public byte[] ToFrame()
    {
        if (Code == 0)
            return [0x80 | (byte)FrameKind.Close, 0];
        string text = Text.Length <= LongestText ? Text : Text[..LongestText];
        return [0x80 | (byte)FrameKind.Close, (byte)(2 + text.Length), (byte)(Code >> 8), (byte)Code, .. Encoding.ASCII.GetBytes(text)];
    }
}
