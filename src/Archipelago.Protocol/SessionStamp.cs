using System.Buffers.Text;
using System.Globalization;

namespace Archipelago.Protocol;

/// <summary>
/// Which session it is, of all sessions of all Connectors: when it began, and chance. It stands in the header <see cref="Subjects.SessionHeader"/>. Ordered: a session that
/// began in the knowledge of another is the later one, and of two that knew nothing of each other everybody takes the same one for it.
/// </summary>
/// <param name="Began">Milliseconds since 1970 by a hybrid logical clock.</param>
/// <param name="Chance">Tells apart what began at once.</param>
public readonly record struct SessionStamp(long Began, ulong Chance) : IComparable<SessionStamp>
{
    /// <inheritdoc/>
    public int CompareTo(SessionStamp other) => Began != other.Began ? Began.CompareTo(other.Began) : Chance.CompareTo(other.Chance);

    /// <summary>The header's value.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Began}-{Chance:x16}");

    /// <summary>Reads a header's value. Allocates nothing.</summary>
    /// <returns>False when it is none that <see cref="ToString"/> would write, leading zeros apart.</returns>
    public static bool TryParse(ReadOnlySpan<byte> text, out SessionStamp stamp)
    {
        stamp = default;
        if (!Utf8Parser.TryParse(text, out long began, out int length) || length >= text.Length || text[length] != '-'
            || !Utf8Parser.TryParse(text[(length + 1)..], out ulong chance, out int digits, 'x') || length + 1 + digits != text.Length)
            return false;
        stamp = new SessionStamp(began, chance);
        return true;
    }
}
