using System.Buffers;
using System.Net.Http.Headers;
using System.Text.Json;

namespace Archipelago.Hosting.Scenes;

/// <summary>Asks a content server which scenes are on some parcels (<c>POST /entities/active</c>). Any thread.</summary>
public sealed class ContentServer : IDisposable
{
    /// <summary>Parcels in one question; more make several.</summary>
    public const int MostPointers = 300;

    private const int MostBytes = 32 * 1024 * 1024;

    private readonly string url;
    private readonly HttpClient http = new() { Timeout = Timeout.InfiniteTimeSpan, MaxResponseContentBufferSize = MostBytes };

    /// <summary>Makes one; nobody is asked yet.</summary>
    /// <param name="url">Where it answers, without trailing slash.</param>
    public ContentServer(string url) => this.url = url;

    /// <summary>The scenes on these parcels, each once, in the server's order; what is no scene is left out.</summary>
    /// <param name="pointers">Parcels such as <c>-7,3</c>.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="HttpRequestException">The server cannot be reached or does not answer with success.</exception>
    /// <exception cref="JsonException">It answers with anything but a list of entities.</exception>
    public async Task<IReadOnlyList<Scene>> ActiveScenesAsync(IReadOnlyList<string> pointers, CancellationToken cancellationToken)
    {
        var scenes = new List<Scene>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        // One question after the other: it is somebody else's server.
        foreach (string[] some in pointers.Chunk(MostPointers))
            scenes.AddRange((await AskAsync(some, cancellationToken)).Where(scene => seen.Add(scene.Id)));
        return scenes;
    }

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    private async Task<List<Scene>> AskAsync(string[] pointers, CancellationToken cancellationToken)
    {
        using var content = new ReadOnlyMemoryContent(Question(pointers));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using HttpResponseMessage response = await http.PostAsync(new Uri(url + "/entities/active"), content, cancellationToken);
        response.EnsureSuccessStatusCode();
        try
        {
            using JsonDocument document = JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(cancellationToken));
            if (document.RootElement.ValueKind != JsonValueKind.Array)
                throw new JsonException("The content server's answer is no list of entities.");
            return [.. document.RootElement.EnumerateArray().Select(entity => Scene.Read(entity, url)).OfType<Scene>()];
        }
        catch (InvalidOperationException e)
        {
            throw new JsonException("The content server's answer holds a text that is none.", e);
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
