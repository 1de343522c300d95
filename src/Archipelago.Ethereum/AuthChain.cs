using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace Archipelago.Ethereum;

/// <summary>What a link of a chain says.</summary>
public enum AuthLinkType
{
    /// <summary>Names the first authority.</summary>
    Signer,

    /// <summary>The authority delegates to a temporary key, until a date.</summary>
    Ephemeral,

    /// <summary>The authority signs a text.</summary>
    SignedEntity,

    /// <summary>The same delegation, signed by a contract wallet (EIP-1654).</summary>
    ContractEphemeral,

    /// <summary>A text signed by a contract wallet (EIP-1654).</summary>
    ContractSignedEntity,
}

/// <summary>One link of an <see cref="AuthChain"/>.</summary>
/// <param name="Type">What it says.</param>
/// <param name="Payload">The address, delegation or text that it carries.</param>
/// <param name="Signature">Hexadecimal text; empty where there is none.</param>
public sealed record AuthLink(AuthLinkType Type, string Payload, string Signature);

/// <summary>
/// A chain of signed links from an Ethereum address to a text, as Decentraland's clients send it (ADR-44). Well-formed by construction;
/// whether it is true is what <see cref="AuthChainValidator"/> finds out.
/// </summary>
public sealed class AuthChain
{
    /// <summary>More links than any honest client sends; longer chains are refused.</summary>
    public const int MaxLinks = 8;

    private AuthChain(IReadOnlyList<AuthLink> links) => Links = links;

    /// <summary>The links; at least one.</summary>
    public IReadOnlyList<AuthLink> Links { get; }

    /// <summary>The first link's payload in lower case: the identity that the chain claims.</summary>
    public string Claimed => Links[0].Payload.ToLowerInvariant();

    /// <summary>Reads a chain from JSON. Never throws for what the text holds.</summary>
    /// <returns>False when the text is no JSON, or not of the schema: an array of 1 to 8 objects with a known <c>type</c>, a string <c>payload</c> and, but for the signer, a <c>signature</c>.</returns>
    public static bool TryParse(string json, [NotNullWhen(true)] out AuthChain? chain)
    {
        chain = null;
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return TryRead(document.RootElement, out chain);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            // InvalidOperationException: a string with a lone surrogate, which no text encodes.
            return false;
        }
    }

    private static bool TryRead(JsonElement root, [NotNullWhen(true)] out AuthChain? chain)
    {
        chain = null;
        if (root.ValueKind != JsonValueKind.Array || root.GetArrayLength() is < 1 or > MaxLinks)
            return false;
        var links = new List<AuthLink>(root.GetArrayLength());
        foreach (JsonElement element in root.EnumerateArray())
        {
            if (!TryReadLink(element, out AuthLink? link))
                return false;
            links.Add(link);
        }
        chain = new AuthChain(links);
        return true;
    }

    private static bool TryReadLink(JsonElement element, [NotNullWhen(true)] out AuthLink? link)
    {
        link = null;
        if (element.ValueKind != JsonValueKind.Object
            || !element.TryGetProperty("type", out JsonElement type) || type.ValueKind != JsonValueKind.String
            || !element.TryGetProperty("payload", out JsonElement payload) || payload.ValueKind != JsonValueKind.String
            || TypeOf(type.GetString()!) is not { } known)
            return false;
        bool present = element.TryGetProperty("signature", out JsonElement signature);
        if (present && signature.ValueKind is not (JsonValueKind.String or JsonValueKind.Null))
            return false;
        string text = present ? signature.GetString() ?? "" : "";
        if (known == AuthLinkType.Signer ? text.Length > 0 : !present)
            return false;
        link = new AuthLink(known, payload.GetString()!, text);
        return true;
    }

    private static AuthLinkType? TypeOf(string name) => name switch
    {
        "SIGNER" => AuthLinkType.Signer,
        "ECDSA_EPHEMERAL" => AuthLinkType.Ephemeral,
        "ECDSA_SIGNED_ENTITY" => AuthLinkType.SignedEntity,
        "ECDSA_EIP_1654_EPHEMERAL" => AuthLinkType.ContractEphemeral,
        "ECDSA_EIP_1654_SIGNED_ENTITY" => AuthLinkType.ContractSignedEntity,
        _ => null,
    };
}
