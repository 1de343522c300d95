using System.Text.Json.Nodes;
using Archipelago.Cli;
using Archipelago.Ethereum;

namespace Interop.Tests;

/// <summary>A realm that the reference JavaScript libraries drive from a process of their own.</summary>
public sealed class RealmFixture : IAsyncLifetime
{
    private const string Secret = "a-secret-of-more-than-thirty-two-characters";
    private Realm realm = null!;

    public async Task InitializeAsync()
    {
        var values = new Dictionary<string, string>
        {
            ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "0.2", ["LIVEKIT_API_KEY"] = "interop", ["LIVEKIT_API_SECRET"] = Secret, ["LIVEKIT_HOST"] = "wss://livekit.example.org",
        };
        foreach (string scope in (string[])["SERVICE", "CONNECTOR", "STATS", "REALM_PROVIDER"])
            values[scope + "__HTTP_SERVER_PORT"] = "0";
        realm = await Realm.StartAsync([values]);
    }

    public Task DisposeAsync() => realm.DisposeAsync().AsTask();

    /// <summary>Plays one scenario; fails with what it wrote when an assertion there fails.</summary>
    public Task PlayAsync(string scenario, JsonObject? more = null)
    {
        JsonObject description = more ?? [];
        description["ws"] = realm.WebSocket.ToString();
        description["stats"] = realm.Stats.ToString();
        description["provider"] = realm.RealmProvider.ToString();
        description["livekitKey"] = "interop";
        description["livekitSecret"] = Secret;
        return Scenario.PlayAsync("scenarios.mjs", scenario, description);
    }
}

public class ReferenceClientTests(RealmFixture realm) : IClassFixture<RealmFixture>
{
    [Theory]
    [InlineData("two people meet")]
    [InlineData("a wrong signature is refused")]
    [InlineData("a second session ends the first")]
    [InlineData("claiming one address and signing with another welcomes the signer")]
    [InlineData("noise is closed with a code that the wire allows")]
    [InlineData("the first protocol offered is selected, and compression is not")]
    public Task Reference_clients_find_what_they_know(string scenario) => realm.PlayAsync(scenario);

    [Fact]
    public async Task The_reference_library_accepts_our_own_chains()
    {
        using EthereumKey owner = EthereumKey.Create();
        using var identity = new EphemeralIdentity(owner, TimeProvider.System.GetUtcNow().AddMinutes(5));
        await realm.PlayAsync("the reference library accepts our own chains", new JsonObject { ["text"] = "dcl-text", ["chain"] = JsonNode.Parse(identity.SignChain("dcl-text")) });
    }
}
