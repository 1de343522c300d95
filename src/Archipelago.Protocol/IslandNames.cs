namespace Archipelago.Protocol;

/// <summary>
/// The text form of an island's number: a prefix and the number in base 36, lower case, without padding: <c>I1</c> … <c>I9</c>, <c>Ia</c> … <c>Iz</c>, <c>I10</c>.
/// </summary>
/// <param name="prefix">What ids begin with; empty means <c>I</c>.</param>
public sealed class IslandNames(string? prefix)
{
    private const int MostDigits = 13;
    private const string Digits = "0123456789abcdefghijklmnopqrstuvwxyz";

    /// <summary>What every id begins with.</summary>
    public string Prefix { get; } = string.IsNullOrEmpty(prefix) ? "I" : prefix;

    private readonly byte[] prefixBytes = System.Text.Encoding.UTF8.GetBytes(string.IsNullOrEmpty(prefix) ? "I" : prefix);

    /// <summary>The most bytes that <see cref="Format(long, Span{byte})"/> writes.</summary>
    public int MaxLength => prefixBytes.Length + MostDigits;

    /// <summary>The id of an island.</summary>
    /// <param name="number">The number, at least 1.</param>
    public string Format(long number)
    {
        Span<byte> text = MaxLength <= 256 ? stackalloc byte[MaxLength] : new byte[MaxLength];
        return System.Text.Encoding.UTF8.GetString(text[..Format(number, text)]);
    }

    /// <summary>Writes the id of an island in UTF-8; allocates nothing.</summary>
    /// <param name="number">The number, at least 1.</param>
    /// <param name="to">At least <see cref="MaxLength"/> bytes.</param>
    /// <returns>How many bytes were written.</returns>
    public int Format(long number, Span<byte> to)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(number);
        int digits = 0;
        for (long rest = number; rest > 0; rest /= 36)
            digits++;
        prefixBytes.CopyTo(to);
        for (int at = prefixBytes.Length + digits; number > 0; number /= 36)
            to[--at] = (byte)Digits[(int)(number % 36)];
        return prefixBytes.Length + digits;
    }

    /// <summary>The number behind an id.</summary>
    /// <returns>False when the text is no id that <see cref="Format(long)"/> gives.</returns>
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
