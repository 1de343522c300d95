using System.Buffers.Text;
using System.Globalization;
using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Connector;

/// <summary>
/// Which session it is, of all sessions of all Connectors: when it began, and chance. Ordered: a session that began in the knowledge of another is the later one, and of two
/// that knew nothing of each other everybody takes the same one for it.
/// </summary>
/// <param name="Began">Milliseconds since 1970 by a <see cref="SessionClock"/>.</param>
/// <param name="Chance">Tells apart what began at once.</param>
internal readonly record struct SessionStamp(long Began, ulong Chance) : IComparable<SessionStamp>
{
    private static ReadOnlySpan<byte> Header => "Archipelago-Session"u8;

    public int CompareTo(SessionStamp other) => Began != other.Began ? Began.CompareTo(other.Began) : Chance.CompareTo(other.Chance);

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Began}-{Chance:x16}");

    /// <summary>The header that names the session beside a payload that others know.</summary>
    public byte[] ToHeaders() => BusHeaders.Of(Subjects.SessionHeader, ToString());

    /// <summary>The session that a message names; false when it names none.</summary>
    public static bool TryRead(ReadOnlySpan<byte> headers, out SessionStamp stamp)
    {
        stamp = default;
        if (!BusHeaders.TryGet(headers, Header, out ReadOnlySpan<byte> text)
            || !Utf8Parser.TryParse(text, out long began, out int length) || length >= text.Length || text[length] != '-'
            || !Utf8Parser.TryParse(text[(length + 1)..], out ulong chance, out int digits, 'x') || length + 1 + digits != text.Length)
            return false;
        stamp = new SessionStamp(began, chance);
        return true;
    }
}
