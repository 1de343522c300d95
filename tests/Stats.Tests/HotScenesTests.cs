using System.Net;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;

namespace Archipelago.Stats.Tests;

/// <summary>Which scenes have the most people, by a content server that may be slow, wrong or away.</summary>
public class HotScenesTests
{
    private const string Plaza = """
        {"id":"plaza","content":[{"file":"map.png","hash":"Qm1"}],
         "metadata":{"display":{"title":"Plaza","description":"a square","navmapThumbnail":"map.png"},"contact":{"name":"Ann"},"source":{"projectId":"p1"},
         "scene":{"base":"0,0","parcels":["0,0","0,1","0,0"]}}}
        """;

    private const string Field = """{"id":"field","metadata":{"display":{"navmapThumbnail":"https://pictures/x.png"},"scene":{"base":"-1,0","parcels":["-1,0"]}}}""";
    private const string Lake = """{"id":"lake","metadata":{"display":{"title":"Lake","navmapThumbnail":"missing.png"},"scene":{"base":"5,5","parcels":["5,5"]}}}""";

    private const string NoScenes = """{"id":"no scene","metadata":{}},{"metadata":{"scene":{"base":"0,0","parcels":[]}}},7,{"id":"\ud800"},{"id":"odd","metadata":{"display":{"title":"\udc00"},"scene":{"base":"0,0","parcels":["0,0"]}}},DEEP""";

    private readonly ManualClock clock = new();

    private Task<RunningHost> StartAsync(StubServer content, params (string Name, string Value)[] more)
    {
        var values = more.ToDictionary(v => v.Name, v => v.Value);
        values["CONTENT_URL"] = content.Url + "/";
        return RunningHost.StartAsync(StatsHost.Build, values, clock);
    }

    private static ValueTask StandAsync(RunningHost host, string id, float x, float z) =>
        host.Bus.PublishAsync(Subjects.Heartbeat(id), new Heartbeat { Position = new Position { X = x, Z = z } }.ToByteArray());

    private static async Task<string> BodyAsync(HttpContext context) => await new StreamReader(context.Request.Body).ReadToEndAsync();

    [Fact]
    public async Task Scenes_come_with_the_most_people_first_and_nothing_that_they_lack()
    {
        string asked = "";
        await using StubServer content = await StubServer.StartAsync(async c =>
        {
            asked = $"{c.Request.Method} {c.Request.ContentType} {await BodyAsync(c)}";
            string deep = $$$"""{"id":"deep","x":{{{new string('[', 500)}}}{{{new string(']', 500)}}}}""";
            await c.Response.WriteAsync($"[{Lake},{NoScenes.Replace("DEEP", deep, StringComparison.Ordinal)},{Field},{Plaza}]");
        });
        await using RunningHost host = await StartAsync(content);
        Assert.Equal("[]", await host.GetAsync("/hot-scenes"));
        Assert.Empty(content.Requests);

        await StandAsync(host, "0xa", 1, 1);
        await StandAsync(host, "0xb", 1, 17);
        await StandAsync(host, "0xc", -0.5f, 3);
        await StandAsync(host, "0xd", float.NaN, 3);
        string plaza = $$"""{"id":"plaza","name":"Plaza","baseCoords":[0,0],"usersTotalCount":3,"parcels":[[0,0],[0,1],[0,0]],"thumbnail":"{{content.Url}}/contents/Qm1","creator":"Ann","projectId":"p1","description":"a square"}""";
        string field = """{"id":"field","baseCoords":[-1,0],"usersTotalCount":1,"parcels":[[-1,0]],"thumbnail":"https://pictures/x.png"}""";
        string lake = """{"id":"lake","name":"Lake","baseCoords":[5,5],"usersTotalCount":0,"parcels":[[5,5]]}""";
        Assert.Equal($"[{plaza},{field},{lake}]", await host.GetAsync("/hot-scenes"));
        Assert.Equal("""POST application/json {"pointers":["0,0","0,1","-1,0"]}""", asked);
        Assert.Equal(HttpStatusCode.NotFound, (await host.SendAsync(HttpMethod.Get, "/comms/hot-scenes")).StatusCode);
    }

