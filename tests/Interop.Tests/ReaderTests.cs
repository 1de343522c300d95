using System.Text.Json.Nodes;
using Archipelago.Cli;
using Archipelago.Testing;
using Microsoft.AspNetCore.Http;

namespace Interop.Tests;

/// <summary>A realm with people in it, a content server and a catalyst, which programs that are not ours read.</summary>
public sealed class ReaderFixture : IAsyncLifetime
{
    private StubServer content = null!, catalyst = null!;
    private Realm realm = null!;

    public async Task InitializeAsync()
    {
        content = await StubServer.StartAsync(c => c.Response.WriteAsync("""
            [{"id":"bafy1","metadata":{"display":{"title":"Plaza","description":"A square","navmapThumbnail":"https://example.org/plaza.png"},"contact":{"name":"Ann"},
              "scene":{"base":"0,0","parcels":["0,0","0,1"]}}}]
            """));
        catalyst = await StubServer.StartAsync(c => c.Response.WriteAsync(c.Request.Path == "/about"
            ? $$$"""
              {"healthy":true,"acceptingUsers":true,"configurations":{"networkId":1,"globalScenesUrn":[],"scenesUrn":[],"realmName":"hela"},
               "content":{"healthy":true,"version":"6.0.0","publicUrl":"{{{content.Url}}}/","synchronizationStatus":"Synced"},
               "lambdas":{"healthy":true,"version":"6.0.0","publicUrl":"https://example.org/lambdas/"},"comms":{"healthy":true,"protocol":"v3","usersCount":4}}
              """
            : """{"parcels":[{"peersCount":1,"parcel":{"x":0,"y":1}}]}"""));
        var values = new Dictionary<string, string>
        {
            ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "0.2", ["ARCHIPELAGO_STATUS_UPDATE_INTERVAL"] = "200", ["HOT_SCENES_PERIOD_MS"] = "0", ["COMMS_PROBE_INTERVAL_MS"] = "100",
            ["CONTENT_URL"] = content.Url, ["CATALYST_URLS"] = catalyst.Url,
        };
        foreach (string scope in (string[])["SERVICE", "CONNECTOR", "STATS", "REALM_PROVIDER"])
            values[scope + "__HTTP_SERVER_PORT"] = "0";
        realm = await Realm.StartAsync([values]);
    }

    public async Task DisposeAsync()
    {
        await realm.DisposeAsync();
        await catalyst.DisposeAsync();
        await content.DisposeAsync();
    }

    /// <summary>Plays one scenario of <c>js/readers.mjs</c>.</summary>
    public Task PlayAsync(string scenario) => Scenario.PlayAsync("readers.mjs", scenario, new JsonObject
    {
        ["ws"] = realm.WebSocket.ToString(),
        ["stats"] = realm.Stats.ToString(),
        ["provider"] = realm.RealmProvider.ToString(),
        ["content"] = content.Url + "/",
    });
}

public class ReaderTests(ReaderFixture realm) : IClassFixture<ReaderFixture>
{
    [Theory]
    [InlineData("the official catalyst client finds its servers")]
    [InlineData("every answer fits the schemas of the catalyst API")]
    [InlineData("every answer fits the description that the host gives of itself")]
    [InlineData("an event source of another make draws the same picture as the API")]
    public Task Programs_that_are_not_ours_find_what_they_know(string scenario) => realm.PlayAsync(scenario);
}
