using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Archipelago.Cli.Bots;
using Archipelago.Nats;
using Archipelago.Protocol;

namespace Archipelago.Cli.Load;

/// <summary>
/// The Service as a process on a real NATS server, under the heartbeats of so many synthetic peers, one a second each; when all are in, newcomers arrive one
/// after the other, and the time from the first heartbeat of each to its island is measured on the bus.
/// </summary>
/// <param name="peers">Who is there.</param>
/// <param name="newcomers">Who arrives while it is measured.</param>
/// <param name="seconds">For how long.</param>
/// <param name="hasStandby">Whether a second Service stands by, and what that costs is measured, too.</param>
internal sealed class ServiceLoad(int peers, int newcomers, int seconds, bool hasStandby = false) : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("service");
    private readonly ChildProcess service = ChildProcess.Host("Archipelago.Service", []), standby = ChildProcess.Host("Archipelago.Service", []);
    private ChildProcess nats = null!;
    private readonly SyntheticPeers world = new(peers, newcomers);
    private readonly ConcurrentDictionary<string, long> firstHeartbeats = new(StringComparer.Ordinal);
    private readonly ConcurrentBag<double> latencies = [];
    private readonly List<FlushReport> reports = [];
    private NatsConnection bus = null!;
    private NatsBus wire = null!;
    private long placed;

    /// <summary>Runs it; returns what was measured.</summary>
    public async Task<string> RunAsync()
    {
        await StartAsync();
        bus = await NatsConnection.ConnectAsync(new NatsOptions { Servers = [nats.Address], SendBuffer = 1 << 24 });
        wire = new NatsBus(bus);
        bus.Subscribe(Subjects.AllIslandChanges, OnIslandChanged);
        bus.Subscribe(Subjects.FlushReport, OnReport);
        await bus.FlushAsync();

        long entering = Stopwatch.GetTimestamp();
        for (int i = 0; i < peers; i++)
            await world.BeatAsync(wire, i);
        await Until.TrueAsync(() => Interlocked.Read(ref placed) >= peers, Patience);
        double all = Stopwatch.GetElapsedTime(entering).TotalMilliseconds;

        // The next report is still about their coming.
        ForgetReports();
        await Until.TrueAsync(() => reports.Count > 0, Patience);
        ForgetReports();
        (double _, double before) = service.Usage();
        double standbyBefore = hasStandby ? standby.Usage().Seconds : 0, replicated = await ReplicatedAsync();
        long start = Stopwatch.GetTimestamp();
        await WalkAsync();
        double wall = Stopwatch.GetElapsedTime(start).TotalSeconds;
        await Until.TrueAsync(() => latencies.Count == newcomers, Patience);
        (double memory, double after) = service.Usage();
        replicated = (await ReplicatedAsync() - replicated) / wall;
        string beside = hasStandby
            ? string.Create(CultureInfo.InvariantCulture, $",\"standby\":{{\"processorCores\":{(standby.Usage().Seconds - standbyBefore) / wall:0.###},\"mebibytes\":{standby.Usage().Mebibytes:0},\"bytesASecond\":{replicated:0}}}")
            : "";
        Latency latency = Latency.Of(latencies), flush, newcomerFlush;
        double allocated, lag;
        lock (reports)
        {
            flush = Latency.Of(reports.Select(r => r.FlushMs));
            newcomerFlush = Latency.Of(reports.Select(r => r.SlowestNewcomerFlushMs));
            allocated = reports.Sum(r => (double)r.AllocatedBytes) / reports.Sum(r => r.Seconds);
            lag = reports.Max(r => r.IntakeLagMs);
        }
        return string.Create(CultureInfo.InvariantCulture,
            $"{{\"peers\":{peers},\"allInMs\":{all:0},\"newcomers\":{newcomers},\"firstIslandMs\":{{\"p50\":{latency.P50},\"p99\":{latency.P99},\"max\":{latency.Max:0.#}}},\"flushMs\":{{\"p50\":{flush.P50},\"p99\":{flush.P99}}},\"slowestNewcomerFlushMs\":{newcomerFlush.Max:0.##},\"intakeLagMs\":{lag:0.##},\"allocatedBytesASecond\":{allocated:0},\"processorCores\":{(after - before) / wall:0.###},\"mebibytes\":{memory:0},\"heartbeatsDropped\":{bus.Statistics.Dropped(DropCause.Disconnected)}{beside}}}");
    }

    /// <summary>Bytes that the leader has told its standby.</summary>
    private async Task<double> ReplicatedAsync()
    {
        if (!hasStandby)
            return 0;
        using var http = new HttpClient();
        string metrics = await http.GetStringAsync(new Uri(service.Address, "/metrics"));
        string line = metrics.Split('\n').First(l => l.StartsWith("archipelago_replica_bytes_total ", StringComparison.Ordinal));
        return double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        if (bus is not null)
            await bus.DisposeAsync();
        await service.DisposeAsync();
        await standby.DisposeAsync();
        if (nats is not null)
            await nats.DisposeAsync();
        folder.Delete(recursive: true);
    }

    private async Task StartAsync()
    {
        nats = ChildProcess.NatsServer(ChildProcess.FreePort(), hasStandby ? $"-js -sd {folder.FullName}" : "");
        await nats.StartServerAsync();
        foreach (ChildProcess host in (ChildProcess[])(hasStandby ? [service, standby] : [service]))
        {
            host.Set("NATS_URL", nats.Address.ToString());
            host.Set("HTTP_SERVER_HOST", "127.0.0.1");
            host.Set("HTTP_SERVER_PORT", "0");
            host.Set("LIVEKIT_HOST", "ws://127.0.0.1:7880");
            host.Set("LIVEKIT_API_KEY", "load");
            host.Set("LIVEKIT_API_SECRET", "a-secret-for-loads-that-everybody-knows");
            await host.StartHostAsync();
        }
    }

    /// <summary>Newcomers arrive evenly over the whole time.</summary>
    private async Task WalkAsync()
    {
        int arrived = 0;
        await world.WalkAsync(wire, peers, seconds, async share =>
        {
            for (int due = (int)(newcomers * share); arrived < due; arrived++)
            {
                firstHeartbeats[SyntheticPeers.Address(peers + arrived)] = Stopwatch.GetTimestamp();
                await world.BeatAsync(wire, peers + arrived);
            }
        });
    }

    private void ForgetReports()
    {
        lock (reports)
            reports.Clear();
    }

    private void OnReport(NatsMessage message)
    {
        lock (reports)
            reports.Add(FlushReport.Parser.ParseFrom(message.Payload));
    }

    private void OnIslandChanged(NatsMessage message)
    {
        Interlocked.Increment(ref placed);
        if (!firstHeartbeats.IsEmpty && Subjects.TryGetEnginePeer(message.Subject, out ReadOnlySpan<byte> address)
            && firstHeartbeats.TryRemove(Subjects.Text(address), out long since))
            latencies.Add(Stopwatch.GetElapsedTime(since).TotalMilliseconds);
    }
}
