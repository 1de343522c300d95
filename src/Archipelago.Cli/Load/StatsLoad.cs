using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Archipelago.Cli.Bots;
using Archipelago.Nats;
using Archipelago.Protocol;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Cli.Load;

/// <summary>
/// Stats as a process on a real NATS server: what a whole answer costs, what it costs to listen to so many heartbeats a second, and how long readers wait meanwhile.
/// </summary>
/// <param name="peers">Who is there, in islands of a hundred.</param>
/// <param name="readers">Clients that ask.</param>
/// <param name="seconds">For how long each part is measured.</param>
internal sealed class StatsLoad(int peers, int readers, int seconds) : IAsyncDisposable
{
    private const int Members = 100, IslandsInPart = 100, WholeAnswers = 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120), Pause = TimeSpan.FromMilliseconds(500);

    private readonly ChildProcess nats = ChildProcess.NatsServer(ChildProcess.FreePort());
    private readonly ChildProcess stats = ChildProcess.Host("Stats", new()
    {
        ["HTTP_SERVER_HOST"] = "127.0.0.1", ["HTTP_SERVER_PORT"] = "0",
    });

    private readonly SyntheticPeers world = new(peers);
    private readonly HttpClient http = new(new SocketsHttpHandler { MaxConnectionsPerServer = 10_000 }) { Timeout = Patience };
    private readonly ConcurrentDictionary<string, ConcurrentBag<double>> latencies = new();
    private readonly byte[] sink = new byte[1 << 16];
    private NatsConnection bus = null!;
    private NatsBus wire = null!;
    private long flush;
    private long bytes;

    /// <summary>Runs it; returns what was measured.</summary>
    public async Task<JsonObject> RunAsync()
    {
        await nats.StartServerAsync();
        stats.Set("NATS_URL", nats.Address.ToString());
        await stats.StartHostAsync();
        bus = await NatsConnection.ConnectAsync(new NatsOptions { Servers = [nats.Address], SendBuffer = 1 << 24 });
        wire = new NatsBus(bus);
        for (int i = 0; i < peers; i++)
            await world.BeatAsync(wire, i);
        await TellIslandsAsync();
        string all = FormattableString.Invariant($"archipelago_stats_peers {peers}\n"), islands = FormattableString.Invariant($"archipelago_stats_islands {peers / Members}\n");
        await Until.TrueAsync(
            async () => await MetricsAsync() is { } text && text.Contains(all, StringComparison.Ordinal) && text.Contains(islands, StringComparison.Ordinal), Patience);

        var result = new JsonObject { ["peers"] = peers, ["islands"] = peers / Members };
        foreach ((string name, string path) in ((string, string)[])[("wholePeers", "/comms/peers"), ("wholeIslands", "/comms/islands"), ("wholeParcels", "/parcels")])
            result[name] = await WholeAsync(path);
        result["listening"] = await MeasureAsync(reading: false);
        result["read"] = await MeasureAsync(reading: true);
        return result;
    }

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        if (bus is not null)
            await bus.DisposeAsync();
        await stats.DisposeAsync();
        await nats.DisposeAsync();
    }

    /// <summary>What one whole answer costs while nobody else does anything.</summary>
    private async Task<JsonObject> WholeAsync(string path)
    {
        // The first ones are compiled on the way.
        for (int i = 0; i < WholeAnswers; i++)
            await GetAsync(path);
        (double _, double before) = stats.Usage();
        double allocated = await AllocatedAsync();
        long length = bytes;
        for (int i = 0; i < WholeAnswers; i++)
            await GetAsync(path);
        (double _, double after) = stats.Usage();
        return new JsonObject
        {
            ["cpuMs"] = Math.Round((after - before) * 1000 / WholeAnswers, 1),
            // The question itself allocates something, too.
            ["allocatedKilobytes"] = Math.Round((await AllocatedAsync() - allocated) / WholeAnswers / 1024, 1),
            ["megabytes"] = Math.Round((bytes - length) / 1e6 / WholeAnswers, 2),
        };
    }

    private async Task<JsonObject> MeasureAsync(bool reading)
    {
        latencies.Clear();
        using var end = new CancellationTokenSource();
        Task[] asking = reading ? [.. Enumerable.Range(0, readers).Select(seed => ReadAsync(seed, end.Token)), WatchAsync(end.Token)] : [];
        double heartbeats = await MetricAsync("archipelago_stats_heartbeats_total");
        (double _, double before) = stats.Usage();
        double allocated = await AllocatedAsync();
        long start = Stopwatch.GetTimestamp();
        int told = 0;
        await world.WalkAsync(wire, peers, seconds, async share =>
        {
            for (; told < share * seconds / 2; told++)
                await TellIslandsAsync();
        });
        double wall = Stopwatch.GetElapsedTime(start).TotalSeconds;
        (double memory, double after) = stats.Usage();
        var result = new JsonObject
        {
            ["heartbeatsASecond"] = Math.Round((await MetricAsync("archipelago_stats_heartbeats_total") - heartbeats) / wall),
            ["dropped"] = bus.Statistics.Dropped(DropCause.Disconnected),
            ["cpuOfACore"] = Math.Round((after - before) / wall, 3),
            ["mebibytes"] = Math.Round(memory),
            ["allocatedMegabytesASecond"] = Math.Round((await AllocatedAsync() - allocated) / wall / 1e6, 2),
        };
        await end.CancelAsync();
        await Task.WhenAll(asking);
        if (!reading)
            return result;
        result["readers"] = readers;
        result["answersASecond"] = Math.Round(latencies.Values.Sum(l => l.Count) / wall, 1);
        foreach ((string name, ConcurrentBag<double> samples) in latencies.OrderBy(l => l.Key, StringComparer.Ordinal))
        {
            var latency = Latency.Of(samples);
            result[name + "Ms"] = new JsonObject { ["count"] = samples.Count, ["p50"] = Math.Round(latency.P50, 1), ["p99"] = Math.Round(latency.P99, 1), ["max"] = Math.Round(latency.Max, 1) };
        }
        return result;
    }

    /// <summary>One client: mostly a part of the world, a few people, or the parcels; now and then everything.</summary>
    private async Task ReadAsync(int seed, CancellationToken cancellationToken)
    {
        var random = new Random(seed);
        try
        {
            while (!cancellationToken.IsCancellationRequested)
            {
                (float x, float z) = world[random.Next(peers)];
                string ids = string.Join('&', Enumerable.Range(0, 20).Select(_ => "id=" + SyntheticPeers.Address(random.Next(peers))));
                (string name, string path) = random.Next(20) switch
                {
                    0 => ("allPeers", "/comms/peers"),
                    1 => ("allIslands", "/comms/islands"),
                    < 6 => ("parcels", "/parcels"),
                    < 10 => ("somePeers", "/peers?" + ids),
                    < 16 => ("area", string.Create(CultureInfo.InvariantCulture, $"/peers?bbox={x - 100},{z - 100},{x + 100},{z + 100}")),
                    _ => ("status", "/core-status"),
                };
                long start = Stopwatch.GetTimestamp();
                await GetAsync(path, cancellationToken);
                latencies.GetOrAdd(name, _ => []).Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                await Task.Delay(Pause, cancellationToken);
            }
        }
        catch (OperationCanceledException)
        {
            // It is over.
        }
    }

    /// <summary>One that follows the live stream.</summary>
    private async Task WatchAsync(CancellationToken cancellationToken)
    {
        try
        {
            await GetAsync("/stream", cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // It is over.
        }
    }

    private async Task GetAsync(string path, CancellationToken cancellationToken = default)
    {
        using HttpResponseMessage response = await http.GetAsync(new Uri(stats.Address, path), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        response.EnsureSuccessStatusCode();
        await using Stream body = await response.Content.ReadAsStreamAsync(cancellationToken);
        // What it says is of no interest, so that all may read into the same place.
        while (await body.ReadAsync(sink, cancellationToken) is > 0 and int read)
            Interlocked.Add(ref bytes, read);
    }

    private async Task TellIslandsAsync()
    {
        flush++;
        int islands = peers / Members, parts = (islands + IslandsInPart - 1) / IslandsInPart;
        for (int part = 0; part < parts; part++)
        {
            var message = new IslandStatusMessage();
            for (int island = part * IslandsInPart; island < Math.Min(islands, (part + 1) * IslandsInPart); island++)
            {
                var data = new IslandData { Id = FormattableString.Invariant($"I{island}"), MaxPeers = Members, Center = new Position { X = world[island * Members].X, Z = world[island * Members].Z }, Radius = 50 };
                data.Peers.AddRange(Enumerable.Range(island * Members, Members).Select(SyntheticPeers.Address));
                message.Data.Add(data);
            }
            await bus.PublishAsync(Subjects.IslandsPart(flush, part, parts), message.ToByteArray());
        }
    }

    private Task<string> MetricsAsync() => http.GetStringAsync(new Uri(stats.Address, "/metrics"));

    private Task<double> AllocatedAsync() => MetricAsync("dotnet_gc_allocated_bytes_total");

    private async Task<double> MetricAsync(string name) =>
        double.Parse((await MetricsAsync()).Split('\n').First(l => l.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture);
}
