using System.Diagnostics;
using System.Text.Json.Nodes;
using Archipelago.Cli.Bots;

namespace Archipelago.Cli.Load;

/// <summary>A RealmProvider as a process, asked for <c>/main/about</c> as fast as it answers.</summary>
/// <param name="readers">Clients, each with one question at a time.</param>
/// <param name="seconds">For how long.</param>
internal sealed class RealmLoad(int readers, int seconds) : IAsyncDisposable
{
    private readonly HttpClient http = new();
    private readonly ChildProcess stats = ChildProcess.Host("Stats", new() { ["HTTP_SERVER_HOST"] = "127.0.0.1", ["HTTP_SERVER_PORT"] = "0" });
    private readonly ChildProcess nats = ChildProcess.NatsServer(ChildProcess.FreePort());
    private readonly ChildProcess provider = ChildProcess.Host("RealmProvider", new()
    {
        ["HTTP_SERVER_HOST"] = "127.0.0.1", ["HTTP_SERVER_PORT"] = "0",
        ["CATALYST_CONTENT_URL"] = "https://peer.decentraland.org/content", ["CATALYST_LAMBDAS_URL"] = "https://peer.decentraland.org/lambdas",
    });

    /// <summary>Runs it; returns what was measured.</summary>
    public async Task<JsonObject> RunAsync()
    {
        await nats.StartServerAsync();
        stats.Set("NATS_URL", nats.Address.ToString());
        await stats.StartHostAsync();
        // Stats stands in for the Connector: both tell their build at /status.
        provider.Set("ARCHIPELAGO_STATS_URL", stats.Address.ToString());
        provider.Set("ARCHIPELAGO_WS_CONNECTOR_URL", stats.Address.ToString());
        await provider.StartHostAsync();
        await AskAsync(2);
        (double _, double before) = provider.Usage();
        long start = Stopwatch.GetTimestamp();
        double[] latencies = await AskAsync(seconds);
        double wall = Stopwatch.GetElapsedTime(start).TotalSeconds;
        (double memory, double after) = provider.Usage();
        var latency = Latency.Of(latencies);
        return new JsonObject
        {
            ["readers"] = readers,
            ["answersASecond"] = Math.Round(latencies.Length / wall),
            ["cpuMsAnAnswer"] = Math.Round((after - before) * 1000 / latencies.Length, 3),
            ["cpuOfACore"] = Math.Round((after - before) / wall, 2),
            ["mebibytes"] = Math.Round(memory),
            ["answerMs"] = new JsonObject { ["p50"] = Math.Round(latency.P50, 2), ["p99"] = Math.Round(latency.P99, 2), ["max"] = Math.Round(latency.Max, 2) },
        };
    }

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        await provider.DisposeAsync();
        await stats.DisposeAsync();
        await nats.DisposeAsync();
    }

    private async Task<double[]> AskAsync(int forSeconds)
    {
        long end = Stopwatch.GetTimestamp() + (forSeconds * Stopwatch.Frequency);
        var about = new Uri(provider.Address, "/main/about");
        List<double>[] latencies = await Task.WhenAll(Enumerable.Range(0, readers).Select(async _ =>
        {
            var mine = new List<double>();
            while (Stopwatch.GetTimestamp() < end)
            {
                long start = Stopwatch.GetTimestamp();
                await http.GetByteArrayAsync(about);
                mine.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }
            return mine;
        }));
        return [.. latencies.SelectMany(l => l)];
    }
}
