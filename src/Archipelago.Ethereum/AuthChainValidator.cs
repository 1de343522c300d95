namespace Archipelago.Ethereum;

/// <summary>Why a chain was refused; for logs and metrics, never told to the client.</summary>
public enum AuthChainError
{
    /// <summary>It was not refused.</summary>
    None,

    /// <summary>Not exactly the first link names a signer, the signer is no address, or the last link signs no text.</summary>
    MalformedOrder,

    /// <summary>A signed link without signature.</summary>
    SignatureMissing,

    /// <summary>A signature that is not <c>0x</c> and 130 hexadecimal digits, whose numbers are out of range, or that fits no key.</summary>
    SignatureFormat,

    /// <summary>The signature is by somebody else.</summary>
    SignerMismatch,

    /// <summary>A delegation without its labelled lines.</summary>
    PayloadFormat,

    /// <summary>A delegation whose time is over, or has no readable end.</summary>
    EphemeralExpired,

    /// <summary>The chain is sound but signs another text.</summary>
    FinalAuthorityMismatch,

    /// <summary>A contract wallet has to be asked, and there is no Ethereum node to ask.</summary>
    NoProvider,
}

/// <summary>The outcome of a validation.</summary>
/// <param name="Address">Who signed, in lower case; null when the chain was refused.</param>
/// <param name="Error">Why it was refused.</param>
public readonly record struct AuthChainResult(string? Address, AuthChainError Error)
{
    /// <summary>True when the chain is good.</summary>
    public bool Ok => Error == AuthChainError.None;

    internal static AuthChainResult Refused(AuthChainError error) => new(null, error);
}

/// <summary>
/// Decides whether a chain of signatures leads from an address to a text (Decentraland's AuthChain, ADR-44), as the reference library does, and
/// stricter where that is lenient: the first payload is an address, something is signed and the last link signs the text, labels are exact, the
/// recovery byte is 0, 1, 27 or 28, hexadecimal digits come in pairs. Pure; may be called from any thread.
/// </summary>
public static class AuthChainValidator
{
    /// <summary>Walks the chain: each link is checked against the authority that the one before has named, and names the next.</summary>
    /// <param name="chain">The chain.</param>
    /// <param name="finalAuthority">The text that must end up signed, compared exactly.</param>
    /// <param name="now">The time that delegations must outlive.</param>
    public static AuthChainResult Validate(AuthChain chain, string finalAuthority, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(chain);
        if (!IsInOrder(chain))
            return AuthChainResult.Refused(AuthChainError.MalformedOrder);

        string authority = chain.Links[0].Payload;
        foreach (AuthLink link in chain.Links.Skip(1))
        {
            AuthChainError error = Check(link, authority, now, out string next);
            if (error != AuthChainError.None)
                return AuthChainResult.Refused(error);
            authority = next;
        }
        return authority == finalAuthority
            ? new AuthChainResult(chain.Claimed, AuthChainError.None)
            : AuthChainResult.Refused(AuthChainError.FinalAuthorityMismatch);
    }

    private static bool IsInOrder(AuthChain chain) =>
        EthereumAddress.IsAddress(chain.Links[0].Payload)
        && chain.Links[0].Type == AuthLinkType.Signer
        && chain.Links.Count > 1
        && chain.Links.Skip(1).All(l => l.Type != AuthLinkType.Signer)
        && chain.Links[^1].Type is AuthLinkType.SignedEntity or AuthLinkType.ContractSignedEntity;

    private static AuthChainError Check(AuthLink link, string authority, DateTimeOffset now, out string next)
    {
        next = link.Payload;
        string signed = link.Payload;
        if (link.Type is AuthLinkType.Ephemeral or AuthLinkType.ContractEphemeral)
        {
            signed = link.Payload.Replace("\r", "", StringComparison.Ordinal);
            if (!EphemeralPayload.TryParse(signed, out EphemeralPayload? delegation))
                return AuthChainError.PayloadFormat;
            if (delegation.ExpiresAt is not { } end || end <= now)
                return AuthChainError.EphemeralExpired;
            next = delegation.Address;
        }
        if (link.Signature.Length == 0)
            return AuthChainError.SignatureMissing;
        return link.Type is AuthLinkType.ContractEphemeral or AuthLinkType.ContractSignedEntity
            ? AuthChainError.NoProvider
            : CheckSignature(link.Signature, signed, authority);
    }

    private static AuthChainError CheckSignature(string signature, string signed, string authority)
    {
        Span<byte> bytes = stackalloc byte[PersonalMessage.SignatureSize];
        if (!TryDecodeHex(signature, bytes) || !PersonalMessage.TryRecover(signed, bytes, out string signer))
            return AuthChainError.SignatureFormat;
        return string.Equals(signer, authority.ToLowerInvariant(), StringComparison.Ordinal)
            ? AuthChainError.None
            : AuthChainError.SignerMismatch;
    }

    private static bool TryDecodeHex(string text, Span<byte> bytes) =>
        text.Length == 2 + (2 * bytes.Length)
        && text.StartsWith("0x", StringComparison.Ordinal)
        && Convert.FromHexString(text.AsSpan(2), bytes, out _, out _) == System.Buffers.OperationStatus.Done;
}
