using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using Archipelago.Cli;
using Archipelago.Cli.Bots;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Stats;
using Archipelago.Testing;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.Playwright;
using Xunit.Abstractions;
using Position = Decentraland.Common.Position;

namespace Interop.Tests;

/// <summary>A browser, the one that the system has.</summary>
public sealed class BrowserFixture : IAsyncLifetime
{
    private IPlaywright playwright = null!;

    public IBrowser Browser { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        playwright = await Playwright.CreateAsync();
        Browser = await playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = Environment.GetEnvironmentVariable("PATH")!.Split(':').Select(d => Path.Combine(d, "chromium")).First(File.Exists),
            Args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        });
    }

    public async Task DisposeAsync()
    {
        await Browser.DisposeAsync();
        playwright.Dispose();
    }
}

/// <summary>The live map in a real browser.</summary>
public sealed class MapTests(BrowserFixture fixture, ITestOutputHelper output) : IClassFixture<BrowserFixture>, IAsyncLifetime
{
    private readonly ConcurrentQueue<string> complaints = new();
    private readonly ConcurrentBag<string> asked = [];
    private readonly InProcessBroker broker = new();
    private IMessageBus bus = null!;
    private WebApplication? stats;
    private IPage page = null!;

    public async Task InitializeAsync()
    {
        bus = broker.Connect();
        page = await NewPageAsync(new() { ViewportSize = new() { Width = 1280, Height = 800 } });
    }

    public async Task DisposeAsync()
    {
        await page.Context.CloseAsync();
        await StopStatsAsync();
        await bus.DisposeAsync();
    }