    [Fact]
    public async Task The_content_server_is_asked_once_in_a_period_whoever_asks_us()
    {
        var open = new TaskCompletionSource();
        await using StubServer content = await StubServer.StartAsync(async c =>
        {
            await open.Task;
            await c.Response.WriteAsync($"[{Field}]");
        });
        await using RunningHost host = await StartAsync(content);
        await StandAsync(host, "0xc", -0.5f, 3);
        Task<string>[] together = [.. Enumerable.Range(0, 20).Select(_ => host.GetAsync("/hot-scenes"))];
        await Eventually.TrueAsync(() => content.Requests.Count == 1);
        open.SetResult();
        string first = (await Task.WhenAll(together)).Distinct().Single();
        Assert.Contains("\"usersTotalCount\":1", first, StringComparison.Ordinal);
        clock.Advance(TimeSpan.FromSeconds(9.999));
        await StandAsync(host, "0xd", -0.5f, 3);
        Assert.Equal(first, await host.GetAsync("/hot-scenes"));
        Assert.Single(content.Requests);
        clock.Advance(TimeSpan.FromMilliseconds(1));
        await Eventually.TrueAsync(async () => (await host.GetAsync("/hot-scenes")).Contains("\"usersTotalCount\":2", StringComparison.Ordinal));
        Assert.Equal(2, content.Requests.Count);
    }

    [Theory]
    [InlineData("down")]
    [InlineData("{}")]
    [InlineData("nonsense")]
    [InlineData("never")]
    public async Task While_the_content_server_fails_the_last_good_answer_is_told_with_its_age(string failure)
    {
        string answer = failure;
        await using StubServer content = await StubServer.StartAsync(async c =>
        {
            string now = Volatile.Read(ref answer);
            if (now == "never")
                await Task.Delay(Timeout.Infinite, c.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
            c.Response.StatusCode = now == "down" ? 500 : 200;
            await c.Response.WriteAsync(now);
        });
        await using RunningHost host = await StartAsync(content, ("CONTENT_TIMEOUT_MS", failure == "never" ? "1500" : "20000"));
        await StandAsync(host, "0xc", -0.5f, 3);
        using HttpResponseMessage nothing = await host.SendAsync(HttpMethod.Get, "/hot-scenes");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, nothing.StatusCode);
        Assert.Equal("""{"error":"The content server has not answered yet. Try again in a moment."}""", await nothing.Content.ReadAsStringAsync());
        Assert.Equal("application/json", nothing.Content.Headers.ContentType!.ToString());

        Volatile.Write(ref answer, $"[{Field}]");
        string good = "";
        await Eventually.TrueAsync(async () =>
        {
            clock.Advance(TimeSpan.FromSeconds(10));
            using HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/hot-scenes");
            good = await response.Content.ReadAsStringAsync();
            return response.IsSuccessStatusCode;
        });
        Volatile.Write(ref answer, failure);
        clock.Advance(TimeSpan.FromSeconds(25));
        using HttpResponseMessage stale = await host.SendAsync(HttpMethod.Get, "/hot-scenes");
        Assert.Equal((HttpStatusCode.OK, good, TimeSpan.FromSeconds(25)), (stale.StatusCode, await stale.Content.ReadAsStringAsync(), stale.Headers.Age));
    }

    [Fact]
    public async Task Questions_for_many_parcels_are_split_and_a_scene_on_two_of_them_counts_once()
    {
        var sizes = new System.Collections.Concurrent.ConcurrentQueue<int>();
        await using StubServer content = await StubServer.StartAsync(async c =>
        {
            sizes.Enqueue(System.Text.Json.JsonDocument.Parse(await BodyAsync(c)).RootElement.GetProperty("pointers").GetArrayLength());
            await c.Response.WriteAsync("""[{"id":"long","metadata":{"scene":{"base":"0,0","parcels":["0,0","699,0"]}}}]""");
        });
        await using RunningHost host = await StartAsync(content);
        for (int i = 0; i < 700; i++)
            await StandAsync(host, $"0x{i}", i * 16, 0);
        Assert.Equal("""[{"id":"long","baseCoords":[0,0],"usersTotalCount":2,"parcels":[[0,0],[699,0]]}]""", await host.GetAsync("/hot-scenes"));
        Assert.Equal([100, 300, 300], sizes.Order());
    }

    [Fact]
    public async Task No_more_than_a_hundred_are_told()
    {
        await using StubServer content = await StubServer.StartAsync(c => c.Response.WriteAsync(
            "[" + string.Join(',', Enumerable.Range(0, 150).Select(i => Lake.Replace("lake", $"s{i}", StringComparison.Ordinal).Replace("5,5", $"{i},0", StringComparison.Ordinal))) + "]"));
        await using RunningHost host = await StartAsync(content);
        await StandAsync(host, "0xa", 16 * 140, 0);
        System.Text.Json.JsonElement scenes = System.Text.Json.JsonDocument.Parse(await host.GetAsync("/hot-scenes")).RootElement;
        Assert.Equal(["s140", "s0", "s1"], scenes.EnumerateArray().Take(3).Select(s => s.GetProperty("id").GetString()));
        Assert.Equal(100, scenes.GetArrayLength());
    }
}
