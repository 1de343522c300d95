using System.Globalization;
using System.Text.Json;
using Archipelago.Cli.Bots;

namespace Archipelago.Cli.Load;

/// <summary>
/// The realm as in production, every host a process of its own on a real NATS server, with people on two Connectors; then one process after the other is
/// killed, and what that did is measured from the people's side.
/// </summary>
/// <param name="peoplePerConnector">Bots on each Connector.</param>
/// <param name="tell">Told of each step as it is done.</param>
internal sealed class ProcessDrill(int peoplePerConnector, Action<string> tell) : Drill(tell), IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly ChildProcess nats = ChildProcess.NatsServer(ChildProcess.FreePort());
    private readonly Dictionary<string, ChildProcess> hosts = [];
    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("drill");
    private readonly CancellationTokenSource ending = new();
    private readonly HttpClient http = new() { Timeout = TimeSpan.FromSeconds(5) };
    private readonly List<Task> swarms = [];
    private Bot[] first = [];
    private Bot[] second = [];

    private ChildProcess Stats => hosts["Stats"];

    private IEnumerable<Bot> Everybody => first.Concat(second);

    /// <summary>Runs the whole drill.</summary>
    public async Task<IReadOnlyList<DrillStep>> RunAsync()
    {
        await StepAsync("five processes on a NATS server, people on two Connectors", StartAsync);
        await StepAsync("people of both Connectors share an island", ShareAsync);
        await StepAsync("kill -9 of the first Connector", () => KillConnectorAsync("ConnectorA", first, second));
        await StepAsync("kill -9 of the second Connector", () => KillConnectorAsync("ConnectorB", second, first));
        await StepAsync("kill -9 of Stats", KillStatsAsync);
        await StepAsync("kill -9 of the NATS server", KillServerAsync);
        await StepAsync("kill -9 of the Service", KillServiceAsync);
        await StepAsync("the Service is asked to end, and started again", RestartServiceAsync);
        await StepAsync("everybody leaves, every host is asked to end", EndAsync);
        return Steps;
    }

    public async ValueTask DisposeAsync()
    {
        await ending.CancelAsync();
        await Task.WhenAll(swarms);
        foreach (ChildProcess host in hosts.Values)
            await host.DisposeAsync();
        await nats.DisposeAsync();
        http.Dispose();
        ending.Dispose();
        folder.Delete(recursive: true);
    }

    private async Task<(bool, string)> StartAsync()
    {
        await nats.StartServerAsync();
        Dictionary<string, string> environment = new()
        {
            ["NATS_URL"] = nats.Address.ToString(),
            ["NATS_PING_INTERVAL_MS"] = "500",
            ["HTTP_SERVER_HOST"] = "127.0.0.1",
            ["HTTP_SERVER_PORT"] = "0",
            ["DENYLIST_URL"] = "",
            ["LIVEKIT_HOST"] = "ws://127.0.0.1:7880",
            ["LIVEKIT_API_KEY"] = "drill",
            ["LIVEKIT_API_SECRET"] = "a-secret-for-drills-that-everybody-knows",
            ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "0.5",
            ["ARCHIPELAGO_STATE_FILE"] = Path.Combine(folder.FullName, "state"),
            ["CATALYST_CONTENT_URL"] = "https://peer.decentraland.org/content",
            ["CATALYST_LAMBDAS_URL"] = "https://peer.decentraland.org/lambdas",
        };
        foreach ((string name, string assembly) in ((string, string)[])[("Stats", "Stats"), ("Service", "Archipelago.Service"), ("ConnectorA", "Connector"), ("ConnectorB", "Connector")])
            await StartHostAsync(name, assembly, environment);
        environment["ARCHIPELAGO_STATS_URL"] = Stats.Address.ToString();
        environment["ARCHIPELAGO_WS_CONNECTOR_URL"] = hosts["ConnectorA"].Address.ToString();
        await StartHostAsync("RealmProvider", "RealmProvider", environment);

        first = Enter("ConnectorA", seed: 1);
        second = Enter("ConnectorB", seed: 2);
        double all = await Until.TrueAsync(() => Everybody.All(b => b.Island is not null), Patience);
        using JsonDocument about = JsonDocument.Parse(await http.GetStringAsync(new Uri(hosts["RealmProvider"].Address, "/main/about")));
        bool healthy = about.RootElement.GetProperty("healthy").GetBoolean();
        Latency latency = Latency.Of(Everybody.Select(b => b.FirstIslandMs).OfType<double>());
        return (healthy, string.Create(CultureInfo.InvariantCulture,
            $"{Everybody.Count()} people in after {all:0} ms, first island p50 {latency.P50} p99 {latency.P99} max {latency.Max:0} ms; /main/about is {(healthy ? "healthy" : "not healthy")}"));
    }

    private async Task StartHostAsync(string name, string assembly, Dictionary<string, string> environment)
    {
        ChildProcess host = hosts[name] = ChildProcess.Host(assembly, environment);
        await host.StartHostAsync();
    }

    private Bot[] Enter(string connector, int seed)
    {
        var options = new SwarmOptions(new Uri($"ws://{hosts[connector].Address.Authority}/ws"), peoplePerConnector, Timeout.InfiniteTimeSpan, seed, Reconnect: true);
        Bot[] bots = Swarm.Create(options);
        swarms.Add(Swarm.RunAsync(bots, options.Url, ending.Token));
        return bots;
    }

    private async Task<(bool, string)> ShareAsync()
    {
        // Sooner or later walkers of both meet.
        await Until.TrueAsync(() => Shared() > 0, Patience);
        return (true, $"{Shared()} islands hold people of both");
    }

    private int Shared() => first.Select(b => b.Island).Where(i => i is not null).Intersect(second.Select(b => b.Island)).Count();

    private async Task<(bool, string)> KillConnectorAsync(string name, Bot[] victims, Bot[] others)
    {
        int errorsBefore = others.Count(b => b.Error is not null), reconnectsBefore = others.Sum(b => b.Reconnects);
        int[] lostBefore = [.. victims.Select(b => b.Reconnects)];
        await hosts[name].KillAsync();
        await Until.TrueAsync(() => victims.All(b => b.Island is null), Patience);
        await hosts[name].StartHostAsync();
        double back = await Until.TrueAsync(() => victims.Select((b, i) => b.Island is not null && b.Reconnects > lostBefore[i]).All(x => x), Patience);
        bool undisturbed = others.Count(b => b.Error is not null) == errorsBefore && others.Sum(b => b.Reconnects) == reconnectsBefore;
        return (undisturbed, string.Create(CultureInfo.InvariantCulture,
            $"its {victims.Length} people were out and in again {back:0} ms after it was back, at most {victims.Max(b => b.LongestOutageMs):0} ms without an island; the others noticed {(undisturbed ? "nothing" : "it")}"));
    }

    private async Task<(bool, string)> KillStatsAsync()
    {
        int reconnectsBefore = Everybody.Sum(b => b.Reconnects);
        await Stats.KillAsync();
        await Stats.StartHostAsync();
        double knows = await Until.TrueAsync(async () => await CountAsync("/comms/peers") == Everybody.Count() && await CountAsync("/comms/islands") > 0, Patience);
        bool undisturbed = Everybody.Sum(b => b.Reconnects) == reconnectsBefore;
        return (undisturbed, string.Create(CultureInfo.InvariantCulture, $"{knows:0} ms after it was back it knew all {Everybody.Count()} people and the islands again; people noticed {(undisturbed ? "nothing" : "it")}"));
    }

    private async Task<double> FlushesAsync()
    {
        string metrics = await http.GetStringAsync(new Uri(hosts["Service"].Address, "/metrics"));
        string line = metrics.Split('\n').FirstOrDefault(l => l.StartsWith("archipelago_beat_seconds_count{stage=\"flush\"} ", StringComparison.Ordinal)) ?? " 0";
        return double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture);
    }

    private async Task<int> CountAsync(string path)
    {
        using JsonDocument answer = JsonDocument.Parse(await http.GetStringAsync(new Uri(Stats.Address, path)));
        return answer.RootElement.GetProperty(path.EndsWith("peers", StringComparison.Ordinal) ? "peers" : "islands").GetArrayLength();
    }

    private async Task<(bool, string)> KillServerAsync()
    {
        int reconnectsBefore = Everybody.Sum(b => b.Reconnects);
        await nats.KillAsync();
        await Until.TrueAsync(async () => !(await http.GetAsync(new Uri(Stats.Address, "/health/ready"))).IsSuccessStatusCode, Patience);
        await nats.StartServerAsync();
        double ready = await Until.TrueAsync(async () =>
        {
            foreach (string host in (string[])["Stats", "Service", "ConnectorA", "ConnectorB"])
                if (!(await http.GetAsync(new Uri(hosts[host].Address, "/health/ready"))).IsSuccessStatusCode)
                    return false;
            return true;
        }, Patience);
        // Who comes now is placed, and who was there is still told of changes.
        int changesBefore = (int)Everybody.Sum(b => b.IslandChanges);
        Bot[] newcomers = Enter("ConnectorA", seed: 3);
        double placed = await Until.TrueAsync(() => newcomers.All(b => b.Island is not null), Patience);
        await Until.TrueAsync(() => Everybody.Sum(b => b.IslandChanges) > changesBefore, Patience);
        first = [.. first, .. newcomers];
        bool undisturbed = Everybody.Sum(b => b.Reconnects) == reconnectsBefore;
        return (undisturbed, string.Create(CultureInfo.InvariantCulture,
            $"all hosts were ready again {ready:0} ms after it was back, {newcomers.Length} newcomers had islands after {placed:0} ms, people went on being told; nobody lost a connection: {undisturbed}"));
    }

    /// <summary>What the ids of one run of the Service begin with.</summary>
    private static string RunOf(string? island) => island?.Split('-')[0] ?? "";

    private async Task<(bool, string)> KillServiceAsync()
    {
        int reconnectsBefore = Everybody.Sum(b => b.Reconnects);
        string before = RunOf(first[0].Island);
        await hosts["Service"].KillAsync();
        await hosts["Service"].StartHostAsync();
        double placed = await Until.TrueAsync(() => Everybody.All(b => RunOf(b.Island) != before), Patience);
        bool undisturbed = Everybody.Sum(b => b.Reconnects) == reconnectsBefore;
        return (undisturbed && Everybody.Select(b => RunOf(b.Island)).Distinct().Count() == 1, string.Create(CultureInfo.InvariantCulture,
            $"all {Everybody.Count()} people changed rooms, the last {placed:0} ms after it was back; nobody lost a connection: {undisturbed}"));
    }

    private async Task<(bool, string)> RestartServiceAsync()
    {
        string before = RunOf(first[0].Island);
        int code = await hosts["Service"].StopAsync();
        await hosts["Service"].StartHostAsync();
        // Heartbeats and beats, in which it could have moved whom it does not know.
        double flushes = await FlushesAsync();
        await Until.TrueAsync(async () => await FlushesAsync() >= flushes + 4, Patience);
        int moved = Everybody.Count(b => RunOf(b.Island) != before);
        return (moved == 0 && code == 0, $"{moved} of {Everybody.Count()} people changed rooms");
    }

    private async Task<(bool, string)> EndAsync()
    {
        string[] errors = [.. Everybody.Select(b => b.Error).OfType<string>()];
        string usage = string.Join(", ", hosts.Select(h => string.Create(CultureInfo.InvariantCulture, $"{h.Key} {h.Value.Usage().Mebibytes:0} MiB {h.Value.Usage().Seconds:0.0} s")));
        await ending.CancelAsync();
        await Task.WhenAll(swarms);
        await Until.TrueAsync(async () => await CountAsync("/comms/peers") == 0, Patience);
        var codes = new List<int>();
        foreach (ChildProcess host in hosts.Values)
            codes.Add(await host.StopAsync());
        return (errors.Length == 0 && codes.TrueForAll(c => c == 0),
            $"{errors.Length} errors{(errors.Length > 0 ? ", the first: " + errors[0] : "")}; exit codes {string.Join(' ', codes)}; {usage}");
    }
}
