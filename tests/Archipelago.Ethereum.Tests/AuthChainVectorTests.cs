using System.Text.Json;

namespace Archipelago.Ethereum.Tests;

/// <summary>The verdicts of the reference library on 81 chains, those of contract wallets with the answers that it got from its Ethereum node.</summary>
public class AuthChainVectorTests
{
    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors", "auth-chains.json"))).RootElement.GetProperty("vectors");

    public static TheoryData<string> Names => [.. Vectors.EnumerateArray().Select(v => v.GetProperty("name").GetString()!)];

    private static JsonElement Find(string name) => Vectors.EnumerateArray().Single(v => v.GetProperty("name").GetString() == name);

    private static bool NeedsNode(JsonElement vector) => vector.TryGetProperty("rpc", out JsonElement rpc) && rpc.GetArrayLength() > 0;

    private static async Task<AuthChainResult?> ValidateAsync(JsonElement vector, AuthChainValidator? validator = null)
    {
        using EthereumNode? node = NeedsNode(vector) ? new RecordedNode(vector.GetProperty("rpc")).Open() : null;
        return AuthChain.TryParse(vector.GetProperty("chain").GetRawText(), out AuthChain? chain)
            ? await (validator ?? new AuthChainValidator(node)).ValidateAsync(chain, vector.GetProperty("authority").GetString()!, vector.GetProperty("now").GetDateTimeOffset())
            : null;
    }

    [Fact]
    public void Nothing_is_left_out() => Assert.Equal(81, Names.Count);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Gives_the_required_verdict(string name)
    {
        JsonElement vector = Find(name);
        AuthChainResult? result = await ValidateAsync(vector);
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
    [InlineData("contract wallet ephemeral, rejected", AuthChainError.ContractRejected)]
    public async Task Says_why(string name, AuthChainError error) => Assert.Equal(error, (await ValidateAsync(Find(name)))!.Value.Error);

    [Fact]
    public async Task The_device_is_the_sessions_key_and_without_one_the_owner_is()
    {
        using EthereumKey owner = EthereumKey.Create();
        DateTimeOffset now = DateTimeOffset.UnixEpoch;
        using var device = new EphemeralIdentity(owner, now.AddHours(1));
        Assert.True(AuthChain.TryParse(device.SignChain("text"), out AuthChain? chain));
        AuthChainResult result = await new AuthChainValidator().ValidateAsync(chain, "text", now);
        string delegated = chain.Links[1].Payload.Split('\n')[1]["Ephemeral address: ".Length..];
        Assert.Equal((owner.Address, delegated), (result.Address, result.SessionKey));

        string plain = $$"""[{"type":"SIGNER","payload":"{{owner.Address}}"},{"type":"ECDSA_SIGNED_ENTITY","payload":"text","signature":"{{owner.Sign("text")}}"}]""";
        Assert.True(AuthChain.TryParse(plain, out chain));
        Assert.Equal(owner.Address, (await new AuthChainValidator().ValidateAsync(chain, "text", now)).SessionKey);
    }

    [Fact]
    public async Task A_delegation_that_is_known_costs_no_recovery_but_still_has_to_be_in_time_and_the_same()
    {
        int recovered = 0;
        using var cache = new DelegationCache(100);
        var validator = new AuthChainValidator(null, cache, (text, signature, _) =>
        {
            recovered++;
            return new(PersonalMessage.TryRecover(text, signature.Span, out string signer) ? signer : null);
        });
        using EthereumKey owner = EthereumKey.Create(), other = EthereumKey.Create();
        DateTimeOffset now = DateTimeOffset.UnixEpoch;
        using var device = new EphemeralIdentity(owner, now.AddHours(1));
        async Task<AuthChainError> TryAsync(string json, DateTimeOffset at) =>
            AuthChain.TryParse(json, out AuthChain? chain) ? (await validator.ValidateAsync(chain, "text", at)).Error : throw new InvalidOperationException(json);

        string good = device.SignChain("text");
        Assert.Equal(AuthChainError.None, await TryAsync(good, now));
        Assert.Equal(2, recovered);
        Assert.Equal(AuthChainError.None, await TryAsync(good, now));
        Assert.Equal(3, recovered);
        Assert.Equal(AuthChainError.EphemeralExpired, await TryAsync(good, now.AddHours(1)));
        // Somebody else's name in front of it, or another end: not what was signed.
        Assert.Equal(AuthChainError.SignerMismatch, await TryAsync(good.Replace(owner.Address, other.Address, StringComparison.Ordinal), now));
        Assert.Equal(AuthChainError.SignerMismatch, await TryAsync(good.Replace("1970-01-01T01", "1970-01-01T09", StringComparison.Ordinal), now));
        Assert.Equal(1, cache.Count);
        Assert.Equal((1, 3), (cache.Hits, cache.Misses));
    }

    [Fact]
    public async Task However_many_delegations_are_made_so_many_are_remembered_and_no_more()
    {
        using var cache = new DelegationCache(10);
        for (int i = 0; i < 1000; i++)
            cache.Add("a", $"{i}", "s");
        for (int i = 0; i < 100 && cache.Count > 10; i++)
            await Task.Yield();
        Assert.InRange(cache.Count, 1, 10);
    }

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
