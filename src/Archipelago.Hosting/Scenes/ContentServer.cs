using System.Buffers;
using System.Net.Http.Headers;
using System.Text.Json;

namespace Archipelago.Hosting.Scenes;

/// <summary>Asks a content server which scenes are on some parcels (<c>POST /entities/active</c>). Any thread.</summary>
public sealed class ContentServer : IDisposable
{
    /// <summary>Parcels in one question; more make several.</summary>
    public const int MostPointers = 300;

    private const int MostBytes = 32 * 1024 * 1024, AtOnce = 3;

    // Scenes may say anything about themselves, however deep; it must not hide the others.
    private static readonly JsonDocumentOptions Deep = new() { MaxDepth = 1000 };

    private readonly string url;
    private readonly HttpClient http;

    /// <summary>Makes one; nobody is asked yet.</summary>
    /// <param name="url">Where it answers, without trailing slash.</param>
    /// <param name="timeLimit">How long each question may take.</param>
    public ContentServer(string url, TimeSpan timeLimit)
    {
        this.url = url;
        http = new HttpClient(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.FromMinutes(5) }) { Timeout = timeLimit, MaxResponseContentBufferSize = MostBytes };
    }

    /// <summary>The scenes on these parcels, each once, in the server's order; what is no scene is left out.</summary>
    /// <param name="pointers">Parcels such as <c>-7,3</c>.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="HttpRequestException">The server cannot be reached or does not answer with success.</exception>
    /// <exception cref="JsonException">It answers with anything but a list of entities.</exception>
    public async Task<IReadOnlyList<Scene>> ActiveScenesAsync(IReadOnlyList<string> pointers, CancellationToken cancellationToken)
    {
        string[][] questions = [.. pointers.Chunk(MostPointers)];
        var answers = new List<Scene>[questions.Length];
        // Few at once: it is somebody else's server.
        await Parallel.ForAsync(0, questions.Length, new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken }, async (i, token) => answers[i] = await AskAsync(questions[i], token));
        return [.. answers.SelectMany(a => a).DistinctBy(s => s.Id, StringComparer.Ordinal)];
    }

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    private async Task<List<Scene>> AskAsync(string[] pointers, CancellationToken cancellationToken)
    {
        using var content = new ReadOnlyMemoryContent(Question(pointers));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using HttpResponseMessage response = await http.PostAsync(new Uri(url + "/entities/active"), content, cancellationToken);
        response.EnsureSuccessStatusCode();
        using JsonDocument document = JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(cancellationToken), Deep);
        if (document.RootElement.ValueKind != JsonValueKind.Array)
            throw new JsonException("The content server's answer is no list of entities.");
        return [.. document.RootElement.EnumerateArray().Select(Read).OfType<Scene>()];
    }

    private Scene? Read(JsonElement entity)
    {
        try
        {
            return Scene.Read(entity, url);
        }
        catch (InvalidOperationException)
        {
            // It holds a text that is none.
            return null;
        }
    }

    private static ReadOnlyMemory<byte> Question(string[] pointers)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteStartArray("pointers");
            foreach (string pointer in pointers)
                json.WriteStringValue(pointer);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return buffer.WrittenMemory;
    }
}
