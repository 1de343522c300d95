using Archipelago.Testing;
using Microsoft.AspNetCore.Http;

namespace Archipelago.RealmProvider.Tests;

/// <summary>What is written of the interface is what it does.</summary>
public class DescriptionTests
{
    [Fact]
    public async Task The_description_and_the_examples_are_true()
    {
        await using StubServer content = await StubServer.StartAsync(c => c.Response.WriteAsync(
            """[{"id":"bafy1","metadata":{"display":{"title":"Plaza","navmapThumbnail":"https://example.org/plaza.png"},"scene":{"base":"0,0","parcels":["0,0","0,1"]}}}]"""));
        await using StubServer catalyst = await StubServer.StartAsync(c => c.Response.WriteAsync(c.Request.Path == "/about"
            ? """
              {"healthy":true,"acceptingUsers":true,"configurations":{"networkId":1,"globalScenesUrn":[],"scenesUrn":[],"realmName":"hela"},
               "content":{"healthy":true,"version":"6.0.0","publicUrl":"https://example.org/content/","synchronizationStatus":"Synced"},
               "lambdas":{"healthy":true,"version":"6.0.0","publicUrl":"https://example.org/lambdas/"},"comms":{"healthy":true,"protocol":"v3","usersCount":4}}
              """
            : """{"parcels":[{"peersCount":1,"parcel":{"x":0,"y":1}}]}"""));
        await using StubServer comms = await StubServer.StartAsync(c => c.Response.WriteAsync(c.Request.Path.Value switch
        {
            "/core-status" => """{"healthy":true,"userCount":2}""",
            "/parcels" => """{"parcels":[{"peersCount":2,"parcel":{"x":0,"y":0}}]}""",
            _ => """{"version":"1.2.3","currentTime":1,"commitHash":"0c0ffee"}""",
        }));
        await using RunningHost host = await RunningHost.StartAsync(
            RealmProviderHost.Build,
            new()
            {
                ["CATALYST_URLS"] = catalyst.Url, ["CONTENT_URL"] = content.Url, ["ARCHIPELAGO_STATS_URL"] = comms.Url, ["ARCHIPELAGO_WS_CONNECTOR_URL"] = comms.Url,
                ["HTTP_BASE_URL"] = "https://realm.example.org", ["CURRENT_VERSION"] = "1.2.3", ["COMMIT_HASH"] = "0c0ffee",
                // A busy machine may take its time.
                ["PROBE_TIMEOUT_MS"] = "60000", ["CONTENT_TIMEOUT_MS"] = "60000",
            },
            new ManualClock());
        await Eventually.TrueAsync(async () => (await host.GetAsync("/main/about")).Contains("\"usersCount\":2", StringComparison.Ordinal));
        await Description.AssertExamplesAsync(host, "RealmProvider", answer => answer
            .Replace(catalyst.Url, "https://catalyst.example.org", StringComparison.Ordinal)
            .Replace("ws" + comms.Url[4..], "wss://connector.example.org", StringComparison.Ordinal));
        await Description.AssertOpenApiAsync(host, "realm-provider.json");
    }
}
