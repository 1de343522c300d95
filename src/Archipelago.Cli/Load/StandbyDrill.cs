using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Archipelago.Cli.Bots;
using Archipelago.Messaging;
using Archipelago.Nats;
using Archipelago.Protocol;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Cli.Load;

/// <summary>
/// Two Services and two Connectors, each a process of its own, on a real NATS server with JetStream, with people who stand still: whoever of them is moved was moved by what is done here.
/// The Service that leads is killed again and again, asked to end, and frozen; newcomers whose first heartbeat falls into that moment show how long nobody led.
/// </summary>
/// <param name="peoplePerConnector">Bots on each Connector.</param>
/// <param name="kills">Times that the leader is killed.</param>
/// <param name="handOvers">Times that the leader is asked to end.</param>
/// <param name="limits">Milliseconds in which all but one in a hundred newcomers must have an island: after a kill, and after a hand-over.</param>
/// <param name="tell">Told of each step as it is done.</param>
internal sealed class StandbyDrill(int peoplePerConnector, int kills, int handOvers, (double Kill, double HandOver) limits, Action<string> tell) : Drill(tell), IAsyncDisposable
{
    private const int NewcomersEach = 5;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("standby");
    private readonly List<ChildProcess> services = [];
    private readonly List<ChildProcess> connectors = [];
    private readonly CancellationTokenSource ending = new();
    private readonly HttpClient http = new() { Timeout = TimeSpan.FromSeconds(5) };
    private readonly List<Task> swarms = [];
    private readonly ConcurrentDictionary<string, long> waiting = new(StringComparer.Ordinal);
    private readonly ConcurrentBag<double> latencies = [];
    private ChildProcess nats = null!;
    private IMessageBus? bus;
    private Bot[] people = [];
    private int newcomers;

    /// <summary>Runs the whole drill.</summary>
    public async Task<IReadOnlyList<DrillStep>> RunAsync()
    {
        await StepAsync("two Services, two Connectors, people who stand still", StartAsync);
        await StepAsync($"kill -9 of the Service that leads, {kills} times", () => AgainAsync(kills, KillAsync, limits.Kill));
        await StepAsync($"the Service that leads is asked to end, {handOvers} times", () => AgainAsync(handOvers, HandOverAsync, limits.HandOver));
        await StepAsync("the Service that leads is frozen, and goes on when another leads", FreezeAsync);
        await StepAsync("everybody leaves", EndAsync);
        return Steps;
    }

    public async ValueTask DisposeAsync()
    {
        await ending.CancelAsync();
        await Task.WhenAll(swarms);
        if (bus is not null)
            await bus.DisposeAsync();
        foreach (ChildProcess host in services.Concat(connectors))
            await host.DisposeAsync();
        if (nats is not null)
            await nats.DisposeAsync();
        http.Dispose();
        ending.Dispose();
        folder.Delete(recursive: true);
    }

    private async Task<(bool, string)> StartAsync()
    {
        nats = ChildProcess.NatsServer(ChildProcess.FreePort(), $"-js -sd {folder.FullName}");
        await nats.StartServerAsync();
        Dictionary<string, string> environment = new()
        {
            ["NATS_URL"] = nats.Address.ToString(),
            ["HTTP_SERVER_HOST"] = "127.0.0.1",
            ["HTTP_SERVER_PORT"] = "0",
            ["DENYLIST_URL"] = "",
            ["LIVEKIT_HOST"] = "ws://127.0.0.1:7880",
            ["LIVEKIT_API_KEY"] = "drill",
            ["LIVEKIT_API_SECRET"] = "a-secret-for-drills-that-everybody-knows",
            ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "0.5",
            ["ARCHIPELAGO_STANDBY"] = "required",
        };
        foreach (string assembly in (string[])["Archipelago.Service", "Archipelago.Service", "Connector", "Connector"])
        {
            ChildProcess host = ChildProcess.Host(assembly, environment);
            (assembly == "Connector" ? connectors : services).Add(host);
            await host.StartHostAsync();
        }
        bus = new NatsBus(await NatsConnection.ConnectAsync(new NatsOptions { Servers = [nats.Address] }));
        bus.Subscribe(Subjects.AllIslandChanges, message =>
        {
            if (Subjects.TryGetEnginePeer(message.Subject, out ReadOnlySpan<byte> address) && waiting.TryRemove(Subjects.Text(address), out long since))
                latencies.Add(Stopwatch.GetElapsedTime(since).TotalMilliseconds);
        });
        await bus.FlushAsync();
        for (int i = 0; i < connectors.Count; i++)
        {
            var options = new SwarmOptions(new Uri($"ws://{connectors[i].Address.Authority}/ws"), peoplePerConnector, Timeout.InfiniteTimeSpan, Seed: i + 1, Reconnect: true, Stand: true);
            Bot[] bots = Swarm.Create(options);
            people = [.. people, .. bots];
            swarms.Add(Swarm.RunAsync(bots, options.Url, ending.Token));
        }
        double all = await Until.TrueAsync(() => people.All(b => b.Island is not null), Patience);
        await CalmAsync();
        return (true, string.Create(CultureInfo.InvariantCulture, $"{people.Length} people in {people.Select(b => b.Island).Distinct().Count()} islands, the last placed after {all:0} ms"));
    }

    /// <summary>Waits until nobody has been moved for a while: a crowd comes to rest.</summary>
    private async Task CalmAsync()
    {
        long changes = -1, since = 0;
        await Until.TrueAsync(
            () =>
            {
                long now = people.Sum(b => b.IslandChanges);
                if (now != changes)
                    (changes, since) = (now, Stopwatch.GetTimestamp());
                return Stopwatch.GetElapsedTime(since) > TimeSpan.FromSeconds(10);
            },
            3 * Patience);
    }

