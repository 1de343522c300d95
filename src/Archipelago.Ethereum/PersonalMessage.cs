using System.Globalization;
using System.Text;

namespace Archipelago.Ethereum;

/// <summary>Signatures of texts as wallets make them (EIP-191, version <c>E</c>, "personal_sign"). All members may be called from any thread.</summary>
public static class PersonalMessage
{
    /// <summary>Bytes of a signature: r, s and v.</summary>
    public const int SignatureSize = 65;

    /// <summary>The hash that gets signed: Keccak-256 of 0x19, <c>Ethereum Signed Message:</c>, a line feed, the byte length in decimal, and the UTF-8 text.</summary>
    public static byte[] Hash(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        byte[] message = Encoding.UTF8.GetBytes(text);
        byte[] prefix = Encoding.ASCII.GetBytes("\u0019Ethereum Signed Message:\n" + message.Length.ToString(CultureInfo.InvariantCulture));
        return Keccak256.Hash([.. prefix, .. message]);
    }

    /// <summary>Finds who signed a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="signature">r, s and v; v is 0, 1, 27 or 28.</param>
    /// <param name="address">The signer's address in lower case.</param>
    /// <returns>False when the signature has another form or fits no key.</returns>
    public static bool TryRecover(string text, ReadOnlySpan<byte> signature, out string address)
    {
        address = "";
        if (signature.Length != SignatureSize)
            return false;
        int recoveryId = signature[64] switch { 0 or 27 => 0, 1 or 28 => 1, _ => -1 };
        Span<byte> key = stackalloc byte[64];
        if (recoveryId < 0 || !Secp256k1.TryRecover(Hash(text), signature[..64], recoveryId, key))
            return false;
        address = EthereumAddress.FromPublicKey(key);
        return true;
    }
}
