using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Archipelago.Hosting;
using Archipelago.RealmProvider.Catalysts;
using Archipelago.Testing;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Archipelago.RealmProvider.Tests;

public class RealmProviderTests
{
    private const string Catalyst = """
        {"healthy":true,"acceptingUsers":true,"extra":{"kept":1},
         "configurations":{"networkId":1,"realmName":"hela","globalScenesUrn":[],"scenesUrn":[]},
         "content":{"healthy":true,"version":"VERSION","publicUrl":"https://c/content/","synchronizationStatus":"Synced"},
         "lambdas":{"healthy":true,"version":"6.0.0","publicUrl":"https://c/lambdas/"},
         "comms":{"healthy":false,"protocol":"v2","usersCount":4,"fixedAdapter":"x"},
         "bff":{"healthy":true,"userCount":3,"publicUrl":"/bff","protocolVersion":"1.0_0"}}
        """;

    private static Task<StubServer> CatalystAsync(string version = "6.0.0", string? body = null) =>
        StubServer.StartAsync(c => c.Response.WriteAsync(body ?? Catalyst.Replace("VERSION", version, StringComparison.Ordinal)));

    /// <summary>Stats and the Connector in one.</summary>
    private static Task<StubServer> CommsAsync(string core = """{"healthy":true,"userCount":7}""") =>
        StubServer.StartAsync(c => c.Response.WriteAsync(c.Request.Path == "/core-status" ? core : """{"version":"1.2.3","currentTime":1,"commitHash":"cc","userCount":9}"""));

    private static Task<RunningHost> StartAsync(StubServer comms, params (string Name, string Value)[] values)
    {
        var all = values.ToDictionary(v => v.Name, v => v.Value);
        all.TryAdd("PROBE_TIMEOUT_MS", "20000"); // a busy machine is no server that does not answer
        all["ARCHIPELAGO_STATS_URL"] = comms.Url;
        all["ARCHIPELAGO_WS_CONNECTOR_URL"] = comms.Url;
        return RunningHost.StartAsync(RealmProviderHost.Build, all, new ManualClock());
    }

    [Theory]
    [InlineData("/main/about")]
    [InlineData("/about")]
    public async Task About_is_the_catalysts_with_the_comms_of_the_main_realm(string path)
    {
        await using StubServer catalyst = await CatalystAsync(), comms = await CommsAsync();
        await using RunningHost host = await StartAsync(comms, ("CATALYST_URLS", catalyst.Url));
        var about = (JsonObject)JsonNode.Parse(await host.GetAsync(path))!;
        Assert.Equal(["healthy", "acceptingUsers", "extra", "configurations", "content", "lambdas", "comms", "bff"], about.Select(m => m.Key));
        Assert.Equal(
            $$"""{"version":"1.2.3","commitHash":"cc","healthy":true,"protocol":"v3","usersCount":7,"adapter":"archipelago:archipelago:ws{{comms.Url[4..]}}/ws"}""",
            about["comms"]!.ToJsonString());
        Assert.Equal("main", (string?)about["configurations"]!["realmName"]);
        Assert.Equal(1, (int)about["extra"]!["kept"]!);
        Assert.Equal(7, (int)about["bff"]!["userCount"]!);
        Assert.Equal("https://c/content/", (string?)about["content"]!["publicUrl"]);
    }

