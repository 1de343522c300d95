using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Archipelago.Ethereum;

/// <summary>The text by which an authority delegates to a temporary key: a free line, <c>Ephemeral address: …</c>, <c>Expiration: …</c>.</summary>
/// <param name="Address">The temporary key's address as written.</param>
/// <param name="ExpiresAt">When the delegation ends; null when the date could not be read, which counts as long ago.</param>
internal sealed record EphemeralPayload(string Address, DateTimeOffset? ExpiresAt)
{
    private const string AddressLabel = "Ephemeral address: ";
    private const string ExpirationLabel = "Expiration: ";

    /// <summary>The canonical text of a delegation, as clients write it.</summary>
    public static string Format(string address, DateTimeOffset expiresAt) =>
        $"Decentraland Login\n{AddressLabel}{address}\n{ExpirationLabel}{expiresAt.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture)}";

    /// <summary>Reads a text from which carriage returns have been removed. Lines after the third are part of what is signed, and otherwise ignored.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out EphemeralPayload? payload)
    {
        payload = null;
        string[] lines = text.Split('\n', 4);
        if (lines.Length < 3
            || !lines[1].StartsWith(AddressLabel, StringComparison.Ordinal)
            || !lines[2].StartsWith(ExpirationLabel, StringComparison.Ordinal))
            return false;
        payload = new EphemeralPayload(lines[1][AddressLabel.Length..], ParseDate(lines[2].AsSpan(ExpirationLabel.Length)));
        return true;
    }

    /// <summary>ISO 8601 with seconds, an optional fraction, and Z or an offset: what clients send. Other forms that a JavaScript engine may read are not dates here.</summary>
    private static DateTimeOffset? ParseDate(ReadOnlySpan<char> text)
    {
        // The format's K would also take a date without a zone, whose meaning depends on the machine.
        bool zoned = text.Length > 6 && (text[^1] == 'Z' || text[^6] is '+' or '-');
        return zoned && DateTimeOffset.TryParseExact(text, "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset date)
            ? date
            : null;
    }
}
