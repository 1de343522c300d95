using System.Net;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Stats.Tests;

/// <summary>What the bus says comes out of the HTTP API in the shapes that its clients know.</summary>
public class StatsTests
{
    private readonly ManualClock clock = new();

    private Task<RunningHost> StartAsync(Dictionary<string, string>? values = null) => RunningHost.StartAsync(StatsHost.Build, values, clock);

    private static ValueTask HeartbeatAsync(RunningHost host, string id, float x, float y, float z) =>
        host.Bus.PublishAsync(Subjects.Heartbeat(id), new Heartbeat { Position = new Position { X = x, Y = y, Z = z } }.ToByteArray());

    private string Peer(string id, string parcel, string position) =>
        $$"""{"id":"{{id}}","address":"{{id}}","lastPing":{{clock.GetUtcNow().ToUnixTimeMilliseconds()}},"parcel":[{{parcel}}],"position":[{{position}}]}""";

    [Theory]
    [InlineData("")]
    [InlineData("/comms")]
    public async Task Peers_come_in_the_order_of_their_first_heartbeats(string prefix)
    {
        await using RunningHost host = await StartAsync();
        Assert.Equal("""{"ok":true,"peers":[]}""", await host.GetAsync(prefix + "/peers"));
        await HeartbeatAsync(host, "0xa", 1, 2, 3);
        await HeartbeatAsync(host, "0xb", -0.5f, 0.1f, -16.01f);
        await HeartbeatAsync(host, "0xa", 16, 2, -16);
        string a = Peer("0xa", "1,-1", "16,2,-16"), b = Peer("0xb", "-1,-2", "-0.5,0.10000000149011612,-16.010000228881836");
        Assert.Equal($$"""{"ok":true,"peers":[{{a}},{{b}}]}""", await host.GetAsync(prefix + "/peers"));
        Assert.Equal($$"""{"ok":true,"peers":[{{b}}]}""", await host.GetAsync(prefix + "/peers?id=0xb&id=0xc"));
        Assert.Equal($$"""{"ok":true,"peers":[{{a}},{{b}}]}""", await host.GetAsync(prefix + "/peers?id=0XB&id=0xA&id="));
        Assert.Equal("""{"ok":true,"peers":[]}""", await host.GetAsync(prefix + "/peers?id=0xa,0xb"));
        Assert.Equal("""{"ok":true,"peers":[]}""", await host.GetAsync(prefix + "/peers?id"));
        Assert.Equal($$"""{"ok":true,"peer":{{b}}}""", await host.GetAsync(prefix + "/peers/0xb"));
        HttpResponseMessage unknown = await host.SendAsync(HttpMethod.Get, prefix + "/peers/0xc");
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
        Assert.Equal("""{"ok":false,"peer":null}""", await unknown.Content.ReadAsStringAsync());
        Assert.Equal("application/json", unknown.Content.Headers.ContentType!.ToString());

        await host.Bus.PublishAsync(Subjects.Disconnect("0xa"), default);
        await HeartbeatAsync(host, "0xa", 0, 0, 0);
        Assert.Equal($$"""{"ok":true,"peers":[{{b}},{{Peer("0xa", "0,0", "0,0,0")}}]}""", await host.GetAsync(prefix + "/peers"));
    }

    [Fact]
    public async Task Islands_in_parts_are_put_together_whole_or_not_at_all()
    {
        await using RunningHost host = await StartAsync();
        ValueTask PartAsync(long flush, int index, int count, string id) => host.Bus.PublishAsync(
            Subjects.IslandsPart(flush, index, count), new IslandStatusMessage { Data = { new IslandData { Id = id, Center = new Position() } } }.ToByteArray());
        async Task<string> IdsAsync() => string.Join(' ', System.Text.RegularExpressions.Regex.Matches(await host.GetAsync("/islands"), "\"id\":\"(I\\w+)\"").Select(m => m.Groups[1].Value));
        await PartAsync(1, 1, 2, "I2");
        Assert.Equal("", await IdsAsync());
        await PartAsync(1, 0, 2, "I1");
        Assert.Equal("I1 I2", await IdsAsync());
        // One part of the next is lost: the old picture stays until a whole one comes.
        await PartAsync(2, 0, 3, "I3");
        await PartAsync(2, 2, 3, "I5");
        Assert.Equal("I1 I2", await IdsAsync());
        await PartAsync(3, 0, 1, "I6");
        Assert.Equal("I6", await IdsAsync());
        // What is left of a list of long ago is not put together with a new one.
        await PartAsync(4, 0, 2, "I7");
        clock.Advance(TimeSpan.FromSeconds(11));
        await PartAsync(4, 1, 2, "I8");
        Assert.Equal("I6", await IdsAsync());
        foreach (string nonsense in (string[])["engine.islands_part.1.2.2", "engine.islands_part.x.0.1", "engine.islands_part.1.0.999999"])
            await host.Bus.PublishAsync(nonsense, new IslandStatusMessage().ToByteArray());
        Assert.Equal("I6", await IdsAsync());
    }