    [Theory]
    [InlineData("""{"healthy":false,"userCount":5}""", 5)]
    [InlineData("""{"error":"x"}""", 0)]
    [InlineData("nonsense", 0)]
    public async Task An_unhealthy_main_realm_is_told_with_200(string core, int users)
    {
        await using StubServer catalyst = await CatalystAsync(), comms = await CommsAsync(core);
        await using RunningHost host = await StartAsync(comms, ("CATALYST_URLS", catalyst.Url));
        var about = (JsonObject)JsonNode.Parse(await host.GetAsync("/main/about"))!;
        Assert.False((bool)about["healthy"]!);
        Assert.False((bool)about["acceptingUsers"]!);
        Assert.False((bool)about["comms"]!["healthy"]!);
        Assert.Equal(users, (int)about["comms"]!["usersCount"]!);
        Assert.DoesNotContain("\"main\"", await host.GetAsync("/realms"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"healthy":false,"acceptingUsers":true}""")]
    [InlineData("""{"healthy":true}""")]
    [InlineData("""{"healthy":true,"acceptingUsers":true,"healthy":true}""")]
    [InlineData("[]")]
    [InlineData("nonsense")]
    [InlineData("""{"healthy":"\ud800","acceptingUsers":true}""")]
    [InlineData("""{"healthy":true,"acceptingUsers":true,"content":{"version":"\ud800"}}""")]
    [InlineData("""{"healthy":true,"acceptingUsers":true,"comms":{},"configurations":{"realmName":"\ud800"}}""")]
    public async Task Without_an_open_catalyst_there_is_nothing_to_offer(string body)
    {
        await using StubServer catalyst = await CatalystAsync(body: body), comms = await CommsAsync();
        await using RunningHost host = await StartAsync(comms, ("CATALYST_URLS", catalyst.Url));
        HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/main/about");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.Equal("""{"error":"No content catalysts available"}""", await response.Content.ReadAsStringAsync());
        Assert.Contains("\"main\"", await host.GetAsync("/realms"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_unhealthy_main_realm_is_told_with_503_where_that_is_wanted()
    {
        await using StubServer catalyst = await CatalystAsync(), down = await CommsAsync("nonsense"), up = await CommsAsync();
        await using RunningHost sick = await StartAsync(down, ("CATALYST_URLS", catalyst.Url), ("ABOUT_UNHEALTHY_STATUS", "503")), well = await StartAsync(up, ("CATALYST_URLS", catalyst.Url), ("ABOUT_UNHEALTHY_STATUS", "503"));
        using HttpResponseMessage response = await sick.SendAsync(HttpMethod.Get, "/main/about");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.False((bool)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["acceptingUsers"]!);
        Assert.Equal(HttpStatusCode.OK, (await well.SendAsync(HttpMethod.Get, "/main/about")).StatusCode);
    }

    [Fact]
    public async Task The_visitors_country_comes_in_a_header_of_any_name()
    {
        await using StubServer comms = await CommsAsync(), first = await CatalystAsync(), second = await CatalystAsync(body: Catalyst.Replace("VERSION", "6.0.0", StringComparison.Ordinal).Replace("https://c/content/", "https://d/content/", StringComparison.Ordinal));
        await using RunningHost host = await StartAsync(comms, ("CATALYST_URLS", $"{first.Url},{second.Url}"), ("COUNTRY_HEADER", "X-Country"));
        async Task<int> OffersAsync(string header)
        {
            var offers = new HashSet<string>();
            for (int i = 0; i < 60; i++)
                offers.Add((string)JsonNode.Parse(await (await host.SendAsync(HttpMethod.Get, "/main/about", (header, "XX"))).Content.ReadAsStringAsync())!["content"]!["publicUrl"]!);
            return offers.Count;
        }
        // From no country that is known it is left to chance; without any country the first is taken.
        Assert.Equal(2, await OffersAsync("X-Country"));
        Assert.Equal(1, await OffersAsync("CF-IPCountry"));
    }

    /// <summary>A catalyst that answers, and does nobody any good.</summary>
    public static TheoryData<string> Liars => ["huge", "endless", "slow", "stuck", "array", "wrong types", "deep", "down", "redirect"];

    [Theory]
    [MemberData(nameof(Liars))]
    public async Task A_catalyst_that_lies_or_dawdles_harms_nobody(string how)
    {
        await using StubServer good = await CatalystAsync(), comms = await CommsAsync(), liar = await StubServer.StartAsync(async c =>
        {
            switch (how)
            {
                case "huge":
                    await c.Response.WriteAsync($"{{\"x\":\"{new string('x', 3_000_000)}\"}}");
                    break;
                case "endless":
                    while (!c.RequestAborted.IsCancellationRequested)
                        await c.Response.WriteAsync(new string(' ', 65536));
                    break;
                case "slow":
                    for (int i = 0; !c.RequestAborted.IsCancellationRequested; i++)
                    {
                        await c.Response.WriteAsync(" ");
                        await c.Response.Body.FlushAsync();
                        await Task.Delay(50);
                    }
                    break;
                case "stuck":
                    await Task.Delay(Timeout.Infinite, c.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
                    break;
                case "redirect":
                    c.Response.StatusCode = 302;
                    c.Response.Headers.Location = "//";
                    break;
                case "down":
                    c.Response.StatusCode = 500;
                    break;
                default:
                    await c.Response.WriteAsync(how switch
                    {
                        "array" => "[]",
                        "deep" => new string('[', 100_000),
                        _ => """{"healthy":1,"acceptingUsers":"yes","content":7,"lambdas":[],"configurations":"x","comms":{"usersCount":{}},"bff":3}""",
                    });
                    break;
            }
        });
        await using RunningHost host = await StartAsync(comms, ("CATALYST_URLS", $"{liar.Url},{good.Url}/,{good.Url}"), ("PROBE_TIMEOUT_MS", "3000"));
        var about = (JsonObject)JsonNode.Parse(await host.GetAsync("/main/about"))!;
        Assert.Equal("https://c/content/", (string?)about["content"]!["publicUrl"]);
        JsonArray realms = JsonNode.Parse(await host.GetAsync("/realms"))!.AsArray();
        Assert.Equal(["hela", "main"], realms.Select(r => (string?)r!["serverName"]));
        Assert.Contains($"archipelago_catalysts_healthy {(how == "wrong types" ? 2 : 1)}\n", await host.GetAsync("/metrics"), StringComparison.Ordinal);
        // Alone, it is open by its own word, and described as it describes itself as far as that goes.
        await using RunningHost alone = await StartAsync(comms, ("CATALYST_URLS", liar.Url), ("PROBE_TIMEOUT_MS", "1000"));
        using HttpResponseMessage response = await alone.SendAsync(HttpMethod.Get, "/main/about");
        Assert.Equal(how == "wrong types" ? HttpStatusCode.OK : HttpStatusCode.ServiceUnavailable, response.StatusCode);
    }

    [Fact]
    public async Task Realms_lists_the_catalysts_and_then_the_main_realm()
    {
        await using StubServer catalyst = await CatalystAsync(), comms = await CommsAsync();
        await using RunningHost host = await StartAsync(comms, ("CATALYST_URLS", catalyst.Url));
        string own = host.Http.BaseAddress!.Authority;
        string hela = $$"""{"serverName":"hela","url":"{{catalyst.Url}}","usersCount":4}""";
        Assert.Equal($$"""[{{hela}},{"serverName":"main","url":"http://{{own}}/main","usersCount":7}]""", await host.GetAsync("/realms"));
        HttpResponseMessage forwarded = await host.SendAsync(HttpMethod.Get, "/realms", ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "realm.example"));
        Assert.Contains("\"https://realm.example/main\"", await forwarded.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_fixed_content_server_is_described_as_it_is_given()
    {
        await using StubServer comms = await CommsAsync();
        await using RunningHost host = await StartAsync(comms, ("CATALYST_CONTENT_URL", "https://c.example/content/"), ("CATALYST_LAMBDAS_URL", "https://c.example/lambdas"), ("ETH_NETWORK", "sepolia"), ("HTTP_BASE_URL", "https://r.example/"));
        var about = (JsonObject)JsonNode.Parse(await host.GetAsync("/main/about"))!;
        Assert.Equal("https://c.example/content/", (string?)about["content"]!["publicUrl"]);
        Assert.Equal("https://c.example/lambdas/", (string?)about["lambdas"]!["publicUrl"]);
        Assert.Equal(11155111, (int)about["configurations"]!["networkId"]!);
        Assert.Equal("""[{"serverName":"main","url":"https://r.example/main","usersCount":7}]""", await host.GetAsync("/realms"));
    }

    [Fact]
    public async Task A_catalyst_that_goes_and_comes_back_is_noticed_in_the_background()
    {
        bool up = true;
        var clock = new ManualClock();
        await using StubServer comms = await CommsAsync(), catalyst = await StubServer.StartAsync(c =>
            c.Response.WriteAsync(Volatile.Read(ref up) ? Catalyst.Replace("VERSION", "6.0.0", StringComparison.Ordinal) : "{}"));
        var values = new Dictionary<string, string> { ["ARCHIPELAGO_STATS_URL"] = comms.Url, ["ARCHIPELAGO_WS_CONNECTOR_URL"] = comms.Url, ["CATALYST_URLS"] = catalyst.Url };
        await using RunningHost host = await RunningHost.StartAsync(RealmProviderHost.Build, values, clock);
        async Task<bool> AnswersAsync(HttpStatusCode status)
        {
            clock.Advance(TimeSpan.FromSeconds(10));
            return (await host.SendAsync(HttpMethod.Get, "/main/about")).StatusCode == status;
        }
        Volatile.Write(ref up, false);
        await Eventually.TrueAsync(() => AnswersAsync(HttpStatusCode.ServiceUnavailable));
        Volatile.Write(ref up, true);
        await Eventually.TrueAsync(() => AnswersAsync(HttpStatusCode.OK));
    }

    [Fact]
    public async Task An_answer_that_fails_to_come_once_takes_nobody_off_the_list_and_is_asked_for_again_soon()
    {
        int failures = 1;
        var clock = new ManualClock();
        await using StubServer comms = await CommsAsync(), catalyst = await StubServer.StartAsync(c =>
        {
            if (Interlocked.Decrement(ref failures) < 0)
                return c.Response.WriteAsync(Catalyst.Replace("VERSION", "6.0.0", StringComparison.Ordinal));
            c.Response.StatusCode = 500;
            return Task.CompletedTask;
        });
        var values = new Dictionary<string, string> { ["ARCHIPELAGO_STATS_URL"] = comms.Url, ["ARCHIPELAGO_WS_CONNECTOR_URL"] = comms.Url, ["CATALYST_URLS"] = catalyst.Url, ["PROBE_TIMEOUT_MS"] = "20000", ["CATALYST_PROBE_INTERVAL_MS"] = "600000" };
        await using RunningHost host = await RunningHost.StartAsync(RealmProviderHost.Build, values, clock);
        async Task<HttpStatusCode> StatusAsync() => (await host.SendAsync(HttpMethod.Get, "/main/about")).StatusCode;
        async Task AskedAsync(int count) => await Eventually.TrueAsync(() =>
        {
            clock.Advance(TimeSpan.FromSeconds(1));
            return catalyst.Requests.Count >= count;
        });
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await StatusAsync());
        await AskedAsync(2);
        await Eventually.TrueAsync(async () => await StatusAsync() == HttpStatusCode.OK);

        Volatile.Write(ref failures, 1);
        int asked = catalyst.Requests.Count;
        await Eventually.TrueAsync(async () =>
        {
            Assert.Equal(HttpStatusCode.OK, await StatusAsync());
            clock.Advance(TimeSpan.FromSeconds(100));
            return catalyst.Requests.Count >= asked + 2;
        });
        Volatile.Write(ref failures, 100);
        await Eventually.TrueAsync(async () =>
        {
            clock.Advance(TimeSpan.FromSeconds(100));
            return await StatusAsync() == HttpStatusCode.ServiceUnavailable;
        });
    }

    [Fact]
    public async Task A_redirect_to_nowhere_from_the_comms_is_an_unhealthy_realm()
    {
        await using StubServer comms = await StubServer.StartAsync(c =>
        {
            c.Response.StatusCode = 302;
            c.Response.Headers.Location = "//";
            return Task.CompletedTask;
        });
        await using RunningHost host = await StartAsync(comms, ("CATALYST_CONTENT_URL", "https://c"), ("CATALYST_LAMBDAS_URL", "https://l"));
        Assert.Contains("\"healthy\":false", await host.GetAsync("/main/about"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_start_that_fails_says_why()
    {
        await using StubServer comms = await CommsAsync();
        int port = new Uri(comms.Url).Port;
        Settings settings = RunningHost.Settings(new()
        {
            ["HTTP_SERVER_PORT"] = $"{port}", ["CATALYST_URLS"] = comms.Url, ["ARCHIPELAGO_STATS_URL"] = comms.Url, ["ARCHIPELAGO_WS_CONNECTOR_URL"] = comms.Url,
        });
        ConfigurationException e = await Assert.ThrowsAsync<ConfigurationException>(async () =>
        {
            await using Microsoft.AspNetCore.Builder.WebApplication app = RealmProviderHost.Build(new HostContext(settings, new Messaging.InProcessBroker().Connect(), TimeProvider.System));
            await HostRunner.StartAsync(app, "TEST");
        });
        Assert.Contains("Stop what uses the port", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Comms_that_do_not_answer_in_time_or_at_all_are_unhealthy()
    {
        var never = new TaskCompletionSource();
        await using StubServer stuck = await StubServer.StartAsync(c => never.Task.WaitAsync(c.RequestAborted));
        await using RunningHost host = await StartAsync(stuck, ("CATALYST_CONTENT_URL", "https://c"), ("CATALYST_LAMBDAS_URL", "https://l"), ("PROBE_TIMEOUT_MS", "300"));
        Assert.Contains("\"healthy\":false,\"acceptingUsers\":false", await host.GetAsync("/main/about"), StringComparison.Ordinal);
        Assert.Equal("[]", await host.GetAsync("/realms"));
        never.SetResult();
    }

    [Fact]
    public async Task Ping_and_status_answer()
    {
        await using StubServer comms = await CommsAsync();
        await using RunningHost host = await StartAsync(comms, ("CATALYST_CONTENT_URL", "https://c"), ("CATALYST_LAMBDAS_URL", "https://l"));
        Assert.Equal("/ping", await host.GetAsync("/ping?x=1"));
        Assert.StartsWith("{\"version\":\"\",\"currentTime\":", await host.GetAsync("/status"), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.NotFound, (await host.SendAsync(HttpMethod.Get, "/main")).StatusCode);
    }

    [Theory]
    [InlineData("no content server", "ETH_RPC_URL", "")]
    [InlineData("a fixed content server needs both", "CATALYST_CONTENT_URL", "https://c")]
    [InlineData("ABOUT_UNHEALTHY_STATUS is 500", "ABOUT_UNHEALTHY_STATUS", "500")]
    [InlineData("CATALYST_PROBE_INTERVAL_MS is 0", "CATALYST_PROBE_INTERVAL_MS", "0")]
    [InlineData("CATALYST_URLS holds \"x\"", "CATALYST_URLS", "x")]
    [InlineData("ETH_NETWORK is \"moon\"", "ETH_NETWORK", "moon")]
    public async Task Configuration_that_cannot_work_is_refused(string message, string name, string value)
    {
        await using StubServer comms = await CommsAsync();
        ConfigurationException e = await Assert.ThrowsAsync<ConfigurationException>(() => StartAsync(comms, (name, value)));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }
}

public class CatalystChoiceTests
{
    private static Catalysts.Catalyst Node(string url, string content = "1.0.0", string lambdas = "1.0.0") => new(url, new JsonObject
    {
        ["content"] = new JsonObject { ["version"] = content }, ["lambdas"] = new JsonObject { ["version"] = lambdas },
    });

    private static string? Choose(Catalysts.Catalyst[] nodes, string country = "", string? preferred = null, string blacklist = "")
    {
        var choice = new CatalystChoice(
            RealmProviderOptions.Read(RunningHost.Settings(new() { ["CATALYST_URLS"] = "https://x", ["BLACKLISTED_CATALYST"] = blacklist })), new Geography(new Random(1)));
        string[] candidates = [.. choice.Candidates(nodes).Select(c => c.Url)];
        int index = choice.Choose(candidates, country, preferred);
        return index < 0 ? null : candidates[index];
    }

    [Fact]
    public void The_first_is_taken_unless_a_better_reason_is_given()
    {
        Catalysts.Catalyst[] nodes = [Node("https://a"), Node("https://B"), Node("https://c")];
        Assert.Equal("https://a", Choose(nodes));
        Assert.Equal("https://c", Choose(nodes, preferred: "https://c"));
        Assert.Equal("https://a", Choose(nodes, preferred: "https://C"));
        Assert.Equal("https://a", Choose(nodes, preferred: "https://c/"));
        Assert.Equal("https://c", Choose(nodes, preferred: "https://a", blacklist: ";https://a;/b;"));
        Assert.Equal("https://a", Choose(nodes, blacklist: "https://A; https://a")); // capitals and blanks never match
        Assert.Null(Choose(nodes, blacklist: "https"));
        Assert.Null(Choose([], "AR"));
    }

    [Fact]
    public void Only_the_newest_are_offered_unless_the_newest_of_each_kind_are_on_different_nodes()
    {
        Assert.Equal("https://b", Choose([Node("https://a", "6.0.0"), Node("https://b", "6.10.0"), Node("https://c", "6.9.9")], preferred: "https://a"));
        Assert.Equal("https://a", Choose([Node("https://a", "6.0.0-rc1", "1.0"), Node("https://b", "6.0.0", "1.0.0")]));
        Assert.Equal("https://b", Choose([Node("https://a", "2.0.0", "1.0.0"), Node("https://b", "1.0.0", "2.0.0")], preferred: "https://b"));
        Assert.Equal("https://b", Choose([Node("https://a", "nonsense"), Node("https://b", "0.0.1")]));
        // The blacklist comes first: the newest that may not be offered leaves the others as they are.
        Assert.Equal("https://a", Choose([Node("https://a", "6.0.0"), Node("https://new", "7.0.0")], blacklist: "new"));
    }

    [Fact]
    public void Geography_decides_by_country_and_a_wish_decides_over_it()
    {
        Catalysts.Catalyst[] nodes = [Node("https://peer-ec1.decentraland.org"), Node("https://peer-eu.decentraland.org")];
        Assert.Equal("https://peer-eu.decentraland.org", Choose(nodes, "de"));
        Assert.Equal("https://peer-ec1.decentraland.org", Choose(nodes, "de", "https://peer-ec1.decentraland.org"));
    }
}

public class GeographyTests
{
    private static readonly JsonElement Vectors = JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors", "geo.json"))).RootElement;
    private readonly Geography geography = new(new Random(7));

    [Fact]
    public void Every_country_has_the_nearest_node_of_the_reference()
    {
        string[] candidates = [.. Vectors.GetProperty("candidatesForNearest").EnumerateArray().Select(c => c.GetString()!)];
        int checkedCountries = 0;
        foreach (JsonProperty country in Vectors.GetProperty("countries").EnumerateObject())
        {
            Assert.Equal(country.Value.GetProperty("nearest").GetString(), candidates[geography.Nearest(country.Name, candidates)]);
            checkedCountries++;
        }
        Assert.Equal(245, checkedCountries);
    }

    [Fact]
    public void Distances_are_those_of_the_reference()
    {
        foreach (JsonProperty pair in Vectors.GetProperty("distancesKm").EnumerateObject())
            Assert.Equal(pair.Value.GetDouble(), geography.DistanceKm(pair.Name[..2], pair.Name[3..]), 1e-6);
    }

    [Fact]
    public void Hosts_are_recognised_as_the_reference_does()
    {
        foreach (JsonElement pair in Vectors.GetProperty("hostMatching").EnumerateArray())
            Assert.Equal(pair[1].GetString(), Geography.CountryOf(pair[0].GetString()!));
    }

    [Fact]
    public void Where_the_rules_leave_it_to_chance_everybody_gets_a_turn()
    {
        string[] unknown = ["https://a", "https://b", "https://c"], twins = ["https://peer-ec1.decentraland.org", "https://x", "https://peer-wc.decentraland.org"];
        Assert.Equal([0, 1, 2], Enumerable.Range(0, 100).Select(_ => geography.Nearest("DE", unknown)).Distinct().Order());
        Assert.Equal([0, 1, 2], Enumerable.Range(0, 100).Select(_ => geography.Nearest("XX", twins)).Distinct().Order());
        Assert.Equal([0, 2], Enumerable.Range(0, 100).Select(_ => geography.Nearest("US", twins)).Distinct().Order());
    }
}
