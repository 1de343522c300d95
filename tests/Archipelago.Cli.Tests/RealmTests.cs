using System.Text.Json;
using Archipelago.Cli.Bots;
using Archipelago.Hosting;

namespace Archipelago.Cli.Tests;

/// <summary>The whole realm in this process, with bots in it.</summary>
public class RealmTests
{
    private static readonly string[] Scopes = ["SERVICE", "CONNECTOR", "STATS", "REALM_PROVIDER"];

    private static Task<Realm> StartAsync(params (string Name, string Value)[] values)
    {
        Dictionary<string, string> all = Scopes.ToDictionary(s => s + "__HTTP_SERVER_PORT", _ => "0");
        all["ARCHIPELAGO_FLUSH_FREQUENCY"] = "0.1";
        foreach ((string name, string value) in values)
            all[name] = value;
        return Realm.StartAsync([all]);
    }

    [Fact]
    public async Task People_come_in_get_islands_and_are_seen_in_two_realms_side_by_side()
    {
        await using Realm one = await StartAsync(("ROOM_PREFIX", "one-")), two = await StartAsync(("SERVICE__ROOM_PREFIX", "two-"));
        using var http = new HttpClient();
        using var ending = new CancellationTokenSource();
        Task<SwarmSummary>[] swarms =
        [
            Swarm.RunAsync(new SwarmOptions(one.WebSocket, 30, Timeout.InfiniteTimeSpan, 1), new SwarmProgress(), ending.Token),
            Swarm.RunAsync(new SwarmOptions(two.WebSocket, 10, Timeout.InfiniteTimeSpan, 2), new SwarmProgress(), ending.Token),
        ];
        await Testing.Eventually.TrueAsync(async () => await CountAsync(http, one, "one-") == 30 && await CountAsync(http, two, "two-") == 10, 60);
        Assert.Contains("\"healthy\":true", await http.GetStringAsync(new Uri(one.RealmProvider, "/main/about")), StringComparison.Ordinal);
        Assert.Contains("dcl_archipelago_peers_count 30\n", await http.GetStringAsync(new Uri(one.Service, "/metrics")), StringComparison.Ordinal);
        Assert.Contains("dcl_archipelago_peers_count 10\n", await http.GetStringAsync(new Uri(two.Service, "/metrics")), StringComparison.Ordinal);
        await ending.CancelAsync();
        SwarmSummary[] summaries = await Task.WhenAll(swarms);
        Assert.All(summaries, s => Assert.Null(s.FirstError));
        Assert.Equal([30, 10], summaries.Select(s => s.Assigned));
        Assert.All(summaries, s => Assert.True(s.Heartbeats >= s.Count && s.IslandChanges >= s.Count && s.FirstIslandMs.Max > 0));
    }

    /// <summary>Members of islands with this prefix, as Stats shows them.</summary>
    private static async Task<int> CountAsync(HttpClient http, Realm realm, string prefix)
    {
        using JsonDocument answer = JsonDocument.Parse(await http.GetStringAsync(new Uri(realm.Stats, "/comms/islands")));
        return answer.RootElement.GetProperty("islands").EnumerateArray()
            .Where(i => i.GetProperty("id").GetString()!.StartsWith(prefix, StringComparison.Ordinal))
            .Sum(i => i.GetProperty("peers").GetArrayLength());
    }

    [Fact]
    public async Task The_realm_is_healthy_from_the_first_second_and_says_that_its_keys_are_for_development()
    {
        await using Realm realm = await StartAsync();
        using var http = new HttpClient();
        await Testing.Eventually.TrueAsync(async () => (await http.GetStringAsync(new Uri(realm.RealmProvider, "/main/about"))).Contains("\"healthy\":true,\"acceptingUsers\":true", StringComparison.Ordinal), 3);
        Assert.True(realm.HasDevelopmentKeys);
        await using Realm configured = await StartAsync(("LIVEKIT_API_SECRET", "my-own-secret-of-more-than-32-characters"));
        Assert.False(configured.HasDevelopmentKeys);
    }

    [Fact]
    public async Task With_a_standby_the_Service_that_leads_may_end_and_nobody_is_moved()
    {
        await using LocalNats nats = await LocalNats.StartAsync();
        await using Realm realm = await Realm.StartAsync([Scopes.ToDictionary(s => s + "__HTTP_SERVER_PORT", _ => "0")], nats.Url, standby: true);
        using var http = new HttpClient();
        await Testing.Eventually.TrueAsync(async () => (await http.GetAsync(new Uri(realm.StandbyService!, "/health/ready"))).IsSuccessStatusCode);
        Bot[] people = Swarm.Create(new SwarmOptions(realm.WebSocket, 12, Timeout.InfiniteTimeSpan, 3, Stand: true));
        using var ending = new CancellationTokenSource();
        Task swarm = Swarm.RunAsync(people, realm.WebSocket, ending.Token);
        await Testing.Eventually.TrueAsync(() => people.All(b => b.Island is not null), 60);
        // A beat may still bring together who has come one after the other.
        long before = await FlushAsync(http, realm.Service);
        await Testing.Eventually.TrueAsync(async () => await FlushAsync(http, realm.Service) > before + 3);
        long changes = people.Sum(b => b.IslandChanges);
        // On a machine that is busy enough the second may lead by now.
        Uri? ended = await realm.StopLeaderAsync();
        Assert.NotNull(ended);
        Uri left = ended == realm.Service ? realm.StandbyService! : realm.Service;
        await Testing.Eventually.TrueAsync(async () => (await http.GetStringAsync(new Uri(left, "/status"))).Contains("\"cause\":\"handed\"", StringComparison.Ordinal));
        before = await FlushAsync(http, left);
        await Testing.Eventually.TrueAsync(async () => await FlushAsync(http, left) > before);
        Assert.Equal(changes, people.Sum(b => b.IslandChanges));
        Assert.All(people, b => Assert.Null(b.Error));
        Assert.Null(await realm.StopLeaderAsync());
        await ending.CancelAsync();
        await swarm;
    }

