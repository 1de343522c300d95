using System.Globalization;
using System.Text.Json;
using Archipelago.Hosting;
using Archipelago.Hosting.Scenes;
using Archipelago.RealmProvider.Catalysts;

namespace Archipelago.RealmProvider;

/// <summary><c>/hot-scenes</c>: people on the parcels of all realms together. Who does not answer in time, or makes no sense, is left out.</summary>
internal sealed class RealmCrowd : IDisposable
{
    private const int MaxBytes = 2 * 1024 * 1024, MostParcels = 5_000;

    private readonly RealmProviderOptions options;
    private readonly RealmBoard board;
    private readonly HttpClient http;
    private readonly HotScenes<OrderedDictionary<string, long>> scenes;

    public RealmCrowd(RealmProviderOptions options, RealmBoard board, ContentServer content, TimeProvider clock, LogThrottle throttle, ILogger<RealmCrowd> log)
    {
        (this.options, this.board) = (options, board);
        http = new HttpClient(new SocketsHttpHandler { MaxAutomaticRedirections = 3, PooledConnectionLifetime = TimeSpan.FromMinutes(5) })
        {
            Timeout = options.ProbeTimeLimit, MaxResponseContentBufferSize = MaxBytes,
        };
        scenes = new HotScenes<OrderedDictionary<string, long>>(options.HotScenes, content, CountAsync, static realms => realms.Values.Sum(), clock, throttle, log);
    }

    public Task AnswerAsync(HttpContext http) => scenes.AnswerAsync(http, Write);

    public void Dispose() => http.Dispose();

    private static void Write(Utf8JsonWriter json, HotScene hot, Crowds<OrderedDictionary<string, long>> crowds)
    {
        json.WriteStartObject();
        hot.WriteHead(json);
        json.WriteStartArray("realms");
        foreach ((string name, long users) in Together(hot.Scene.Parcels, crowds.Counts))
        {
            json.WriteStartObject();
            json.WriteString("serverName", name);
            json.WriteNumber("usersCount", users);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        hot.WriteParcels(json);
        json.WriteEndObject();
    }

    /// <summary>People by realm, in the order in which a scene's parcels mention the realms.</summary>
    private static OrderedDictionary<string, long> Together(IEnumerable<string> parcels, IReadOnlyDictionary<string, OrderedDictionary<string, long>> counts)
    {
        var together = new OrderedDictionary<string, long>(StringComparer.Ordinal);
        foreach (string parcel in parcels)
            if (counts.TryGetValue(parcel, out OrderedDictionary<string, long>? realms))
                foreach ((string name, long users) in realms)
                    Add(together, name, users);
        return together;
    }

    private async Task<IReadOnlyDictionary<string, OrderedDictionary<string, long>>> CountAsync(CancellationToken cancellationToken)
    {
        RealmView view = board.Now;
        List<(string Name, string Url)> realms = [.. view.Healthy.Where(c => c.RealmName is not null).Select(c => (c.RealmName!, c.Url + "/stats/parcels"))];
        if (view.Status.Healthy)
            realms.Add((MainRealm.Name, options.StatsUrl + "/parcels"));
        List<(string Parcel, long Users)>?[] answers = await Task.WhenAll(realms.Select(r => AskAsync(r.Url, cancellationToken)));
        var counts = new OrderedDictionary<string, OrderedDictionary<string, long>>(StringComparer.Ordinal);
        for (int i = 0; i < answers.Length; i++)
        {
            foreach ((string parcel, long users) in answers[i] ?? [])
            {
                if (!counts.TryGetValue(parcel, out OrderedDictionary<string, long>? here))
                    counts[parcel] = here = new OrderedDictionary<string, long>(StringComparer.Ordinal);
                Add(here, realms[i].Name, users);
            }
        }
        return counts;
    }

    private static void Add(OrderedDictionary<string, long> realms, string name, long users) => realms[name] = realms.GetValueOrDefault(name) + users;

    private async Task<List<(string Parcel, long Users)>?> AskAsync(string url, CancellationToken cancellationToken)
    {
        try
        {
            using HttpResponseMessage response = await http.GetAsync(new Uri(url), cancellationToken);
            using JsonDocument document = JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(cancellationToken));
            var counts = new List<(string, long)>();
            foreach (JsonElement entry in document.RootElement.GetProperty("parcels").EnumerateArray())
            {
                JsonElement parcel = entry.GetProperty("parcel");
                // Whoever is nowhere, as a place that is no number is told, is on no scene.
                if (parcel.GetProperty("x").ValueKind == JsonValueKind.Null || parcel.GetProperty("y").ValueKind == JsonValueKind.Null)
                    continue;
                counts.Add((string.Create(CultureInfo.InvariantCulture, $"{parcel.GetProperty("x").GetInt32()},{parcel.GetProperty("y").GetInt32()}"), entry.GetProperty("peersCount").GetUInt32()));
            }
            // A realm with people on more parcels than that is lying, or so large that the smallest crowds do not matter.
            return counts.Count <= MostParcels ? counts : [.. counts.OrderByDescending(c => c.Item2).Take(MostParcels)];
        }
#pragma warning disable CA1031 // There is no end to what a server of strangers can bring about.
        catch (Exception) when (!cancellationToken.IsCancellationRequested)
#pragma warning restore CA1031
        {
            return null;
        }
    }
}
