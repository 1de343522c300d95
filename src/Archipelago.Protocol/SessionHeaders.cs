using Archipelago.Messaging;

namespace Archipelago.Protocol;

/// <summary>The header <see cref="Subjects.SessionHeader"/>, by which Connectors tell sessions apart beside a payload that others know. Any thread.</summary>
public static class SessionHeaders
{
    /// <summary>A header block that names this session.</summary>
    public static byte[] ToHeaders(this SessionStamp stamp) => BusHeaders.Of(Subjects.SessionHeader, stamp.ToString());

    /// <summary>The session that a message names; false when it names none. Allocates nothing.</summary>
    /// <param name="headers">The message's header block.</param>
    /// <param name="stamp">Which session.</param>
    public static bool TryRead(ReadOnlySpan<byte> headers, out SessionStamp stamp)
    {
        stamp = default;
        return BusHeaders.TryGet(headers, Subjects.SessionHeaderUtf8, out ReadOnlySpan<byte> text) && SessionStamp.TryParse(text, out stamp);
    }

    /// <summary>The session that a message names; null when it names none. Allocates nothing.</summary>
    public static SessionStamp? Read(ReadOnlySpan<byte> headers) => TryRead(headers, out SessionStamp stamp) ? stamp : null;
}
