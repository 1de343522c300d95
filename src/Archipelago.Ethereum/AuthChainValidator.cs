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

    /// <summary>The authority of a contract's signature is no address, or its capitals are wrong.</summary>
    ContractAddress,

    /// <summary>The contract does not accept the signature.</summary>
    ContractRejected,

    /// <summary>The Ethereum node gave no proper answer in time, so nobody knows whether the contract accepts the signature.</summary>
    NoAnswer,
}

/// <summary>The outcome of a validation.</summary>
/// <param name="Address">Who signed, in lower case; null when the chain was refused.</param>
/// <param name="Error">Why it was refused.</param>
/// <param name="SessionKey">Which device signed, in lower case: the temporary address of the last delegation, or <paramref name="Address"/> when nothing was delegated.</param>
public readonly record struct AuthChainResult(string? Address, AuthChainError Error, string? SessionKey = null)
{
    /// <summary>True when the chain is good.</summary>
    public bool Ok => Error == AuthChainError.None;

    internal static AuthChainResult Refused(AuthChainError error) => new(null, error);
}

/// <summary>Finds who signed a text; where and when the work is done is up to whoever provides it.</summary>
/// <param name="text">The text.</param>
/// <param name="signature">r, s and v, <see cref="PersonalMessage.SignatureSize"/> bytes.</param>
/// <param name="cancellationToken">Gives up waiting.</param>
/// <returns>The signer's address in lower case; null when the signature fits no key.</returns>
public delegate ValueTask<string?> SignerRecovery(string text, ReadOnlyMemory<byte> signature, CancellationToken cancellationToken);

/// <summary>
/// Decides whether a chain of signatures leads from an address to a text (Decentraland's AuthChain, ADR-44), as the reference library does, and
/// stricter where that is lenient: the first payload is an address, something is signed and the last link signs the text, labels are exact, the
/// recovery byte is 0, 1, 27 or 28, hexadecimal digits come in pairs. May be called from any thread.
/// </summary>
/// <param name="node">Asked about the signatures of contract wallets; without one they are refused. Not disposed here.</param>
/// <param name="delegations">Remembers good delegations; null for nothing.</param>
/// <param name="recover">Does the arithmetic; null does it on the caller's thread.</param>
public sealed class AuthChainValidator(EthereumNode? node = null, DelegationCache? delegations = null, SignerRecovery? recover = null)
{
    private readonly SignerRecovery recover = recover ?? RecoverHere;

    /// <summary>Walks the chain: each link is checked against the authority that the one before has named, and names the next.</summary>
    /// <param name="chain">The chain.</param>
    /// <param name="finalAuthority">The text that must end up signed, compared exactly.</param>
    /// <param name="now">The time that delegations must outlive.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public async ValueTask<AuthChainResult> ValidateAsync(AuthChain chain, string finalAuthority, DateTimeOffset now, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(chain);
        if (!IsInOrder(chain))
            return AuthChainResult.Refused(AuthChainError.MalformedOrder);
        // What the last link signs is known beforehand, and comparing it costs nothing; a chain for another text must cost no signature.
        if (chain.Links[^1].Payload != finalAuthority)
            return AuthChainResult.Refused(AuthChainError.FinalAuthorityMismatch);

