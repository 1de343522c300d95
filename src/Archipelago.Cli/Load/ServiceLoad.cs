using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Archipelago.Cli.Bots;
using Archipelago.Nats;
using Archipelago.Protocol;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Cli.Load;

/// <summary>
/// The Service as a process on a real NATS server, under the heartbeats of so many synthetic peers, one a second each; when all are in, newcomers arrive one
/// after the other, and the time from the first heartbeat of each to its island is measured on the bus.
/// </summary>
/// <param name="peers">Who is there.</param>
/// <param name="newcomers">Who arrives while it is measured.</param>
/// <param name="seconds">For how long.</param>
internal sealed class ServiceLoad(int peers, int newcomers, int seconds) : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly ChildProcess nats = ChildProcess.NatsServer(ChildProcess.FreePort());
    private readonly ChildProcess service = ChildProcess.Host("Archipelago.Service", []);
    private readonly string[] subjects = [.. Enumerable.Range(0, peers + newcomers).Select(i => Subjects.Heartbeat(Address(i)))];
    private readonly (float X, float Z)[] places = new (float, float)[peers + newcomers];
    private readonly Random random = new(1);
    private readonly ConcurrentDictionary<string, long> firstHeartbeats = new(StringComparer.Ordinal);
    private readonly ConcurrentBag<double> latencies = [];
    private readonly Heartbeat heartbeat = new() { Position = new Position() };
    private readonly byte[] payload = new byte[64];
    private readonly List<FlushReport> reports = [];
    private NatsConnection bus = null!;
    private long placed;

    /// <summary>Runs it; returns what was measured.</summary>
    public async Task<string> RunAsync()
    {
        await StartAsync();
        bus = await NatsConnection.ConnectAsync(new NatsOptions { Servers = [nats.Address], SendBuffer = 1 << 24 });
        bus.Subscribe(Subjects.AllIslandChanges, OnIslandChanged);
        bus.Subscribe(Subjects.FlushReport, OnReport);
        await bus.FlushAsync();

        // Everybody as in a city: hot spots of 200, and one in five anywhere.
        double side = 160 * Math.Sqrt(peers);
        (double X, double Z)[] spots = [.. Enumerable.Range(0, Math.Max(1, peers / 200)).Select(_ => (side * random.NextDouble(), side * random.NextDouble()))];
        for (int i = 0; i < places.Length; i++)
        {
            (double x, double z) = random.Next(5) == 0 ? (side * random.NextDouble(), side * random.NextDouble()) : spots[random.Next(spots.Length)];
            places[i] = ((float)(x + (160 * (random.NextDouble() - 0.5))), (float)(z + (160 * (random.NextDouble() - 0.5))));
        }
        long entering = Stopwatch.GetTimestamp();
        for (int i = 0; i < peers; i++)
            await BeatAsync(i);
        await Until.TrueAsync(() => Interlocked.Read(ref placed) >= peers, Patience);
        double all = Stopwatch.GetElapsedTime(entering).TotalMilliseconds;

        // The next report is still about their coming.
        ForgetReports();
        await Until.TrueAsync(() => reports.Count > 0, Patience);
        ForgetReports();
        (double _, double before) = service.Usage();
        long start = Stopwatch.GetTimestamp();
        await WalkAsync();
        double wall = Stopwatch.GetElapsedTime(start).TotalSeconds;
        await Until.TrueAsync(() => latencies.Count == newcomers, Patience);
        (double memory, double after) = service.Usage();
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
            $"{{\"peers\":{peers},\"allInMs\":{all:0},\"newcomers\":{newcomers},\"firstIslandMs\":{{\"p50\":{latency.P50},\"p99\":{latency.P99},\"max\":{latency.Max:0.#}}},\"flushMs\":{{\"p50\":{flush.P50},\"p99\":{flush.P99}}},\"slowestNewcomerFlushMs\":{newcomerFlush.Max:0.##},\"intakeLagMs\":{lag:0.##},\"allocatedBytesASecond\":{allocated:0},\"processorCores\":{(after - before) / wall:0.###},\"mebibytes\":{memory:0},\"heartbeatsDropped\":{bus.Statistics.Dropped(DropCause.Disconnected)}}}");
    }

    public async ValueTask DisposeAsync()
    {
        if (bus is not null)
            await bus.DisposeAsync();
        await service.DisposeAsync();
        await nats.DisposeAsync();
    }

    private static string Address(int i) => $"0x{i.ToString("x40", CultureInfo.InvariantCulture)}";

    private async Task StartAsync()
    {
        await nats.StartServerAsync();
        service.Set("NATS_URL", nats.Address.ToString());
        service.Set("HTTP_SERVER_HOST", "127.0.0.1");
        service.Set("HTTP_SERVER_PORT", "0");
        service.Set("LIVEKIT_HOST", "ws://127.0.0.1:7880");
        service.Set("LIVEKIT_API_KEY", "load");
        service.Set("LIVEKIT_API_SECRET", "a-secret-for-loads-that-everybody-knows");
        await service.StartHostAsync();
    }

    /// <summary>Everybody takes a step and says so once a second, spread evenly over it; newcomers arrive evenly over the whole time.</summary>
    private async Task WalkAsync()
    {
        const int Slices = 50;
        int arrived = 0;
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / Slices));
        for (int slice = 0; slice < seconds * Slices && await timer.WaitForNextTickAsync(); slice++)
        {
            int from = (int)((long)peers * (slice % Slices) / Slices), to = (int)((long)peers * ((slice % Slices) + 1) / Slices);
            for (int i = from; i < to; i++)
            {
                double angle = random.NextDouble() * 2 * Math.PI;
                places[i] = (places[i].X + (float)(1.5 * Math.Cos(angle)), places[i].Z + (float)(1.5 * Math.Sin(angle)));
                await BeatAsync(i);
            }
            for (int due = (int)((long)newcomers * (slice + 1) / (seconds * Slices)); arrived < due; arrived++)
            {
                firstHeartbeats[Address(peers + arrived)] = Stopwatch.GetTimestamp();
                await BeatAsync(peers + arrived);
            }
        }
    }

    private ValueTask BeatAsync(int i)
    {
        (heartbeat.Position.X, heartbeat.Position.Z) = places[i];
        int length = heartbeat.CalculateSize();
        heartbeat.WriteTo(payload.AsSpan(0, length));
        return bus.PublishAsync(subjects[i], payload.AsMemory(0, length));
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
