using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Archipelago.Ethereum;

/// <summary>Texts of Ethereum addresses: <c>0x</c> and 40 hexadecimal digits.</summary>
public static class EthereumAddress
{
    /// <summary>True for <c>0x</c> (lower case) and exactly 40 hexadecimal digits of any case.</summary>
    public static bool IsAddress([NotNullWhen(true)] string? text) =>
        text is { Length: 42 } && text.StartsWith("0x", StringComparison.Ordinal) && text.AsSpan(2).IndexOfAnyExcept(HexDigits) < 0;

    internal static readonly System.Buffers.SearchValues<char> HexDigits = System.Buffers.SearchValues.Create("0123456789abcdefABCDEF");

    /// <summary>The lower-case address of an uncompressed public key.</summary>
    /// <param name="publicKey">x and y, 64 bytes.</param>
    public static string FromPublicKey(ReadOnlySpan<byte> publicKey)
    {
        if (publicKey.Length != 64)
            throw new ArgumentException("An uncompressed public key has 64 bytes.", nameof(publicKey));
        Span<byte> hash = stackalloc byte[Keccak256.HashSize];
        Keccak256.Hash(publicKey, hash);
        return "0x" + Convert.ToHexStringLower(hash[12..]);
    }

    /// <summary>The address with the capitals that EIP-55 uses as a checksum.</summary>
    /// <exception cref="ArgumentException">The text is no address.</exception>
    public static string ToChecksum(string address)
    {
        if (!IsAddress(address))
            throw new ArgumentException($"\"{address}\" is no address: 0x and 40 hexadecimal digits.", nameof(address));
        string lower = address[2..].ToLowerInvariant();
        byte[] hash = Keccak256.Hash(Encoding.ASCII.GetBytes(lower));
        return "0x" + string.Create(40, (lower, hash), static (text, state) =>
        {
            for (int i = 0; i < text.Length; i++)
            {
                int nibble = (state.hash[i / 2] >> (i % 2 == 0 ? 4 : 0)) & 15;
                text[i] = nibble >= 8 ? char.ToUpperInvariant(state.lower[i]) : state.lower[i];
            }
        });
    }
}