    private async Task<IPage> NewPageAsync(BrowserNewContextOptions options)
    {
        IPage made = await (await fixture.Browser.NewContextAsync(options)).NewPageAsync();
        made.SetDefaultTimeout(20_000);
        made.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning")
                complaints.Enqueue(message.Text);
        };
        made.PageError += (_, error) => complaints.Enqueue(error);
        made.Dialog += (_, dialog) => complaints.Enqueue("a dialog: " + dialog.Message);
        made.Request += (_, request) => asked.Add(new Uri(request.Url).GetLeftPart(UriPartial.Authority));
        return made;
    }

    private async Task<Uri> StatsAsync(int port = 0)
    {
        var settings = new Settings("STATS", [], new Dictionary<string, string> { ["HTTP_SERVER_HOST"] = "127.0.0.1", ["HTTP_SERVER_PORT"] = port.ToString(CultureInfo.InvariantCulture) });
        stats = StatsHost.Build(new HostContext(settings, broker.Connect(), TimeProvider.System));
        await HostRunner.StartAsync(stats, "STATS");
        return HostRunner.AddressOf(stats);
    }

    private async Task StopStatsAsync()
    {
        if (stats is null)
            return;
        await stats.StopAsync();
        await stats.DisposeAsync();
        stats = null;
    }

    private ValueTask StandAsync(string id, float x, float z) =>
        bus.PublishAsync(Subjects.Heartbeat(id), new Heartbeat { Position = new Position { X = x, Z = z } }.ToByteArray());

    private async Task IslandsAsync(params (string Id, uint Max, string[] Members)[] islands)
    {
        var report = new IslandStatusMessage();
        foreach ((string id, uint max, string[] members) in islands)
            report.Data.Add(new IslandData { Id = id, MaxPeers = max, Center = new Position { X = 0, Z = 0 }, Radius = 20, Peers = { members } });
        await bus.PublishAsync(Subjects.Islands, report.ToByteArray());
    }

    private Task<string> TextAsync(string selector) => page.Locator(selector).InnerTextAsync();

    private async Task<double> NumberAsync(string expression) => await page.EvaluateAsync<double>(expression);

    private async Task ShotAsync(IPage of, string name)
    {
        string path = Path.Combine(AppContext.BaseDirectory, "screenshots", name + ".png");
        await of.ScreenshotAsync(new() { Path = path });
        output.WriteLine(path);
    }

    private void AssertQuiet(Uri host)
    {
        Assert.Empty(complaints);
        Assert.Equal([host.GetLeftPart(UriPartial.Authority)], asked.Distinct());
    }

    [Fact]
    public async Task Of_several_Services_the_map_names_the_one_that_leads()
    {
        Uri host = await StatsAsync();
        await page.GotoAsync(new Uri(host, "/map").ToString());
        await StandAsync("0xa", 0, 0);
        await Eventually.TrueAsync(async () => await TextAsync("#people") == "1");
        Assert.True(await page.Locator("#leader").IsHiddenAsync());
        async Task LeadAsync(string node, long term, params StandbyStatus[] standbys)
        {
            var status = new LeaderStatus { Term = term, Node = node, Since = 1_768_478_400_000, Cause = "expired", Standbys = { standbys } };
            await bus.PublishAsync(Subjects.Leader, status.ToByteArray(), headers: TermFence.HeadersOf(term));
            await Eventually.TrueAsync(async () => await page.Locator("#leader").IsVisibleAsync() && (await TextAsync("#leader")).Contains($"Led by {node} since ", StringComparison.Ordinal));
        }
        await LeadAsync("one-<b>", 7, new StandbyStatus { Node = "two", Ready = true, LagMs = 12.4 }, new StandbyStatus { Node = "three" });
        Assert.EndsWith("(term 7, expired). Standing by: two, 12 ms behind; three, not ready.", await TextAsync("#leader"), StringComparison.Ordinal);
        await LeadAsync("two", 8);
        Assert.EndsWith("Nobody stands by.", await TextAsync("#leader"), StringComparison.Ordinal);
        AssertQuiet(host);
    }

    [Fact]
    public async Task The_map_shows_the_people_that_the_API_knows_and_follows_one()
    {
        var values = new Dictionary<string, string> { ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "0.5", ["LIVEKIT_ISLAND_SIZE"] = "36" };
        foreach (string scope in (string[])["SERVICE", "CONNECTOR", "STATS", "REALM_PROVIDER"])
            values[scope + "__HTTP_SERVER_PORT"] = "0";
        await using Realm realm = await Realm.StartAsync([values]);
        using var ending = new CancellationTokenSource();
        Task bots = Swarm.RunAsync(new SwarmOptions(realm.WebSocket, 300, Timeout.InfiniteTimeSpan, Seed: 4), new SwarmProgress(), ending.Token);
        using var http = new HttpClient();
        async Task<JsonElement> ApiAsync(string path) => JsonDocument.Parse(await http.GetStringAsync(new Uri(realm.Stats, path))).RootElement;

        await page.GotoAsync(new Uri(realm.Stats, "/map").ToString());
        await Eventually.TrueAsync(async () => await TextAsync("#people") == "300");
        await Eventually.TrueAsync(async () => await TextAsync("#islands") == (await ApiAsync("/islands")).GetProperty("islands").GetArrayLength().ToString(CultureInfo.InvariantCulture));
        Assert.Equal("live", await TextAsync("#state"));
        await Eventually.TrueAsync(async () => await TextAsync("#heartbeats") is { } rate && double.TryParse(rate, out double beats) && beats > 50);
        await Eventually.TrueAsync(async () => await TextAsync("#flush") != "0");

        // By the beginning of the address, in capitals: the view goes there and stays with them.
        string id = (await ApiAsync("/peers")).GetProperty("peers")[7].GetProperty("id").GetString()!;
        await page.Keyboard.PressAsync("/");
        await page.Keyboard.TypeAsync(id[..12].ToUpperInvariant());
        await page.Keyboard.PressAsync("Enter");
        Assert.Equal(id, await TextAsync("#details h2"));
        async Task<bool> IsInTheMiddleAsync() => await NumberAsync($"(() => {{ const p = liveMap.screenOf('{id}'); return Math.hypot(p.x - innerWidth / 2, p.y - innerHeight / 2) }})()") < 8;
        await Eventually.TrueAsync(IsInTheMiddleAsync);
        double x = await NumberAsync("liveMap.camera.x");
        await Eventually.TrueAsync(async () => await NumberAsync("liveMap.camera.x") != x && await IsInTheMiddleAsync());
        await Eventually.TrueAsync(async () => (await TextAsync("#details")).Contains("nearest are in the same island", StringComparison.Ordinal));

        // The island of who is followed, and back to one of its members.
        await page.Locator("#details .link").First.ClickAsync();
        Assert.StartsWith("Island I", await TextAsync("#details h2"), StringComparison.Ordinal);
        string member = await page.Locator("#details li button").First.InnerTextAsync();
        await page.Locator("#details li button").First.ClickAsync();
        Assert.Equal(member, await TextAsync("#details h2"));
        await page.Keyboard.PressAsync("Escape");
        await Eventually.TrueAsync(() => page.Locator("#details").IsHiddenAsync());
        // Coloured by company, and what the Service has measured of it.
        Assert.True(await page.Locator("#shares").IsHiddenAsync());
        await page.Keyboard.PressAsync("c");
        Assert.True(await page.Locator("#shares").IsVisibleAsync());
        await Eventually.TrueAsync(async () => (await NumberAsync("liveMap.world.share?.length ?? 0")) > 0);
        await Eventually.TrueAsync(async () => double.TryParse(await TextAsync("#recall"), out double share) && share is > 0 and <= 100);
        await ShotAsync(page, "company");
        await page.ClickAsync("#company");
        Assert.True(await page.Locator("#shares").IsHiddenAsync());
        await page.FillAsync("#query", "");
        await page.ClickAsync("#fit");
        await page.Mouse.MoveAsync(600, 420);
        await page.Mouse.WheelAsync(0, -180);
        await Eventually.TrueAsync(async () => await NumberAsync("liveMap.frames") > 50);
        await ShotAsync(page, "map");
        await ending.CancelAsync();
        await bots;
        AssertQuiet(realm.Stats);
    }

    [Fact]
    public async Task A_pointer_finds_people_and_islands_and_a_link_finds_a_place()
    {
        Uri address = await StatsAsync();
        await StandAsync("0xann", 0, 0);
        await StandAsync("0xbob", 30, 0);
        await StandAsync("0xfar", 3000, 2000);
        await IslandsAsync(("I1", 2, ["0xann", "0xbob"]));
        await page.GotoAsync(new Uri(address, "/map#15,0,4").ToString());
        await Eventually.TrueAsync(async () => await TextAsync("#people") == "3");
        Assert.Equal((15, 0, 4), (await NumberAsync("liveMap.camera.x"), await NumberAsync("liveMap.camera.z"), await NumberAsync("liveMap.camera.scale")));

        // Bob is 15 m east of the middle.
        await page.Mouse.MoveAsync(640 + 60, 400);
        Assert.Equal("0xbob\nisland I1, 2 of 2", await TextAsync("#tooltip"));
        await page.Mouse.ClickAsync(640 + 60, 400);
        Assert.Equal("0xbob", await TextAsync("#details h2"));
        Assert.Contains("parcel 1,0", await TextAsync("#details"), StringComparison.Ordinal);
        await page.Keyboard.PressAsync("Escape");

        // The wheel zooms to the place under the pointer, which stays there.
        await page.Mouse.MoveAsync(300, 200);
        double before = await NumberAsync("liveMap.camera.toWorld(300, 200).x");
        await page.Mouse.WheelAsync(0, -400);
        await Eventually.TrueAsync(async () => await NumberAsync("liveMap.camera.scale") > 5);
        Assert.Equal(before, await NumberAsync("liveMap.camera.toWorld(300, 200).x"), 1e-6);

        // A hand on the map moves it, and the address of the page follows.
        await page.Mouse.DownAsync();
        await page.Mouse.MoveAsync(400, 260);
        await page.Mouse.UpAsync();
        Assert.Equal(before, await NumberAsync("liveMap.camera.toWorld(400, 260).x"), 1e-6);
        await Eventually.TrueAsync(async () => await page.EvaluateAsync<bool>("location.hash === liveMap.camera.hash"));
        Assert.True(await page.Locator("#details").IsHiddenAsync());

        await page.EvaluateAsync("location.hash = '#3000,2000,2'");
        await Eventually.TrueAsync(async () => await NumberAsync("liveMap.camera.x") == 3000);
        await page.FillAsync("#query", "0,0");
        await page.Keyboard.PressAsync("Enter");
        Assert.Equal((8, 8), (await NumberAsync("liveMap.camera.x"), await NumberAsync("liveMap.camera.z")));
        await page.FillAsync("#query", "0xnobody");
        await page.Keyboard.PressAsync("Enter");
        Assert.Equal("nothing", await page.Locator("#query").GetAttributeAsync("class"));
        await page.FillAsync("#query", "I1");
        await page.Keyboard.PressAsync("Enter");
        Assert.Equal("Island I1", await TextAsync("#details h2"));
        // Everybody fits, beside what lies over the edges.
        await page.ClickAsync("#fit");
        foreach (string id in (string[])["0xann", "0xfar"])
            Assert.True(await page.EvaluateAsync<bool>($"(() => {{ const p = liveMap.screenOf('{id}'); return p.x > 60 && p.x < 980 && p.y > 80 && p.y < 770 }})()"));
        AssertQuiet(address);
    }

    [Fact]
    public async Task A_lost_connection_is_told_and_comes_back_with_the_host()
    {
        Uri address = await StatsAsync();
        await StandAsync("0xann", 0, 0);
        await page.GotoAsync(new Uri(address, "/map").ToString());
        await Eventually.TrueAsync(async () => await TextAsync("#people") == "1");
        await StopStatsAsync();
        await Eventually.TrueAsync(() => page.Locator("#banner").IsVisibleAsync());
        Assert.Equal("connection lost", await TextAsync("#state"));
        Assert.Equal("1", await TextAsync("#people"));

        await StatsAsync(address.Port);
        await StandAsync("0xbob", 0, 0);
        await StandAsync("0xcid", 0, 0);
        await Eventually.TrueAsync(() => page.Locator("#banner").IsHiddenAsync());
        await Eventually.TrueAsync(async () => await TextAsync("#people") == "2");
        // Nothing but that nobody was there.
        Assert.All(complaints, c => Assert.Contains("net::ERR", c, StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_the_bus_says_is_data_and_never_markup()
    {
        Uri address = await StatsAsync();
        const string Person = "<img/src=x/onerror=alert(1)", Island = "\"><script>alert(2)</script><img src=x onerror=alert(3)>";
        await StandAsync(Person, 0, 0);
        await IslandsAsync((Island, 10, [Person]));
        await page.GotoAsync(new Uri(address, "/map#0,0,4").ToString());
        await Eventually.TrueAsync(async () => await TextAsync("#people") == "1");
        await page.Mouse.MoveAsync(640, 400);
        await Eventually.TrueAsync(() => page.Locator("#tooltip").IsVisibleAsync());
        Assert.Equal($"{Person}\nisland {Island}, 1 of 10", await TextAsync("#tooltip"));
        await page.Mouse.ClickAsync(640, 400);
        Assert.Equal(Person, await TextAsync("#details h2"));
        await page.Locator("#details .link").First.ClickAsync();
        Assert.Equal("Island " + Island, await TextAsync("#details h2"));
        Assert.Equal(Person, await TextAsync("#details li"));
        Assert.Equal((1, 1), (await NumberAsync("document.scripts.length"), await NumberAsync("document.images.length")));

        // And were something to get in, it would not run.
        IResponse? response = await page.ReloadAsync();
        string policy = response!.Headers["content-security-policy"];
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        AssertQuiet(address);
        Assert.False(await page.EvaluateAsync<bool>("(() => { const s = document.createElement('script'); s.textContent = 'globalThis.boom = true'; document.body.append(s); return Boolean(globalThis.boom) })()"));
        Assert.Contains(complaints, c => c.Contains("Content Security Policy", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("dark", 1280, 800)]
    [InlineData("light", 390, 760)]
    public async Task Thousands_who_walk_are_drawn_dark_and_light_on_a_desk_and_in_a_hand(string scheme, int width, int height)
    {
        Uri address = await StatsAsync();
        const int People = 3_000, Size = 100;
        string[] ids = [.. Enumerable.Range(0, People).Select(i => "0x" + i.ToString("x40", CultureInfo.InvariantCulture))];
        var random = new Random(3);
        (float X, float Z)[] places = [.. ids.Select((_, i) => ((float)(i / Size % 6 * 220 + 130 * random.NextDouble()), (float)(i / Size / 6 * 220 + 130 * random.NextDouble())))];
        await using HeldPage held = new(await NewPageAsync(new()
        {
            ViewportSize = new() { Width = width, Height = height }, ColorScheme = scheme == "dark" ? ColorScheme.Dark : ColorScheme.Light, HasTouch = width < 700,
        }));
        async Task WalkAsync()
        {
            for (int i = 0; i < People; i++)
            {
                places[i] = (places[i].X + (float)(2 * random.NextDouble()) - 1, places[i].Z + (float)(2 * random.NextDouble()) - 1);
                await StandAsync(ids[i], places[i].X, places[i].Z);
            }
        }
        await WalkAsync();
        var report = new IslandStatusMessage();
        for (int island = 0; island < People / Size; island++)
        {
            var members = places.AsSpan(island * Size, Size).ToArray();
            report.Data.Add(new IslandData
            {
                Id = $"I{island}", MaxPeers = island % 3 == 0 ? 100u : 200u, Center = new Position { X = members.Average(m => m.X), Z = members.Average(m => m.Z) }, Radius = 90, Peers = { ids.Skip(island * Size).Take(Size) },
            });
        }
        await bus.PublishAsync(Subjects.Islands, report.ToByteArray());
        await held.Page.GotoAsync(new Uri(address, "/map").ToString());
        await Eventually.TrueAsync(async () => await held.Page.EvaluateAsync<int>("liveMap.world.people") == People);
        int frames = await held.Page.EvaluateAsync<int>("liveMap.frames");
        for (int second = 0; second < 3; second++)
            await WalkAsync();
        await Eventually.TrueAsync(async () => await held.Page.EvaluateAsync<int>("liveMap.frames") > frames + 10);
        await ShotAsync(held.Page, $"{scheme}-{width}");
        AssertQuiet(address);
    }

    private sealed record HeldPage(IPage Page) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync() => await Page.Context.CloseAsync();
    }
}
