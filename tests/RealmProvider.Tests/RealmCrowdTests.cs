using System.Net;
using Archipelago.Testing;
using Microsoft.AspNetCore.Http;

namespace Archipelago.RealmProvider.Tests;

/// <summary>Hot scenes over all realms, by servers of which some are slow or wrong.</summary>
public class RealmCrowdTests
{
    private readonly ManualClock clock = new();

    private static Task<StubServer> CatalystAsync(string realm, Func<HttpContext, Task> parcels) => StubServer.StartAsync(c => c.Request.Path == "/about"
        ? c.Response.WriteAsync($$$"""{"healthy":true,"acceptingUsers":true,"configurations":{"realmName":"{{{realm}}}"}}""")
        : parcels(c));

    private static string Parcels(params (int X, int Y, int Count)[] parcels) =>
        $$"""{"parcels":[{{string.Join(',', parcels.Select(p => $$$"""{"peersCount":{{{p.Count}}},"parcel":{"x":{{{p.X}}},"y":{{{p.Y}}}}}"""))}}]}""";

    private Task<RunningHost> StartAsync(StubServer comms, StubServer content, params StubServer[] catalysts) => RunningHost.StartAsync(
        RealmProviderHost.Build,
        new()
        {
            ["CATALYST_URLS"] = string.Join(',', catalysts.Select(c => c.Url)), ["CONTENT_URL"] = content.Url,
            ["ARCHIPELAGO_STATS_URL"] = comms.Url, ["ARCHIPELAGO_WS_CONNECTOR_URL"] = comms.Url, ["PROBE_TIMEOUT_MS"] = "3000",
        },
        clock);

    [Fact]
    public async Task People_of_all_realms_are_counted_together_and_by_realm()
    {
        string asked = "";
        await using StubServer hela = await CatalystAsync("hela", c => c.Response.WriteAsync(Parcels((0, 0, 2), (0, 1, 1)))),
            odin = await CatalystAsync("odin", c => c.Response.WriteAsync(Parcels((0, 1, 4), (9, 9, 5)))),
            nameless = await CatalystAsync("", c => c.Response.WriteAsync(Parcels((0, 0, 100)))),
            lying = await CatalystAsync("lying", c => c.Response.WriteAsync("""{"parcels":[{"peersCount":-1,"parcel":{"x":0,"y":0}}]}""")),
            wordless = await CatalystAsync("wordless", c => c.Response.WriteAsync("{}")),
            broken = await CatalystAsync("broken", c => c.Response.WriteAsync("nonsense")),
            endless = await CatalystAsync("endless", async c =>
            {
                while (!c.RequestAborted.IsCancellationRequested)
                    await c.Response.WriteAsync(new string(' ', 65536));
            }),
            stuck = await CatalystAsync("stuck", c => Task.Delay(Timeout.Infinite, c.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default));
        await using StubServer comms = await StubServer.StartAsync(c => c.Response.WriteAsync(c.Request.Path == "/parcels"
            ? """{"parcels":[{"peersCount":3,"parcel":{"x":0,"y":0}},{"peersCount":1,"parcel":{"x":null,"y":null}}]}"""
            : """{"healthy":true,"userCount":3}"""));
        await using StubServer content = await StubServer.StartAsync(async c =>
        {
            asked = await new StreamReader(c.Request.Body).ReadToEndAsync();
            await c.Response.WriteAsync("""
                [{"id":"far","metadata":{"scene":{"base":"9,9","parcels":["9,9"]}}},{"id":"none","metadata":{}},
                 {"id":"plaza","metadata":{"display":{"title":"Plaza","navmapThumbnail":"https://p"},"contact":{"name":"Ann"},"scene":{"base":"0,0","parcels":["0,1","0,0"]}}}]
                """);
        });
        await using RunningHost host = await StartAsync(comms, content, hela, odin, nameless, lying, wordless, broken, endless, stuck);
        string plaza = """{"id":"plaza","name":"Plaza","baseCoords":[0,0],"usersTotalCount":10,"realms":[{"serverName":"hela","usersCount":3},{"serverName":"odin","usersCount":4},{"serverName":"main","usersCount":3}],"parcels":[[0,1],[0,0]],"thumbnail":"https://p"}""";
        string far = """{"id":"far","baseCoords":[9,9],"usersTotalCount":5,"realms":[{"serverName":"odin","usersCount":5}],"parcels":[[9,9]]}""";
        Assert.Equal($"[{plaza},{far}]", await host.GetAsync("/hot-scenes"));
        Assert.Equal("""{"pointers":["0,0","0,1","9,9"]}""", asked);
    }

