using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Connector;

/// <summary>The header by which Connectors tell sessions apart, beside a payload that others know.</summary>
internal static class SessionHeaders
{
    /// <summary>A header block that names this session.</summary>
    public static byte[] ToHeaders(this SessionStamp stamp) => BusHeaders.Of(Subjects.SessionHeader, stamp.ToString());

    /// <summary>The session that a message names; false when it names none.</summary>
    public static bool TryRead(ReadOnlySpan<byte> headers, out SessionStamp stamp)
    {
        stamp = default;
        return BusHeaders.TryGet(headers, Subjects.SessionHeaderUtf8, out ReadOnlySpan<byte> text) && SessionStamp.TryParse(text, out stamp);
    }
}
