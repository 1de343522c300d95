using Archipelago.Ethereum;
using Archipelago.Ethereum.Internals;

namespace Archipelago.Cli.Load;

/// <summary>
/// A person of a load, made from a number, who signs in microseconds: all signatures are made with the same nonce, known to everybody, so that they are as good to verify as
/// any and the keys are worth nothing.
/// </summary>
internal sealed class LoadIdentity
{
    private static readonly UInt256 Nonce = new(0x5EED, 0, 0, 0);
    private static readonly UInt256 NonceInverse = Scalar.Invert(Nonce);
    private static readonly AffinePoint NoncePoint = Secp256k1.PublicKeyOf(Nonce);

    private readonly UInt256 device;
    private readonly string beginning;

    /// <summary>Makes the person of a number, with a delegation that holds for a day.</summary>
    public LoadIdentity(int number, DateTimeOffset now)
    {
        var owner = new UInt256((ulong)number + 1, 0, 0, 1);
        device = new UInt256((ulong)number + 1, 0, 0, 2);
        Address = AddressOf(owner);
        string delegation = EphemeralPayload.Format(AddressOf(device), now.AddDays(1));
        string escaped = delegation.Replace("\n", "\\n", StringComparison.Ordinal);
        beginning = $$"""[{"type":"SIGNER","payload":"{{Address}}","signature":""},{"type":"ECDSA_EPHEMERAL","payload":"{{escaped}}","signature":"{{Sign(owner, delegation)}}"},""";
    }

    public string Address { get; }

    /// <summary>The chain, as JSON, that proves the person's consent to this text.</summary>
    public string SignChain(string text) => $$"""{{beginning}}{"type":"ECDSA_SIGNED_ENTITY","payload":"{{text}}","signature":"{{Sign(device, text)}}"}]""";

    private static string AddressOf(in UInt256 secret)
    {
        AffinePoint point = Secp256k1.PublicKeyOf(secret);
        Span<byte> key = stackalloc byte[64];
        point.X.WriteBigEndian(key);
        point.Y.WriteBigEndian(key[32..]);
        return EthereumAddress.FromPublicKey(key);
    }

    /// <summary>ECDSA (SEC 1, §4.1.3): r is the x of the nonce's point, s = (hash + r·secret) / nonce.</summary>
    private static string Sign(in UInt256 secret, string text)
    {
        UInt256 hash = Scalar.Reduce(UInt256.FromBigEndian(PersonalMessage.Hash(text)));
        UInt256 r = Scalar.Reduce(NoncePoint.X), sum = UInt256.Add(hash, Scalar.Multiply(r, secret), out ulong carry);
        sum = carry == 0 ? Scalar.Reduce(sum) : UInt256.Subtract(sum, Scalar.N, out _);
        Span<byte> signature = stackalloc byte[PersonalMessage.SignatureSize];
        r.WriteBigEndian(signature);
        Scalar.Multiply(sum, NonceInverse).WriteBigEndian(signature[32..]);
        signature[64] = (byte)(NoncePoint.Y.IsOdd ? 28 : 27);
        return "0x" + Convert.ToHexStringLower(signature);
    }
}