    [Fact]
    public async Task A_realm_that_claims_people_everywhere_floods_nobody_with_questions()
    {
        await using StubServer comms = await StubServer.StartAsync(c => c.Response.WriteAsync("""{"healthy":false}""")),
            content = await StubServer.StartAsync(c => c.Response.WriteAsync("""[{"id":"plaza","metadata":{"scene":{"base":"0,0","parcels":["0,0"]}}}]""")),
            liar = await CatalystAsync("liar", c => c.Response.WriteAsync(Parcels([.. Enumerable.Range(0, 20_000).Select(i => (i, 0, i == 0 ? 9 : 1))])));
        await using RunningHost host = await StartAsync(comms, content, liar);
        Assert.Contains("\"usersTotalCount\":9", await host.GetAsync("/hot-scenes"), StringComparison.Ordinal);
        Assert.Equal(17, content.Requests.Count); // five thousand parcels, three hundred at a time
    }

    [Fact]
    public async Task Without_people_nobody_asks_the_content_server()
    {
        await using StubServer comms = await StubServer.StartAsync(c => c.Response.WriteAsync("""{"healthy":true,"userCount":0,"parcels":[]}""")),
            content = await StubServer.StartAsync(c => c.Response.WriteAsync("[]")), hela = await CatalystAsync("hela", c => c.Response.WriteAsync(Parcels()));
        await using RunningHost host = await StartAsync(comms, content, hela);
        Assert.Equal("[]", await host.GetAsync("/hot-scenes"));
        Assert.Empty(content.Requests);
    }

    [Fact]
    public async Task A_content_server_that_is_away_leaves_the_last_good_answer_or_503()
    {
        int status = 500;
        await using StubServer comms = await StubServer.StartAsync(c => c.Response.WriteAsync("""{"healthy":false}""")), hela = await CatalystAsync("hela", c => c.Response.WriteAsync(Parcels((0, 0, 2)))),
            content = await StubServer.StartAsync(c =>
            {
                c.Response.StatusCode = Volatile.Read(ref status);
                return c.Response.WriteAsync("""[{"id":"plaza","metadata":{"scene":{"base":"0,0","parcels":["0,0"]}}}]""");
            });
        await using RunningHost host = await StartAsync(comms, content, hela);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await host.SendAsync(HttpMethod.Get, "/hot-scenes")).StatusCode);
        Volatile.Write(ref status, 200);
        string good = "";
        await Eventually.TrueAsync(async () =>
        {
            clock.Advance(TimeSpan.FromSeconds(10));
            using HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/hot-scenes");
            good = await response.Content.ReadAsStringAsync();
            return response.IsSuccessStatusCode;
        });
        Assert.StartsWith("[{\"id\":\"plaza\"", good, StringComparison.Ordinal);
        Volatile.Write(ref status, 500);
        clock.Advance(TimeSpan.FromSeconds(11));
        using HttpResponseMessage stale = await host.SendAsync(HttpMethod.Get, "/hot-scenes");
        Assert.Equal((good, TimeSpan.FromSeconds(11)), (await stale.Content.ReadAsStringAsync(), stale.Headers.Age));
    }
}
