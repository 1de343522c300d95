using System.Text;

namespace Archipelago.Nats.Internals;

/// <summary>Base 32 without padding (RFC 4648 §6).</summary>
internal static class Base32
{
    private const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    /// <exception cref="FormatException">A character is not of the alphabet.</exception>
    public static byte[] Decode(string text)
    {
        byte[] bytes = new byte[text.Length * 5 / 8];
        int held = 0, bits = 0, n = 0;
        foreach (char c in text)
        {
            int value = Alphabet.IndexOf(c, StringComparison.Ordinal);
            if (value < 0)
                throw new FormatException("A NATS key is written in capitals and the digits 2 to 7.");
            held = (held << 5) | value;
            bits += 5;
            if (bits < 8)
                continue;
            bits -= 8;
            bytes[n++] = (byte)(held >> bits);
            held &= (1 << bits) - 1;
        }
        return bytes;
    }

    public static string Encode(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder((bytes.Length * 8 / 5) + 1);
        int held = 0, bits = 0;
        foreach (byte b in bytes)
        {
            held = (held << 8) | b;
            for (bits += 8; bits >= 5;)
            {
                bits -= 5;
                text.Append(Alphabet[held >> bits]);
                held &= (1 << bits) - 1;
            }
        }
        return bits > 0 ? text.Append(Alphabet[held << (5 - bits)]).ToString() : text.ToString();
    }
}
