using System.Diagnostics.Metrics;
using System.Net;
using Archipelago.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Archipelago.Hosting.Tests;

public class HostTests
{
    private static WebApplication Build(HostContext context, HttpStyle style, bool ready = true)
    {
        var host = new ArchipelagoHost(context, 0, style);
        host.Services.AddSingleton(new ReadinessCheck("bus", () => ready));
        WebApplication app = host.Build();
        app.MapRoute("/things/:id", http => Json.WriteAsync(http, 200, json =>
        {
            json.WriteStartArray();
            json.WriteStringValue((string)http.Request.RouteValues["id"]!);
            json.WriteNumber(0.1f);
            json.WriteNumber(float.NaN);
            json.WriteNumber(-0.0);
            json.WriteEndArray();
        }));
        app.MapRoute("/fails", _ => throw new InvalidOperationException("on purpose"));
        return app;
    }

    private static Task<RunningHost> StartAsync(HttpStyle style, Dictionary<string, string>? values = null, bool ready = true) =>
        RunningHost.StartAsync(c => Build(c, style, ready), values);

    [Fact]
    public async Task Health_says_alive_and_whether_the_parts_are_ready()
    {
        await using RunningHost host = await StartAsync(HttpStyle.Credentialed);
        Assert.Equal("alive", await host.GetAsync("/health/live"));
        HttpResponseMessage ready = await host.SendAsync(HttpMethod.Get, "/health/ready");
        Assert.Equal("application/health+json; charset=utf-8", ready.Content.Headers.ContentType!.ToString());
        Assert.Equal("""{"details":{"server":{"status":"pass"},"bus":{"status":"pass"}},"status":"pass"}""", await ready.Content.ReadAsStringAsync());
        Assert.Equal("""{"details":{"server":{"status":"pass"}},"status":"pass"}""", await host.GetAsync("/health/startup"));

        await using RunningHost cut = await StartAsync(HttpStyle.Credentialed, ready: false);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await cut.SendAsync(HttpMethod.Get, "/health/ready")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await cut.SendAsync(HttpMethod.Get, "/health/live")).StatusCode);
    }

    [Fact]
    public async Task Paths_are_matched_as_the_services_replaced_do()
    {
        await using RunningHost host = await StartAsync(HttpStyle.Credentialed);
        Assert.Equal("""["Ab",0.10000000149011612,null,0]""", await host.GetAsync("/THINGS/Ab/"));

        HttpResponseMessage head = await host.SendAsync(HttpMethod.Head, "/things/x");
        Assert.Equal("application/json", head.Content.Headers.ContentType!.ToString());
        Assert.Null(head.Content.Headers.ContentLength);

        HttpResponseMessage post = await host.SendAsync(HttpMethod.Post, "/things/x");
        Assert.Equal(HttpStatusCode.MethodNotAllowed, post.StatusCode);
        Assert.Equal(["HEAD", "GET"], post.Content.Headers.Allow);
        Assert.Equal("", await post.Content.ReadAsStringAsync());

        HttpResponseMessage unknown = await host.SendAsync(HttpMethod.Get, "/nowhere");
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
        Assert.Equal("text/plain; charset=utf-8", unknown.Content.Headers.ContentType!.ToString());
        Assert.Equal("Not found", await unknown.Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData(HttpStyle.Credentialed, "")]
    [InlineData(HttpStyle.Public, """{"error":"Internal Server Error"}""")]
    public async Task A_failing_route_answers_500(HttpStyle style, string body)
    {
        await using RunningHost host = await StartAsync(style);
        HttpResponseMessage failed = await host.SendAsync(HttpMethod.Get, "/fails");
        Assert.Equal(HttpStatusCode.InternalServerError, failed.StatusCode);
        Assert.Equal(body, await failed.Content.ReadAsStringAsync());
    }

    private static string Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? string.Join(",", values) : "";

    [Fact]
    public async Task Stats_and_Service_echo_the_origin_with_credentials()
    {
        await using RunningHost host = await StartAsync(HttpStyle.Credentialed);
        HttpResponseMessage plain = await host.SendAsync(HttpMethod.Get, "/things/1");
        Assert.Equal("", Header(plain, "Access-Control-Allow-Origin"));

        foreach (string path in (string[])["/things/1", "/nowhere", "/health/live"])
        {
            HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, path, ("Origin", "https://x.example"));
            Assert.Equal("https://x.example", Header(response, "Access-Control-Allow-Origin"));
            Assert.Equal("true", Header(response, "Access-Control-Allow-Credentials"));
            Assert.Equal("Origin", Header(response, "Vary"));
        }

        HttpResponseMessage options = await host.SendAsync(HttpMethod.Options, "/nowhere", ("Origin", "https://x.example"));
        Assert.Equal(HttpStatusCode.NoContent, options.StatusCode);
        Assert.Equal("GET,HEAD,POST,PUT,DELETE,CONNECT,TRACE,PATCH", Header(options, "Access-Control-Allow-Methods"));
        Assert.Equal("86400", Header(options, "Access-Control-Max-Age"));
    }

    [Fact]
    public async Task The_realm_provider_allows_everybody()
    {
        await using RunningHost host = await StartAsync(HttpStyle.Public);
        Assert.Equal("*", Header(await host.SendAsync(HttpMethod.Get, "/things/1", ("Origin", "https://x.example")), "Access-Control-Allow-Origin"));
        HttpResponseMessage options = await host.SendAsync(HttpMethod.Options, "/things/1", ("Access-Control-Request-Headers", "X-A, X-B"));
        Assert.Equal(HttpStatusCode.NoContent, options.StatusCode);
        Assert.Equal("*", Header(options, "Access-Control-Allow-Origin"));
        Assert.Equal("36000", Header(options, "Access-Control-Max-Age"));
        Assert.Equal("X-A, X-B", Header(options, "Access-Control-Allow-Headers"));
        Assert.Equal("", Header(options, "Access-Control-Allow-Methods"));
    }

    [Fact]
    public async Task The_connector_has_errors_in_JSON()
    {
        await using RunningHost host = await StartAsync(HttpStyle.Connector);
        foreach (HttpMethod method in (HttpMethod[])[HttpMethod.Get, HttpMethod.Post, HttpMethod.Options])
        {
            HttpResponseMessage unknown = await host.SendAsync(method, "/nowhere");
            Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
            Assert.Equal("""{"error":"Not Found"}""", await unknown.Content.ReadAsStringAsync());
            Assert.Equal("*", Header(unknown, "Access-Control-Allow-Origin"));
        }
    }

    [Fact]
    public async Task Metrics_are_those_of_this_host_alone()
    {
        await using RunningHost one = await StartAsync(HttpStyle.Credentialed), two = await StartAsync(HttpStyle.Credentialed);
        one.Services.GetRequiredService<IMeterFactory>().Create("test").CreateCounter<long>("things_total", description: "Things.").Add(3, new KeyValuePair<string, object?>("kind", "a\"b"));
        await one.GetAsync("/things/7");
        string text = await one.GetAsync("/metrics"), other = await two.GetAsync("/metrics");
        Assert.Contains("# TYPE things_total counter\nthings_total{kind=\"a\\\"b\"} 3\n", text, StringComparison.Ordinal);
        Assert.Contains("http_requests_total{method=\"GET\",handler=\"/things/:id\",code=\"200\"} 1", text, StringComparison.Ordinal);
        Assert.Contains("http_request_duration_seconds_bucket{method=\"GET\",handler=\"/things/:id\",code=\"200\",le=\"+Inf\"} 1", text, StringComparison.Ordinal);
        Assert.Contains("process_cpu_seconds_total ", text, StringComparison.Ordinal);
        Assert.DoesNotContain("things_total", other, StringComparison.Ordinal);
        // Every line as the format wants it, so that the web server's own meters are not in it.
        Assert.All(text.TrimEnd('\n').Split('\n'), line => Assert.Matches("""^(# (HELP|TYPE) [a-zA-Z_][a-zA-Z0-9_]* .+|[a-zA-Z_][a-zA-Z0-9_]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\.)*",?)+\})? \S+)$""", line));
        Assert.DoesNotContain("http_request_size_bytes", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(HttpStyle.Credentialed, "Origin")]
    [InlineData(HttpStyle.Public, "Access-Control-Request-Headers")]
    public async Task Headers_that_cannot_be_echoed_count_as_absent(HttpStyle style, string header)
    {
        await using RunningHost host = await StartAsync(style);
        using var client = new System.Net.Sockets.TcpClient("127.0.0.1", host.Http.BaseAddress!.Port);
        await using System.Net.Sockets.NetworkStream stream = client.GetStream();
        await stream.WriteAsync(System.Text.Encoding.UTF8.GetBytes($"OPTIONS /things/1 HTTP/1.1\r\nHost: x\r\n{header}: \u00e9\r\nConnection: close\r\n\r\n"));
        using var reader = new StreamReader(stream);
        Assert.Equal("HTTP/1.1 204 No Content", await reader.ReadLineAsync());
    }

    [Fact]
    public async Task Metrics_can_be_behind_a_token_and_elsewhere()
    {
        await using RunningHost host = await StartAsync(HttpStyle.Credentialed, new()
        {
            ["WKC_METRICS_BEARER_TOKEN"] = "secret", ["WKC_METRICS_PUBLIC_PATH"] = "/inner", ["WKC_METRICS_COLLECT_DEFAULT"] = "false",
        });
        Assert.Equal(HttpStatusCode.NotFound, (await host.SendAsync(HttpMethod.Get, "/metrics")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await host.SendAsync(HttpMethod.Get, "/inner")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await host.SendAsync(HttpMethod.Get, "/inner", ("Authorization", "Bearer wrong"))).StatusCode);
        HttpResponseMessage ok = await host.SendAsync(HttpMethod.Get, "/inner", ("Authorization", "Bearer secret"));
        Assert.Equal(HttpStatusCode.OK, ok.StatusCode);
        Assert.DoesNotContain("process_", await ok.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_taken_port_is_told_with_what_to_do()
    {
        await using RunningHost first = await StartAsync(HttpStyle.Credentialed);
        var settings = new Settings("STATS", [new Dictionary<string, string> { ["HTTP_SERVER_HOST"] = "127.0.0.1", ["HTTP_SERVER_PORT"] = $"{first.Http.BaseAddress!.Port}" }]);
        await using WebApplication second = Build(new HostContext(settings, new Messaging.InProcessBroker().Connect(), TimeProvider.System), HttpStyle.Credentialed);
        ConfigurationException e = await Assert.ThrowsAsync<ConfigurationException>(() => HostRunner.StartAsync(second, "STATS"));
        Assert.Contains("STATS__HTTP_SERVER_PORT", Assert.Single(e.Faults), StringComparison.Ordinal);
    }

    [Fact]
    public void A_cause_is_logged_once_in_a_period_and_the_rest_counted()
    {
        var clock = new ManualClock();
        var throttle = new LogThrottle(clock, TimeSpan.FromSeconds(10));
        Assert.True(throttle.ShouldLog("a", out _));
        Assert.False(throttle.ShouldLog("a", out _));
        Assert.False(throttle.ShouldLog("a", out _));
        Assert.True(throttle.ShouldLog("b", out _));
        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.True(throttle.ShouldLog("a", out long suppressed));
        Assert.Equal(2, suppressed);
    }

    private static Gatekeeper GatekeeperAt(string url, TimeProvider clock) => new(
        RunningHost.Settings(new() { ["COMMS_GATEKEEPER_URL"] = url }).HttpUrl("COMMS_GATEKEEPER_URL"), failsClosed: false, clock,
        new LogThrottle(clock, TimeSpan.FromSeconds(1)), Microsoft.Extensions.Logging.Abstractions.NullLogger<Gatekeeper>.Instance);

    [Theory]
    [InlineData("""{"data":{"isBanned":true}}""", BanStatus.Banned)]
    [InlineData("""{"data":{"isBanned":"true"}}""", BanStatus.NotBanned)]
    [InlineData("""{"data":[]}""", BanStatus.NotBanned)]
    [InlineData("nonsense", BanStatus.Unknown)]
    public async Task The_gatekeeper_decides_and_nonsense_is_no_answer(string body, BanStatus status)
    {
        await using StubServer server = await StubServer.StartAsync(c => c.Response.WriteAsync(body));
        using Gatekeeper gatekeeper = GatekeeperAt(server.Url + "/", TimeProvider.System);
        Assert.Equal(status, await gatekeeper.AskAsync("0xab"));
        Assert.Equal(["/users/0xab/bans"], server.Requests);
    }

    [Fact]
    public async Task The_gatekeepers_answer_is_remembered_for_half_a_minute()
    {
        string body = "{}";
        await using StubServer server = await StubServer.StartAsync(c => c.Response.WriteAsync(body));
        var clock = new ManualClock();
        using Gatekeeper gatekeeper = GatekeeperAt(server.Url, clock);
        Assert.Equal(BanStatus.NotBanned, await gatekeeper.CheckAsync("0xab"));
        body = """{"data":{"isBanned":true}}""";
        clock.Advance(TimeSpan.FromSeconds(29));
        Assert.Equal(BanStatus.NotBanned, await gatekeeper.CheckAsync("0xab"));
        Assert.Equal(BanStatus.Banned, await gatekeeper.CheckAsync("0xcd"));
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(BanStatus.Banned, await gatekeeper.CheckAsync("0xab"));
        Assert.Equal(3, server.Requests.Count);
        Assert.Equal(BanStatus.Banned, await gatekeeper.AskAsync("0xab"));
        Assert.Equal(4, server.Requests.Count);
    }

    [Fact]
    public async Task A_gatekeeper_that_hangs_delays_everybody_by_a_second_however_many_ask()
    {
        var never = new TaskCompletionSource();
        await using StubServer server = await StubServer.StartAsync(_ => never.Task);
        using Gatekeeper gatekeeper = GatekeeperAt(server.Url, TimeProvider.System);
        // Five times as many as are asked about at once: the others give up waiting when their second is over, and never ask.
        Task<BanStatus>[] all = [.. Enumerable.Range(0, 320).Select(i => gatekeeper.AskAsync($"0x{i:x40}"))];
        Assert.All(await Task.WhenAll(all), s => Assert.Equal(BanStatus.Unknown, s));
        Assert.Equal(320, gatekeeper.Unanswered);
        Assert.InRange(server.Requests.Count, 1, 128);
        never.SetResult();
    }

    [Fact]
    public async Task Metrics_and_traces_go_to_a_collector_where_one_is_named()
    {
        var kinds = new System.Collections.Concurrent.ConcurrentDictionary<string, int>();
        await using StubServer collector = await StubServer.StartAsync(async http =>
        {
            using var body = new MemoryStream();
            await http.Request.Body.CopyToAsync(body);
            if (http.Request.ContentType == "application/x-protobuf")
                kinds[http.Request.Path] = (int)body.Length;
        });
        RunningHost host = await RunningHost.StartAsync(c => Build(c, HttpStyle.Public), new() { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Url, ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf" });
        using (host.Services.GetRequiredService<System.Diagnostics.ActivitySource>().StartActivity("something"))
            await host.GetAsync("/health/live");
        await host.DisposeAsync(); // the last of it is sent at the end
        Assert.True(kinds.GetValueOrDefault("/v1/metrics") > 100 && kinds.GetValueOrDefault("/v1/traces") > 10, string.Join(' ', kinds.Keys));
        Assert.Throws<ConfigurationException>(() => Build(new HostContext(RunningHost.Settings(new() { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Url, ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "smoke" }), new Messaging.InProcessBroker().Connect(), TimeProvider.System), HttpStyle.Public));
    }

    [Fact]
    public async Task Of_two_hosts_in_one_process_each_tells_a_collector_of_itself_alone()
    {
        var told = new System.Collections.Concurrent.ConcurrentDictionary<string, string>();
        Task<StubServer> CollectAsync(string name) => StubServer.StartAsync(async http =>
        {
            using var body = new MemoryStream();
            await http.Request.Body.CopyToAsync(body);
            // Names of activities and metrics stand in a message of protobuf as they are.
            string text = System.Text.Encoding.Latin1.GetString(body.ToArray());
            told.AddOrUpdate(name + http.Request.Path, text, (_, earlier) => earlier + text);
        });
        await using StubServer first = await CollectAsync("first"), second = await CollectAsync("second");
        Task<RunningHost> HostAsync(StubServer collector) =>
            RunningHost.StartAsync(c => Build(c, HttpStyle.Public), new() { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Url, ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf" });
        RunningHost one = await HostAsync(first), two = await HostAsync(second);
        one.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>().Create("archipelago.test").CreateCounter<long>("only_in_the_first").Add(1);
        two.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>().Create("archipelago.test").CreateCounter<long>("only_in_the_second").Add(1);
        await one.DisposeAsync();
        await two.DisposeAsync();
        Assert.Contains("only_in_the_first", told["first/v1/metrics"], StringComparison.Ordinal);
        Assert.Contains("only_in_the_second", told["second/v1/metrics"], StringComparison.Ordinal);
        Assert.DoesNotContain("only_in_the_second", told["first/v1/metrics"], StringComparison.Ordinal);
        Assert.DoesNotContain("only_in_the_first", told["second/v1/metrics"], StringComparison.Ordinal);
    }
}
