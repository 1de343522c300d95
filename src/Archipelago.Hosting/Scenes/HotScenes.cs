using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Archipelago.Hosting.Scenes;

/// <summary>A scene and how many people are in it.</summary>
/// <param name="Scene">The scene.</param>
/// <param name="Users">People on its parcels, as often as the scene lists them.</param>
public sealed record HotScene(Scene Scene, long Users)
{
    /// <summary>Writes what every list has first: <c>id</c>, <c>name</c>, <c>baseCoords</c>, <c>usersTotalCount</c>.</summary>
    public void WriteHead(Utf8JsonWriter json)
    {
        ArgumentNullException.ThrowIfNull(json);
        json.WriteString("id", Scene.Id);
        if (Scene.Name is not null)
            json.WriteString("name", Scene.Name);
        json.WriteStartArray("baseCoords");
        json.WriteNumberValue(Scene.BaseX);
        json.WriteNumberValue(Scene.BaseY);
        json.WriteEndArray();
        json.WriteNumber("usersTotalCount", Users);
    }

    /// <summary>Writes <c>parcels</c> and, where there is one, <c>thumbnail</c>.</summary>
    public void WriteParcels(Utf8JsonWriter json)
    {
        ArgumentNullException.ThrowIfNull(json);
        json.WriteStartArray("parcels");
        foreach (string parcel in Scene.Parcels)
        {
            Scene.TryReadParcel(parcel, out int x, out int y);
            json.WriteStartArray();
            json.WriteNumberValue(x);
            json.WriteNumberValue(y);
            json.WriteEndArray();
        }
        json.WriteEndArray();
        if (Scene.Thumbnail is not null)
            json.WriteString("thumbnail", Scene.Thumbnail);
    }
}

/// <summary>What is known of the crowds at one moment.</summary>
/// <param name="Counts">People by parcel, such as <c>-7,3</c>.</param>
/// <param name="Scenes">The scenes with the most people first, at most a hundred.</param>
public sealed record Crowds<TCount>(IReadOnlyDictionary<string, TCount> Counts, IReadOnlyList<HotScene> Scenes);

/// <summary>
/// The answer to <c>/hot-scenes</c>: which scenes have the most people. The content server is asked at most once in a period, callers share one question, and while it
/// fails the last good answer is told, with its age. Any thread.
/// </summary>
/// <typeparam name="TCount">How people on a parcel are counted.</typeparam>
public sealed partial class HotScenes<TCount>
{
    /// <summary>The most scenes that are told.</summary>
    public const int Most = 100;

    // A crowd on many parcels takes several questions, each with the time limit.
    private const int QuestionsInARow = 6;

    private readonly Func<CancellationToken, Task<IReadOnlyDictionary<string, TCount>>> count;
    private readonly Func<TCount, long> total;
    private readonly ContentServer content;
    private readonly SharedAnswer<Crowds<TCount>> answer;
    private readonly LogThrottle throttle;
    private readonly ILogger log;

    /// <summary>Makes one; nobody is asked yet.</summary>
    /// <param name="options">When the content server is asked.</param>
    /// <param name="content">The content server.</param>
    /// <param name="count">Counts people by parcel.</param>
    /// <param name="total">How many people a count stands for.</param>
    /// <param name="clock">Tells the time.</param>
    /// <param name="throttle">Keeps failures from flooding the log.</param>
    /// <param name="log">Hears of failures.</param>
    public HotScenes(
        HotScenesOptions options,
        ContentServer content,
        Func<CancellationToken, Task<IReadOnlyDictionary<string, TCount>>> count,
        Func<TCount, long> total,
        TimeProvider clock,
        LogThrottle throttle,
        ILogger log)
    {
        ArgumentNullException.ThrowIfNull(options);
        (this.count, this.total, this.content, this.throttle, this.log) = (count, total, content, throttle, log);
        answer = new SharedAnswer<Crowds<TCount>>(AskAsync, options.Period, options.TimeLimit * QuestionsInARow, options.TimeLimit, clock, Warn);
    }

    /// <summary>Answers a request: the list, with its age in the header <c>Age</c>; 503 when there never was one.</summary>
    /// <param name="context">The request.</param>
    /// <param name="write">Writes one entry.</param>
    public async Task AnswerAsync(HttpContext context, Action<Utf8JsonWriter, HotScene, Crowds<TCount>> write)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (await answer.GetAsync(context.RequestAborted) is not { } known)
        {
            context.Response.Headers.RetryAfter = "10";
            await Json.WriteErrorAsync(context, StatusCodes.Status503ServiceUnavailable, "The content server has not answered yet. Try again in a moment.");
            return;
        }
        context.Response.Headers.Age = ((long)known.Age.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        await Json.WriteAsync(context, StatusCodes.Status200OK, json =>
        {
            json.WriteStartArray();
            foreach (HotScene scene in known.Value.Scenes)
                write(json, scene, known.Value);
            json.WriteEndArray();
        });
    }

    private async Task<Crowds<TCount>> AskAsync(CancellationToken cancellationToken)
    {
        IReadOnlyDictionary<string, TCount> counts = await count(cancellationToken);
        if (counts.Count == 0)
            return new Crowds<TCount>(counts, []);
        IReadOnlyList<Scene> scenes = await content.ActiveScenesAsync([.. counts.Keys], cancellationToken);
        // OrderBy keeps the content server's order among equals.
        return new Crowds<TCount>(counts, [.. scenes.Select(s => new HotScene(s, s.Parcels.Sum(p => counts.TryGetValue(p, out TCount? n) ? total(n) : 0))).OrderByDescending(s => s.Users).Take(Most)]);
    }

    private void Warn(Exception e)
    {
        if (throttle.ShouldLog("hot scenes", out long suppressed))
            LogFailed(log, e is OperationCanceledException ? "no answer within the time limit." : e.Message, suppressed);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Hot scenes are not up to date: {Reason} Check CONTENT_URL. {Suppressed} more like this were not logged.")]
    private static partial void LogFailed(ILogger log, string reason, long suppressed);
}

/// <summary>When a content server is asked for hot scenes.</summary>
/// <param name="ContentUrl">The content server, without trailing slash.</param>
/// <param name="Period">How long an answer stands.</param>
/// <param name="TimeLimit">How long a question may take.</param>
public sealed record HotScenesOptions(string ContentUrl, TimeSpan Period, TimeSpan TimeLimit)
{
    /// <summary>Reads <c>CONTENT_URL</c>, <c>HOT_SCENES_PERIOD_MS</c> and <c>CONTENT_TIMEOUT_MS</c>.</summary>
    public static HotScenesOptions Read(Settings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return new HotScenesOptions(
            settings.HttpUrl("CONTENT_URL") ?? "https://peer.decentraland.org/content",
            TimeSpan.FromMilliseconds(settings.Number("HOT_SCENES_PERIOD_MS", 10_000, 0, 86_400_000)),
            TimeSpan.FromMilliseconds(settings.Number("CONTENT_TIMEOUT_MS", 5_000, 1, 600_000)));
    }
}
