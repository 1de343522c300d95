namespace Archipelago.Protocol;

/// <summary>
/// The text form of an island's number: a prefix and the number in base 36, lower case, without padding: <c>I1</c> … <c>I9</c>, <c>Ia</c> … <c>Iz</c>, <c>I10</c>.
/// </summary>
/// <param name="prefix">What ids begin with; empty means <c>I</c>.</param>
public sealed class IslandNames(string? prefix)
{
    private const string Digits = "0123456789abcdefghijklmnopqrstuvwxyz";

    /// <summary>What every id begins with.</summary>
    public string Prefix { get; } = string.IsNullOrEmpty(prefix) ? "I" : prefix;

    /// <summary>The id of an island.</summary>
    /// <param name="number">The number, at least 1.</param>
    public string Format(long number)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(number);
        Span<char> digits = stackalloc char[13];
        int at = digits.Length;
        for (; number > 0; number /= 36)
            digits[--at] = Digits[(int)(number % 36)];
        return string.Concat(Prefix, digits[at..]);
    }

    /// <summary>The number behind an id.</summary>
    /// <returns>False when the text is no id that <see cref="Format"/> gives.</returns>
    public bool TryParse(ReadOnlySpan<char> id, out long number)
    {
        number = 0;
        if (!id.StartsWith(Prefix, StringComparison.Ordinal))
            return false;
        ReadOnlySpan<char> digits = id[Prefix.Length..];
        if (digits.IsEmpty || digits.Length > 12 || digits[0] == '0')
            return false;
        foreach (char c in digits)
        {
            int digit = Digits.IndexOf(c, StringComparison.Ordinal);
            if (digit < 0)
                return false;
            number = (number * 36) + digit;
        }
        return true;
    }
}
