using System.Text.Json;

namespace Archipelago.Ethereum.Tests;

/// <summary>The verdicts of the reference library on 81 chains, as far as they need no Ethereum node.</summary>
public class AuthChainVectorTests
{
    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors", "auth-chains.json"))).RootElement.GetProperty("vectors");

    public static TheoryData<string> WithoutNode =>
        [.. Vectors.EnumerateArray().Where(v => !NeedsNode(v)).Select(v => v.GetProperty("name").GetString()!)];

    public static TheoryData<string> WithNode =>
        [.. Vectors.EnumerateArray().Where(NeedsNode).Select(v => v.GetProperty("name").GetString()!)];

    private static bool NeedsNode(JsonElement vector) => vector.TryGetProperty("rpc", out JsonElement rpc) && rpc.GetArrayLength() > 0;

    private static JsonElement Find(string name) => Vectors.EnumerateArray().Single(v => v.GetProperty("name").GetString() == name);

    private static AuthChainResult? Validate(JsonElement vector) =>
        AuthChain.TryParse(vector.GetProperty("chain").GetRawText(), out AuthChain? chain)
            ? AuthChainValidator.Validate(chain, vector.GetProperty("authority").GetString()!, vector.GetProperty("now").GetDateTimeOffset())
            : null;

    [Fact]
    public void Nothing_is_left_out() => Assert.Equal(81, WithoutNode.Count + WithNode.Count);

    [Theory]
    [MemberData(nameof(WithoutNode))]
    public void Gives_the_required_verdict(string name)
    {
        JsonElement vector = Find(name);
        AuthChainResult? result = Validate(vector);
        Assert.Equal(vector.GetProperty("schemaValid").GetBoolean(), result is not null);
        JsonElement required = vector.GetProperty("required").GetProperty("ok");
        if (required.ValueKind == JsonValueKind.String)
            return; // "either": an accident of the reference's date parser
        Assert.Equal(required.GetBoolean(), result is { Ok: true });
        if (required.GetBoolean())
            Assert.Equal(vector.GetProperty("address").GetString(), result!.Value.Address);
    }

    [Theory]
    [InlineData("expired ephemeral", AuthChainError.EphemeralExpired)]
    [InlineData("final link signed by another key", AuthChainError.SignerMismatch)]
    [InlineData("valid signatures over a different challenge", AuthChainError.FinalAuthorityMismatch)]
    [InlineData("second SIGNER link", AuthChainError.MalformedOrder)]
    [InlineData("only a SIGNER link whose payload is the challenge", AuthChainError.MalformedOrder)]
    [InlineData("truncated signature (64 bytes)", AuthChainError.SignatureFormat)]
    [InlineData("empty signature on a signed link", AuthChainError.SignatureMissing)]
    [InlineData("ephemeral payload with one line", AuthChainError.PayloadFormat)]
    [InlineData("contract wallet without a provider", AuthChainError.NoProvider)]
    public void Says_why(string name, AuthChainError error) => Assert.Equal(error, Validate(Find(name))!.Value.Error);

    [Theory]
    [MemberData(nameof(WithNode))]
    public void Contract_wallets_are_refused_while_there_is_no_node_to_ask(string name) => Assert.False(Validate(Find(name))!.Value.Ok);

    [Fact]
    public void A_chain_of_nine_links_is_refused()
    {
        const string Link = """{"type":"ECDSA_SIGNED_ENTITY","payload":"x","signature":"0x"}""";
        string chain = $$"""[{"type":"SIGNER","payload":"0x0000000000000000000000000000000000000001"},{{string.Join(',', Enumerable.Repeat(Link, 8))}}]""";
        Assert.False(AuthChain.TryParse(chain, out _));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[{\"type\":\"SIGNER\",\"payload\":\"\\ud800\"}]")]
    [InlineData("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[")]
    public void Text_that_is_no_chain_is_refused_without_an_exception(string json) => Assert.False(AuthChain.TryParse(json, out _));
}
