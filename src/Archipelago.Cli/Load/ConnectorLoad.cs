using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Archipelago.Cli.Bots;
using Archipelago.Ethereum;
using Archipelago.Nats;
using Archipelago.Protocol;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Cli.Load;

/// <summary>How a Connector is loaded.</summary>
/// <param name="Clients">Honest clients.</param>
/// <param name="Rate">Heartbeats a second of each; 0 for none.</param>
/// <param name="Seconds">How long it is measured.</param>
/// <param name="Storm">Clients who, when the others are in, lose their connections and come back within a second.</param>
/// <param name="Strangers">Attackers: so many sockets say nothing, as many say a byte a second, and each second half as many throw garbage and a quarter as many forge a signature.</param>
/// <param name="Sink">Whether a server that only receives is measured beside it.</param>
internal sealed record ConnectorLoadOptions(int Clients, double Rate, int Seconds, int Storm = 0, int Strangers = 0, bool Sink = false);

/// <summary>
/// A Connector as a process on a real NATS server, under thousands of clients; what it forwards is heard on the bus, and the time from the client's send to there is
/// measured.
/// </summary>
internal sealed partial class ConnectorLoad(ConnectorLoadOptions options) : IAsyncDisposable
{
    private const int SlicesASecond = 50;
    private const int EnterAtOnce = 64;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly ChildProcess nats = ChildProcess.NatsServer(ChildProcess.FreePort());
    private readonly ChildProcess connector = ChildProcess.Host("Connector", new()
    {
        ["HTTP_SERVER_HOST"] = "127.0.0.1", ["HTTP_SERVER_PORT"] = "0", ["DENYLIST_URL"] = "", ["ETH_RPC_URL"] = "", ["DRAIN_WINDOW_MS"] = "1000", ["TRUSTED_PROXIES"] = "127.0.0.1",
    });

    private readonly HttpClient http = new();
    private readonly CancellationTokenSource ending = new();
    private readonly Dictionary<string, LoadClient> byAddress = new(StringComparer.Ordinal);
    private readonly List<double> latencies = [];
    private NatsConnection bus = null!;
    private IPEndPoint server = null!;
    private volatile bool measuring;
    private long retries;

    /// <summary>Runs it; returns what was measured, as JSON.</summary>
    public async Task<JsonObject> RunAsync()
    {
        await nats.StartServerAsync();
        connector.Set("NATS_URL", nats.Address.ToString());
        await connector.StartHostAsync();
        server = IPEndPoint.Parse(connector.Address.Authority);
        bus = await NatsConnection.ConnectAsync(new NatsOptions { Servers = [nats.Address] });
        bus.Subscribe(Subjects.AllHeartbeats, OnHeartbeat);
        await bus.FlushAsync();
        var result = new JsonObject { ["clients"] = options.Clients };

        LoadClient[] honest = Create(0, options.Clients);
        double emptyMebibytes = connector.Usage().Mebibytes;
        (double cpuBefore, long began) = (connector.Usage().Seconds, Stopwatch.GetTimestamp());
        await EnterAllAsync(honest);
        double entering = Stopwatch.GetElapsedTime(began).TotalSeconds;
        Add(result, "handshakesASecond", options.Clients / entering);
        Add(result, "handshakesACoreSecond", options.Clients / (connector.Usage().Seconds - cpuBefore));
        Add(result, "handshakeMs", Latency.Of(honest.Select(c => c.EnteredMs)));

        await TellIslandsAsync(honest);
        await WalkAsync(honest, TimeSpan.FromSeconds(Math.Min(5, options.Seconds)));
        if (options.Storm > 0)
            await StormAsync(honest, result);
        else if (options.Strangers > 0)
            await AttackAsync(honest, result);
        else
            await MeasureAsync(honest, options.Seconds, result);
        Add(result, "kilobytesAConnection", (connector.Usage().Mebibytes - emptyMebibytes) * 1024 / honest.Count(c => c.IsIn));
        result["retries"] = Interlocked.Read(ref retries);
        result["dropped"] = honest.Count(c => !c.IsIn);
        Check(honest.All(c => c.IsIn), $"{honest.Count(c => !c.IsIn)} clients were dropped, the first with {honest.FirstOrDefault(c => !c.IsIn)?.CloseCode}");
        await BreakOffAsync(honest);
        if (options.Sink)
            result["sink"] = await MeasureSinkAsync();
        return result;
    }