        string authority = chain.Links[0].Payload;
        string? delegated = null;
        List<(string Authority, string Signed, string Signature)>? found = null;
        foreach (AuthLink link in chain.Links.Skip(1))
        {
            (AuthChainError error, string next, string signed) = Read(link, now);
            if (error == AuthChainError.None)
                error = await CheckAsync(link, authority, signed, cancellationToken);
            if (error != AuthChainError.None)
                return AuthChainResult.Refused(error);
            if (link.Type == AuthLinkType.Ephemeral)
                (found ??= []).Add((authority.ToLowerInvariant(), signed, link.Signature));
            authority = next;
            if (IsDelegation(link))
                delegated = next.ToLowerInvariant();
        }
        // Only now, or chains that come to nothing would push out those that people come with.
        foreach ((string by, string text, string signature) in found ?? [])
            delegations?.Add(by, text, signature);
        return new AuthChainResult(chain.Claimed, AuthChainError.None, delegated ?? chain.Claimed);
    }

    private static bool IsDelegation(AuthLink link) => link.Type is AuthLinkType.Ephemeral or AuthLinkType.ContractEphemeral;

    private static bool IsInOrder(AuthChain chain) =>
        EthereumAddress.IsAddress(chain.Links[0].Payload)
        && chain.Links[0].Type == AuthLinkType.Signer
        && chain.Links.Count > 1
        && chain.Links.Skip(1).All(l => l.Type != AuthLinkType.Signer)
        && chain.Links[^1].Type is AuthLinkType.SignedEntity or AuthLinkType.ContractSignedEntity;

    /// <summary>What a link names next and what text it signs; a fault when that alone shows that it cannot be good.</summary>
    private static (AuthChainError Error, string Next, string Signed) Read(AuthLink link, DateTimeOffset now)
    {
        (string next, string signed) = (link.Payload, link.Payload);
        if (IsDelegation(link))
        {
            signed = link.Payload.Replace("\r", "", StringComparison.Ordinal);
            if (!EphemeralPayload.TryParse(signed, out EphemeralPayload? delegation))
                return (AuthChainError.PayloadFormat, "", "");
            if (delegation.ExpiresAt is not { } end || end <= now)
                return (AuthChainError.EphemeralExpired, "", "");
            next = delegation.Address;
        }
        return (link.Signature.Length == 0 ? AuthChainError.SignatureMissing : AuthChainError.None, next, signed);
    }

    private ValueTask<AuthChainError> CheckAsync(AuthLink link, string authority, string signed, CancellationToken cancellationToken) =>
        link.Type is AuthLinkType.ContractEphemeral or AuthLinkType.ContractSignedEntity
            ? CheckContractAsync(link.Signature, authority, signed, cancellationToken)
            : CheckSignatureAsync(link, authority.ToLowerInvariant(), signed, cancellationToken);

    private async ValueTask<AuthChainError> CheckSignatureAsync(AuthLink link, string authority, string signed, CancellationToken cancellationToken)
    {
        DelegationCache? memory = IsDelegation(link) ? delegations : null;
        if (memory is not null && memory.Contains(authority, signed, link.Signature))
            return AuthChainError.None;
        if (link.Signature.Length != 2 + (2 * PersonalMessage.SignatureSize) || !TryDecodeHex(link.Signature, prefixed: true, out byte[] signature)
            || await recover(signed, signature, cancellationToken) is not { } signer)
            return AuthChainError.SignatureFormat;
        return string.Equals(signer, authority, StringComparison.Ordinal) ? AuthChainError.None : AuthChainError.SignerMismatch;
    }

    private async ValueTask<AuthChainError> CheckContractAsync(string text, string authority, string signed, CancellationToken cancellationToken)
    {
        if (node is null)
            return AuthChainError.NoProvider;
        if (!ContractWallet.IsAddress(authority))
            return AuthChainError.ContractAddress;
        if (!TryDecodeHex(text, prefixed: false, out byte[] signature))
            return AuthChainError.SignatureFormat;
        return await ContractWallet.AcceptsAsync(node, authority, signed, signature, cancellationToken) switch
        {
            true => AuthChainError.None,
            false => AuthChainError.ContractRejected,
            null => AuthChainError.NoAnswer,
        };
    }

    private static ValueTask<string?> RecoverHere(string text, ReadOnlyMemory<byte> signature, CancellationToken cancellationToken) =>
        new(PersonalMessage.TryRecover(text, signature.Span, out string signer) ? signer : null);

    private static bool TryDecodeHex(string text, bool prefixed, out byte[] bytes)
    {
        bool hasPrefix = text.StartsWith("0x", StringComparison.Ordinal);
        ReadOnlySpan<char> digits = hasPrefix ? text.AsSpan(2) : text;
        bytes = new byte[digits.Length / 2];
        return (hasPrefix || !prefixed) && digits.Length % 2 == 0
            && Convert.FromHexString(digits, bytes, out _, out _) == System.Buffers.OperationStatus.Done;
    }
}
