namespace Archipelago.Connector;

/// <summary>Why the server closes a socket, as the close frame tells it (RFC 6455, §7.4).</summary>
/// <param name="Code">The status code.</param>
/// <param name="Text">A short reason in ASCII; never says why an authentication failed.</param>
internal readonly record struct CloseReason(int Code, string Text)
{
    public static CloseReason Undecodable => new(1007, "Cannot decode ClientPacket");

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

    public static CloseReason Answer => new(1000, "");
}