    private async Task<(bool, string)> AgainAsync(int times, Func<ChildProcess, Task> act, double limitMs)
    {
        latencies.Clear();
        long changes = people.Sum(b => b.IslandChanges);
        int reconnects = people.Sum(b => b.Reconnects);
        for (int i = 0; i < times; i++)
        {
            ChildProcess leader = await LeaderAsync();
            await act(leader);
            await Until.TrueAsync(() => waiting.IsEmpty, Patience);
            // The other is there again before this one goes, too.
            await leader.StartHostAsync();
        }
        long moved = people.Sum(b => b.IslandChanges) - changes;
        string[] errors = [.. people.Select(b => b.Error).OfType<string>()];
        Latency latency = Latency.Of(latencies);
        return (moved == 0 && errors.Length == 0 && people.Sum(b => b.Reconnects) == reconnects && latency.P99 <= limitMs, string.Create(CultureInfo.InvariantCulture,
            $"{moved} of {people.Length} people moved, {errors.Length} told anything amiss{(errors.Length > 0 ? " (" + errors[0] + ")" : "")}; first island of {latencies.Count} newcomers p50 {latency.P50} p99 {latency.P99} max {latency.Max:0} ms (limit {limitMs:0})"));
    }

    private async Task KillAsync(ChildProcess leader)
    {
        Task dying = leader.KillAsync();
        await ComeAsync();
        await dying;
    }

    private async Task HandOverAsync(ChildProcess leader)
    {
        Task<int> ends = leader.StopAsync();
        // Some before it has fallen silent, some while it does, some after.
        for (int i = 0; i < 4; i++)
        {
            await ComeAsync();
            await Task.WhenAny(ends, Task.Delay(20));
        }
        await ends;
    }

    private async Task<(bool, string)> FreezeAsync()
    {
        latencies.Clear();
        long changes = people.Sum(b => b.IslandChanges);
        ChildProcess frozen = await LeaderAsync();
        await frozen.SignalAsync("STOP");
        await ComeAsync();
        double led = await Until.TrueAsync(async () => await RoleAsync(services.Find(s => s != frozen)!) == "leader", Patience);
        await Until.TrueAsync(() => waiting.IsEmpty, Patience);
        await frozen.SignalAsync("CONT");
        await Until.TrueAsync(async () => (await http.GetAsync(new Uri(frozen.Address, "/health/ready"))).IsSuccessStatusCode && await RoleAsync(frozen) == "standby", Patience);
        long moved = people.Sum(b => b.IslandChanges) - changes, stale = await StaleAsync();
        string[] errors = [.. people.Select(b => b.Error).OfType<string>()];
        return (moved == 0 && errors.Length == 0, string.Create(CultureInfo.InvariantCulture,
            $"another led after {led:0} ms; it stands by now; {moved} people moved, {errors.Length} told anything amiss; {stale} messages of it came too late and were dropped"));
    }

    private async Task<(bool, string)> EndAsync()
    {
        string usage = string.Join(", ", services.Select((s, i) => string.Create(CultureInfo.InvariantCulture, $"Service {i + 1} {s.Usage().Mebibytes:0} MiB")));
        string[] errors = [.. people.Select(b => b.Error).OfType<string>()];
        await ending.CancelAsync();
        await Task.WhenAll(swarms);
        var codes = new List<int>();
        foreach (ChildProcess host in connectors.Concat(services))
            codes.Add(await host.StopAsync());
        return (errors.Length == 0 && codes.TrueForAll(c => c == 0), $"{errors.Length} errors; exit codes {string.Join(' ', codes)}; {usage}");
    }

    private async Task<ChildProcess> LeaderAsync()
    {
        ChildProcess? leader = null;
        await Until.TrueAsync(
            async () =>
            {
                leader = null;
                foreach (ChildProcess service in services)
                    if (await RoleAsync(service) == "leader")
                        leader = service;
                return leader is not null;
            },
            Patience);
        return leader!;
    }

    private async Task<string?> RoleAsync(ChildProcess service)
    {
        using JsonDocument status = JsonDocument.Parse(await http.GetStringAsync(new Uri(service.Address, "/status")));
        return status.RootElement.GetProperty("role").GetString();
    }

    private async Task<long> StaleAsync()
    {
        long sum = 0;
        foreach (ChildProcess connector in connectors)
        {
            string metrics = await http.GetStringAsync(new Uri(connector.Address, "/metrics"));
            string line = metrics.Split('\n').First(l => l.StartsWith("archipelago_stale_messages_total ", StringComparison.Ordinal));
            sum += long.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture);
        }
        return sum;
    }

    /// <summary>Newcomers far from everybody, whose first heartbeat is now; they say where they are once a second until they have an island.</summary>
    private async Task ComeAsync()
    {
        var came = new List<string>();
        for (int i = 0; i < NewcomersEach; i++)
        {
            string address = SyntheticPeers.Address(++newcomers);
            came.Add(address);
            waiting[address] = Stopwatch.GetTimestamp();
            await BeatAsync(address, newcomers);
        }
        _ = RepeatAsync(came);
    }

    private async Task RepeatAsync(List<string> addresses)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        int first = newcomers - addresses.Count + 1;
        while (await timer.WaitForNextTickAsync(CancellationToken.None) && !ending.IsCancellationRequested && addresses.Exists(waiting.ContainsKey))
            for (int i = 0; i < addresses.Count; i++)
                await BeatAsync(addresses[i], first + i);
    }

    private ValueTask BeatAsync(string address, int number) =>
        bus!.PublishAsync(Subjects.Heartbeat(address), new Heartbeat { Position = new Position { X = 100_000 + (1000 * number), Z = 0 } }.ToByteArray());
}