    public async ValueTask DisposeAsync()
    {
        await ending.CancelAsync();
        foreach (LoadClient client in byAddress.Values)
            client.Dispose();
        if (bus is not null)
            await bus.DisposeAsync();
        await connector.DisposeAsync();
        await nats.DisposeAsync();
        http.Dispose();
        ending.Dispose();
    }

    private static void Check(bool holds, string otherwise)
    {
        if (!holds)
            throw new InvalidOperationException(otherwise);
    }

    private static void Add(JsonObject to, string name, double value) => to[name] = Math.Round(value, value < 10 ? 3 : 1);

    private static void Add(JsonObject to, string name, Latency latency) =>
        to[name] = new JsonObject { ["p50"] = latency.P50, ["p99"] = latency.P99, ["max"] = Math.Round(latency.Max, 1) };

    private LoadClient[] Create(int from, int count)
    {
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        LoadClient[] clients = [.. Enumerable.Range(from, count).AsParallel().AsOrdered().Select(i => new LoadClient(new LoadIdentity(i, now)))];
        foreach (LoadClient client in clients)
            byAddress[client.Address] = client;
        return clients;
    }

    private Task EnterAllAsync(IEnumerable<LoadClient> clients, int atOnce = EnterAtOnce) =>
        Parallel.ForEachAsync(clients, new ParallelOptions { MaxDegreeOfParallelism = atOnce, CancellationToken = ending.Token }, async (client, stop) =>
        {
            await client.EnterAsync(server, stop);
            _ = client.ListenAsync();
        });

    /// <summary>Plays the Service: whoever has no island would ask for one again and again.</summary>
    private async Task TellIslandsAsync(LoadClient[] clients)
    {
        byte[] change = new IslandChangedMessage { IslandId = "I1", ConnStr = "livekit:wss://load.example?access_token=" + new string('t', 300) }.ToByteArray();
        foreach (LoadClient client in clients)
            await bus.PublishAsync(Subjects.IslandChanged(client.Address), change, cancellationToken: ending.Token);
        await Until.TrueAsync(() => clients.All(c => c.IslandChanges > 0), Patience);
    }

    private static async Task BreakOffAsync(LoadClient[] clients)
    {
        foreach (LoadClient client in clients)
            client.Dispose();
        await Until.TrueAsync(() => clients.All(c => !c.IsIn), Patience);
    }