    [Theory]
    [InlineData("")]
    [InlineData("/comms")]
    public async Task Islands_are_those_of_the_last_report_with_the_peers_known_here(string prefix)
    {
        await using RunningHost host = await StartAsync();
        await HeartbeatAsync(host, "0xa", 1, 2, 3);
        var report = new IslandStatusMessage
        {
            Data =
            {
                new IslandData { Id = "I1", MaxPeers = 100, Center = new Position { X = 20, Z = 20 }, Radius = 28.284271247461902, Peers = { "0xunknown", "0xa" } },
                new IslandData { Id = "I2", MaxPeers = 7, Center = new Position { X = float.NaN, Z = 1 }, Radius = double.NaN },
                new IslandData { Id = "I3", Radius = 1 },
            },
        };
        await host.Bus.PublishAsync(Subjects.Islands, report.ToByteArray());
        string one = $$"""{"id":"I1","maxPeers":100,"center":[20,0,20],"radius":28.284271247461902,"peers":[{{Peer("0xa", "0,0", "1,2,3")}}]}""";
        string two = """{"id":"I2","maxPeers":7,"center":[null,0,1],"radius":null,"peers":[]}""";
        Assert.Equal($$"""{"ok":true,"islands":[{{one}},{{two}}]}""", await host.GetAsync(prefix + "/islands"));
        Assert.Equal(one, await host.GetAsync(prefix + "/islands/I1"));
        HttpResponseMessage unknown = await host.SendAsync(HttpMethod.Get, prefix + "/islands/i1");
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
        Assert.Equal("", await unknown.Content.ReadAsStringAsync());

        await host.Bus.PublishAsync(Subjects.Islands, default);
        Assert.Equal("""{"ok":true,"islands":[]}""", await host.GetAsync(prefix + "/islands"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("/comms")]
    public async Task Parcels_are_counted_in_the_order_in_which_they_were_entered(string prefix)
    {
        await using RunningHost host = await StartAsync();
        Assert.Equal("""{"parcels":[]}""", await host.GetAsync(prefix + "/parcels"));
        await HeartbeatAsync(host, "0xa", 40, 0, 0);
        await HeartbeatAsync(host, "0xb", -100, 0, 50);
        await HeartbeatAsync(host, "0xc", 47.99f, 0, 15.99f);
        await HeartbeatAsync(host, "0xd", float.NaN, 0, float.NaN);
        Assert.Equal(
            """{"parcels":[{"peersCount":2,"parcel":{"x":2,"y":0}},{"peersCount":1,"parcel":{"x":-7,"y":3}},{"peersCount":1,"parcel":{"x":null,"y":null}}]}""",
            await host.GetAsync(prefix + "/parcels"));
    }

    [Fact]
    public async Task The_core_is_healthy_for_90_seconds_after_its_last_word()
    {
        await using RunningHost host = await StartAsync();
        Assert.Equal("""{"healthy":false,"userCount":0}""", await host.GetAsync("/core-status"));
        var discovery = new ServiceDiscoveryMessage
        {
            ServerName = "archipelago", Status = new ServiceStatus { CurrentTime = (ulong)clock.GetUtcNow().ToUnixTimeMilliseconds(), UserCount = 5 },
        };
        await host.Bus.PublishAsync(Subjects.Discovery, discovery.ToByteArray());
        Assert.Equal("""{"healthy":true,"userCount":5}""", await host.GetAsync("/core-status"));
        clock.Advance(TimeSpan.FromMilliseconds(89_999));
        Assert.Equal("""{"healthy":true,"userCount":5}""", await host.GetAsync("/core-status"));
        clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal("""{"healthy":false,"userCount":5}""", await host.GetAsync("/core-status"));
        await host.Bus.PublishAsync(Subjects.Discovery, new ServiceDiscoveryMessage { ServerName = "archipelago" }.ToByteArray());
        Assert.Equal("""{"healthy":false,"userCount":0}""", await host.GetAsync("/core-status"));
    }

    [Fact]
    public async Task Messages_that_do_not_decode_change_nothing()
    {
        await using RunningHost host = await StartAsync();
        await HeartbeatAsync(host, "0xa", 1, 2, 3);
        foreach (string subject in (string[])["peer.0xa.heartbeat", "engine.islands", "engine.discovery"])
            await host.Bus.PublishAsync(subject, new byte[] { 0xFF, 0xFF, 0xFF });
        await host.Bus.PublishAsync("peer.0xb.heartbeat", default); // no position
        Assert.Equal($$"""{"ok":true,"peers":[{{Peer("0xa", "0,0", "1,2,3")}}]}""", await host.GetAsync("/peers"));
    }

    [Fact]
    public async Task Status_tells_the_build_to_every_origin()
    {
        await using RunningHost host = await StartAsync(new() { ["CURRENT_VERSION"] = "1.2.3", ["COMMIT_HASH"] = "abc" });
        HttpResponseMessage plain = await host.SendAsync(HttpMethod.Get, "/status"), cross = await host.SendAsync(HttpMethod.Get, "/status", ("Origin", "https://x.example"));
        Assert.Equal($$"""{"version":"1.2.3","currentTime":{{clock.GetUtcNow().ToUnixTimeMilliseconds()}},"commitHash":"abc"}""", await plain.Content.ReadAsStringAsync());
        Assert.Equal(["*"], plain.Headers.GetValues("Access-Control-Allow-Origin"));
        Assert.Equal(["https://x.example"], cross.Headers.GetValues("Access-Control-Allow-Origin"));
        foreach (string alias in (string[])["/comms/status", "/comms/core-status"])
            Assert.Equal(HttpStatusCode.NotFound, (await host.SendAsync(HttpMethod.Get, alias)).StatusCode);
    }
}
