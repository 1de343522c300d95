using System.Text.Json;

namespace Archipelago.Cli.Top;

/// <summary>A flush of the Service, as the live stream tells it.</summary>
/// <param name="Number">Which.</param>
/// <param name="Milliseconds">How long it took.</param>
/// <param name="Seconds">The time that it is about.</param>
/// <param name="Newcomers">Who came.</param>
/// <param name="Merges">Who was moved since islands merged.</param>
/// <param name="Splits">Who was moved since an island split.</param>
/// <param name="Moves">Who was moved to be with its neighbours in a crowd larger than an island.</param>
/// <param name="Recall">Of people's ten nearest, the share that is in the same island; null when nobody knows.</param>
/// <param name="Left">Who left.</param>
internal sealed record FlushFigures(long Number, double Milliseconds, double Seconds, long Newcomers, long Merges, long Splits, long Moves, double? Recall, long Left);

/// <summary>The world as the live stream of Stats tells it, as far as figures go. One thread at a time.</summary>
internal sealed class WorldFigures
{
    private const int SlowestKept = 5, FlushesKept = 900;

    private readonly HashSet<int> people = [];
    private readonly Dictionary<string, (int Size, int Max)> islands = new(StringComparer.Ordinal);
    private readonly Queue<FlushFigures> flushes = new();
    private (long Heartbeats, long Time)? before;

    /// <summary>People there are.</summary>
    public int People => people.Count;

    /// <summary>Islands there are.</summary>
    public int Islands => islands.Count;

    /// <summary>Islands that have no room.</summary>
    public int Full => islands.Values.Count(i => i.Size >= i.Max);

    /// <summary>Heartbeats a second.</summary>
    public double Heartbeats { get; private set; }

    /// <summary>True while the Service gives signs of life.</summary>
    public bool IsHealthy { get; private set; }

    /// <summary>The last flush; null before one was told.</summary>
    public FlushFigures? LastFlush { get; private set; }

    /// <summary>The largest islands first.</summary>
    public IEnumerable<(string Id, int Size, int Max)> Biggest(int count) =>
        islands.OrderByDescending(i => i.Value.Size).ThenBy(i => i.Key, StringComparer.Ordinal).Take(count).Select(i => (i.Key, i.Value.Size, i.Value.Max));

    /// <summary>The slowest flushes of the last half hour or so first.</summary>
    public IEnumerable<FlushFigures> Slowest => flushes.OrderByDescending(f => f.Milliseconds).Take(SlowestKept);

    /// <summary>Takes one event.</summary>
    /// <param name="kind"><c>world</c> or <c>changes</c>.</param>
    /// <param name="frame">Its data.</param>
    public void Take(string kind, JsonElement frame)
    {
        if (kind == "world")
        {
            people.Clear();
            islands.Clear();
            before = null;
        }
        IsHealthy = frame.GetProperty("healthy").GetBoolean();
        (long Heartbeats, long Time) now = (frame.GetProperty("heartbeats").GetInt64(), frame.GetProperty("time").GetInt64());
        if (before is { } earlier && now.Time - earlier.Time >= 1000)
            (Heartbeats, before) = (Math.Max(0, (now.Heartbeats - earlier.Heartbeats) * 1000.0 / (now.Time - earlier.Time)), now);
        before ??= now;
        foreach (JsonElement peer in All(frame, kind == "world" ? "peers" : "came"))
            people.Add(peer[0].GetInt32());
        foreach (JsonElement number in All(frame, "left"))
            people.Remove(number.GetInt32());
        foreach (JsonElement id in All(frame, "gone"))
            islands.Remove(id.GetString()!);
        foreach (JsonElement island in All(frame, "islands"))
        {
            string id = island.GetProperty("id").GetString()!;
            int size = island.TryGetProperty("peers", out JsonElement members) ? members.GetArrayLength() : islands.GetValueOrDefault(id).Size;
            islands[id] = (size, island.GetProperty("max").GetInt32());
        }
        if (frame.TryGetProperty("flush", out JsonElement flush))
            Note(flush);
    }

    private void Note(JsonElement flush)
    {
        // What a Stats of an earlier version does not tell counts as none.
        long Count(string name) => flush.TryGetProperty(name, out JsonElement value) ? value.GetInt64() : 0;
        double Number(string name) => flush.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : 0;
        var told = new FlushFigures(Count("number"), Number("flushMs"), Number("seconds"), Count("newcomers"), Count("merges"), Count("splits"), Count("crowdMoves"),
            flush.TryGetProperty("neighbourRecall", out JsonElement recall) && recall.ValueKind == JsonValueKind.Number ? recall.GetDouble() : null, Count("left"));
        if (told.Number == LastFlush?.Number)
            return;
        LastFlush = told;
        flushes.Enqueue(told);
        if (flushes.Count > FlushesKept)
            flushes.Dequeue();
    }

    private static IEnumerable<JsonElement> All(JsonElement frame, string name) => frame.TryGetProperty(name, out JsonElement some) ? some.EnumerateArray() : [];
}
