using System.Globalization;
using System.Text.Json;

namespace Archipelago.Cli.Bots;

/// <summary>Milliseconds from a bot's first heartbeat to its first island.</summary>
internal sealed record Latency(double P50, double P99, double Max)
{
    public static Latency Of(IEnumerable<double> samples)
    {
        double[] sorted = [.. samples.Order()];
        return sorted.Length == 0 ? new Latency(0, 0, 0) : new Latency(At(sorted, 0.50), At(sorted, 0.99), sorted[^1]);
    }

    private static double At(double[] sorted, double share) => Math.Round(sorted[Math.Min(sorted.Length - 1, (int)Math.Ceiling(share * sorted.Length) - 1)], 2);
}

/// <summary>What became of the bots.</summary>
internal sealed record SwarmSummary(
    int Count, int Connected, int Welcomed, int Assigned, Latency FirstIslandMs, long Heartbeats, long IslandChanges, int Kicked, int Errors, string? FirstError)
{
    public string ToJson()
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("count", Count);
            json.WriteNumber("connected", Connected);
            json.WriteNumber("welcomed", Welcomed);
            json.WriteNumber("assigned", Assigned);
            json.WriteStartObject("firstIslandMs");
            json.WriteNumber("p50", Math.Round(FirstIslandMs.P50, 1));
            json.WriteNumber("p99", Math.Round(FirstIslandMs.P99, 1));
            json.WriteNumber("max", Math.Round(FirstIslandMs.Max, 1));
            json.WriteEndObject();
            json.WriteNumber("heartbeats", Heartbeats);
            json.WriteNumber("islandChanges", IslandChanges);
            json.WriteNumber("kicked", Kicked);
            json.WriteNumber("errors", Errors);
            json.WriteEndObject();
        }
        return System.Text.Encoding.UTF8.GetString(buffer.ToArray());
    }

    public string ToText() => string.Create(CultureInfo.InvariantCulture, $"""
        {Count} bots: {Connected} connected, {Welcomed} welcomed, {Assigned} got an island ({FirstIslandMs.P50:0.#} ms p50, {FirstIslandMs.P99:0.#} ms p99, {FirstIslandMs.Max:0.#} ms at most, from the first heartbeat).
        {Heartbeats} heartbeats sent, {IslandChanges} island changes received, {Kicked} kicked, {Errors} errors{(FirstError is null ? "." : $", the first: {FirstError}")}
        """);
}
