using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace Archipelago.Ethereum;

/// <summary>
/// A private key that signs texts, for clients, bots and tests. The arithmetic with the secret is the platform's (<see cref="ECDsa"/>); servers that
/// only verify never need this type. Not safe for several threads at once.
/// </summary>
public sealed class EthereumKey : IDisposable
{
    private readonly ECDsa key;

    private EthereumKey(ECDsa key)
    {
        this.key = key;
        ECPoint point = key.ExportParameters(includePrivateParameters: false).Q;
        Address = EthereumAddress.FromPublicKey([.. point.X!, .. point.Y!]);
    }

    /// <summary>The key's address in lower case.</summary>
    public string Address { get; }

    /// <summary>A new random key.</summary>
    public static EthereumKey Create() => new(ECDsa.Create(Curve));

    private static ECCurve Curve => ECCurve.CreateFromValue("1.3.132.0.10");

    /// <summary>Signs a text as a wallet does (EIP-191); returns <c>0x</c>, r, s and v in hexadecimal.</summary>
    public string Sign(string text)
    {
        byte[] hash = PersonalMessage.Hash(text);
        byte[] signature = [.. key.SignHash(hash, DSASignatureFormat.IeeeP1363FixedFieldConcatenation), 27];
        // The platform does not say which of the two keys that fit the numbers is meant; trying tells.
        if (!PersonalMessage.TryRecover(text, signature, out string signer) || signer != Address)
            signature[64] = 28;
        return "0x" + Convert.ToHexStringLower(signature);
    }

    /// <inheritdoc/>
    public void Dispose() => key.Dispose();
}

/// <summary>
/// What a client keeps after its wallet has signed once: a temporary key, and the delegation that lets it sign for the owner until a date.
/// </summary>
public sealed class EphemeralIdentity : IDisposable
{
    private readonly EthereumKey temporary = EthereumKey.Create();
    private readonly string delegation;
    private readonly string delegationSignature;

    /// <summary>Delegates from the owner's key to a new temporary one.</summary>
    /// <param name="owner">Signs the delegation here, and is not kept.</param>
    /// <param name="expiresAt">When it ends.</param>
    public EphemeralIdentity(EthereumKey owner, DateTimeOffset expiresAt)
    {
        ArgumentNullException.ThrowIfNull(owner);
        Address = owner.Address;
        delegation = EphemeralPayload.Format(temporary.Address, expiresAt);
        delegationSignature = owner.Sign(delegation);
    }

    /// <summary>The owner's address in lower case.</summary>
    public string Address { get; }

    /// <summary>The chain, as JSON, that proves the owner's consent to this text.</summary>
    public string SignChain(string text) => new JsonArray(
        Link("SIGNER", Address, ""),
        Link("ECDSA_EPHEMERAL", delegation, delegationSignature),
        Link("ECDSA_SIGNED_ENTITY", text, temporary.Sign(text))).ToJsonString();

    private static JsonObject Link(string type, string payload, string signature) =>
        new() { ["type"] = type, ["payload"] = payload, ["signature"] = signature };

    /// <inheritdoc/>
    public void Dispose() => temporary.Dispose();
}