    /// <summary>Everybody says where they are, spread evenly over each second.</summary>
    private async Task WalkAsync(LoadClient[] clients, TimeSpan time)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / SlicesASecond));
        long start = Stopwatch.GetTimestamp();
        double sent = 0;
        while (Stopwatch.GetElapsedTime(start) is var elapsed && elapsed < time && await timer.WaitForNextTickAsync(ending.Token))
        {
            // By the clock and not by ticks: a tick that comes late makes up for it.
            for (double due = elapsed.TotalSeconds * options.Rate * clients.Length; sent < due; sent++)
                if (clients[(int)(sent % clients.Length)] is { IsIn: true } client)
                    await client.BeatAsync((float)sent % 1000, 1);
        }
    }

    private void OnHeartbeat(NatsMessage message)
    {
        if (!Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> address) || !byAddress.TryGetValue(Subjects.Text(address), out LoadClient? client))
            return;
        long sent = Interlocked.Exchange(ref client.SentAt, 0);
        if (sent == 0 || !measuring)
            return;
        lock (latencies)
            latencies.Add(Stopwatch.GetElapsedTime(sent).TotalMilliseconds);
    }

    /// <summary>What the server does while everybody walks, and nothing else happens unless somebody does it meanwhile.</summary>
    private async Task MeasureAsync(LoadClient[] clients, int seconds, JsonObject result, Func<Task>? meanwhile = null)
    {
        (double heartbeats, double allocated, double cpu) = (await MetricAsync("archipelago_heartbeats_forwarded_total"), await MetricAsync("dotnet_gc_allocated_bytes_total"), connector.Usage().Seconds);
        lock (latencies)
            latencies.Clear();
        long overdue = clients.Sum(c => c.Overdue);
        measuring = true;
        long start = Stopwatch.GetTimestamp();
        Task walking = WalkAsync(clients, TimeSpan.FromSeconds(seconds));
        await Task.WhenAll(walking, meanwhile?.Invoke() ?? Task.CompletedTask);
        double wall = Stopwatch.GetElapsedTime(start).TotalSeconds;
        measuring = false;
        (double mebibytes, double cpuAfter) = connector.Usage();
        double forwarded = await MetricAsync("archipelago_heartbeats_forwarded_total") - heartbeats;
        Add(result, "heartbeatsASecond", forwarded / wall);
        Add(result, "cpuOfACore", (cpuAfter - cpu) / wall);
        Add(result, "mebibytes", mebibytes);
        if (forwarded > 0)
            Add(result, "allocatedBytesAHeartbeat", (await MetricAsync("dotnet_gc_allocated_bytes_total") - allocated) / forwarded);
        lock (latencies)
            Add(result, "forwardedMs", Latency.Of(latencies));
        result["overdue"] = clients.Sum(c => c.Overdue) - overdue;
    }

    private async Task<double> MetricAsync(string name)
    {
        string text = await http.GetStringAsync(new Uri(connector.Address, "/metrics"));
        Match match = Regex.Match(text, $"^{Regex.Escape(name)} (\\S+)", RegexOptions.Multiline, TimeSpan.FromSeconds(1));
        return match.Success ? double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) : throw new InvalidOperationException($"{name} is not among the metrics.");
    }

    /// <summary>So many lose their connections and all come back within a second, while the others go on.</summary>
    private async Task StormAsync(LoadClient[] others, JsonObject result)
    {
        LoadClient[] storm = Create(1_000_000, options.Storm);
        await EnterAllAsync(storm);
        await BreakOffAsync(storm);
        await Until.TrueAsync(async () => await MetricAsync("archipelago_sessions") == others.Length, Patience);
        double back = 0;
        await MeasureAsync(others, options.Seconds, result, async () =>
        {
            long start = Stopwatch.GetTimestamp();
            await Task.WhenAll(storm.Select(async (client, i) =>
            {
                await Task.Delay(TimeSpan.FromSeconds((double)i / storm.Length), ending.Token);
                await EnterPatientlyAsync(client);
            }));
            back = Stopwatch.GetElapsedTime(start).TotalSeconds;
        });
        result["storm"] = options.Storm;
        Add(result, "stormAllInAfterSeconds", back);
        Add(result, "stormHandshakeMs", Latency.Of(storm.Select(c => c.EnteredMs)));
        await BreakOffAsync(storm);
    }

    private async Task EnterPatientlyAsync(LoadClient client)
    {
        long began = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                await client.EnterAsync(server, ending.Token, since: began);
                _ = client.ListenAsync();
                return;
            }
            catch (Exception e) when (e is ProtocolException or SocketException)
            {
                client.Dispose();
                Interlocked.Increment(ref retries);
                await Task.Delay(100, ending.Token);
            }
        }
    }

    private async Task<JsonObject> MeasureSinkAsync()
    {
        await using ChildProcess sink = ChildProcess.Tool("load", "sink");
        await sink.StartHostAsync();
        server = IPEndPoint.Parse(sink.Address.Authority);
        double empty = sink.Usage().Mebibytes;
        LoadClient[] clients = [.. Enumerable.Range(0, options.Clients).Select(_ => new LoadClient(null))];
        await Parallel.ForEachAsync(clients, new ParallelOptions { MaxDegreeOfParallelism = EnterAtOnce, CancellationToken = ending.Token }, async (client, stop) => await client.OpenAsync(server, stop));
        await WalkAsync(clients, TimeSpan.FromSeconds(Math.Min(5, options.Seconds)));
        double cpu = sink.Usage().Seconds;
        long start = Stopwatch.GetTimestamp();
        await WalkAsync(clients, TimeSpan.FromSeconds(options.Seconds));
        var result = new JsonObject();
        Add(result, "cpuOfACore", (sink.Usage().Seconds - cpu) / Stopwatch.GetElapsedTime(start).TotalSeconds);
        Add(result, "mebibytes", sink.Usage().Mebibytes);
        Add(result, "kilobytesAConnection", (sink.Usage().Mebibytes - empty) * 1024 / options.Clients);
        await BreakOffAsync(clients);
        return result;
    }
}