    private static async Task<long> FlushAsync(HttpClient http, Uri service) =>
        JsonDocument.Parse(await http.GetStringAsync(new Uri(service, "/status"))).RootElement.GetProperty("flush").GetInt64();

    [Fact]
    public async Task When_one_host_cannot_start_none_is_left_running()
    {
        await using Realm first = await StartAsync();
        using var free = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        free.Start();
        int port = ((System.Net.IPEndPoint)free.LocalEndpoint).Port;
        free.Stop();
        ConfigurationException e = await Assert.ThrowsAsync<ConfigurationException>(() =>
            StartAsync(("STATS__HTTP_SERVER_PORT", $"{port}"), ("REALM_PROVIDER__HTTP_SERVER_PORT", $"{first.Stats.Port}")));
        Assert.Contains("REALM_PROVIDER__HTTP_SERVER_PORT", e.Message, StringComparison.Ordinal);
        free.Start(); // the Stats of the realm that failed has let its port go
        using var http = new HttpClient();
        Assert.Equal("alive", await http.GetStringAsync(new Uri(first.Stats, "/health/live")));
    }

    [Fact]
    public async Task A_port_without_a_scope_is_for_nobody()
    {
        await using Realm other = await StartAsync();
        var values = new Dictionary<string, string> { ["HTTP_SERVER_PORT"] = $"{other.Stats.Port}" };
        foreach (string scope in Scopes.Where(s => s != "STATS"))
            values[scope + "__HTTP_SERVER_PORT"] = "0";
        try
        {
            // Were the port for Stats, too, it would be taken.
            await using Realm realm = await Realm.StartAsync([values]);
            Assert.Equal(Archipelago.Stats.StatsHost.DefaultPort, realm.Stats.Port);
        }
        catch (ConfigurationException e)
        {
            // A realm that somebody runs on this machine has the default port.
            Assert.Contains($":{Archipelago.Stats.StatsHost.DefaultPort}:", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Bots_that_find_nobody_say_so()
    {
        SwarmSummary summary = await Swarm.RunAsync(new SwarmOptions(new Uri("ws://127.0.0.1:1/ws"), 2, TimeSpan.FromSeconds(5), 1), new SwarmProgress(), default);
        Assert.Equal((0, 2), (summary.Connected, summary.Errors));
        Assert.NotNull(summary.FirstError);
    }
}

public class BotTests
{
    [Fact]
    public void The_summary_is_one_line_of_JSON_with_the_promised_members()
    {
        string json = new SwarmSummary(3, 3, 3, 2, Latency.Of([5, 1, 9.04]), 7, 4, 0, 1, "x").ToJson();
        Assert.Equal("""{"count":3,"connected":3,"welcomed":3,"assigned":2,"firstIslandMs":{"p50":5,"p99":9,"max":9},"heartbeats":7,"islandChanges":4,"kicked":0,"errors":1}""", json);
    }

    [Theory]
    [InlineData("I2", "0xab")]
    [InlineData("I1", "0xac")]
    public void A_token_for_another_room_or_person_is_noticed(string room, string identity)
    {
        string token = new Service.LiveKitTokens(new Service.LiveKitOptions("ws://x", "k", "s")).Mint("I1", "0xab", TimeProvider.System.GetUtcNow());
        Bot.CheckToken(token, "I1", "0xab");
        Assert.Throws<ProtocolException>(() => Bot.CheckToken(token, room, identity));
        Assert.Throws<ProtocolException>(() => Bot.CheckToken("livekit:ws://x", "I1", "0xab"));
    }

    [Fact]
    public void Walkers_walk_at_a_walking_pace_and_the_same_way_for_the_same_seed()
    {
        Walker one = new(5), two = new(5);
        float farthest = 0;
        for (int i = 0; i < 2000; i++)
        {
            Core.Position before = one.Position;
            one.Step(1);
            two.Step(1);
            Assert.Equal(one.Position, two.Position);
            farthest = Math.Max(farthest, MathF.Sqrt(MathF.Pow(one.Position.X - before.X, 2) + MathF.Pow(one.Position.Z - before.Z, 2)));
        }
        Assert.InRange(farthest, 3.9f, 4.1f);
    }
}
