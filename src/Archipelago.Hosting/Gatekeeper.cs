using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Archipelago.Hosting;

/// <summary>What is known of an address.</summary>
public enum BanStatus
{
    /// <summary>It may come in.</summary>
    NotBanned,

    /// <summary>It is banned from the platform.</summary>
    Banned,

    /// <summary>Nobody answered in time, or made sense.</summary>
    Unknown,
}

/// <summary>
/// Asks the comms gatekeeper whether an address is banned from the platform. Without a URL nobody is asked and nobody is banned. Questions are asked side by side, a
/// bounded number at a time; a question takes at most its time limit, its wait included, so that a gatekeeper that hangs delays each by that and no more. May be
/// called from any thread.
/// </summary>
public sealed partial class Gatekeeper : IDisposable
{
    /// <summary>Questions that are under way at once; more wait.</summary>
    public const int QuestionsAtOnce = 64;

    private const int MostRemembered = 65_536;
    private static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Remembered = TimeSpan.FromSeconds(30);

    private readonly string? url;
    private readonly HttpClient http;
    private readonly TimeProvider clock;
    private readonly LogThrottle throttle;
    private readonly ILogger log;
    private readonly SemaphoreSlim questions = new(QuestionsAtOnce);
    private readonly ConcurrentDictionary<string, (BanStatus Status, long At)> remembered = new(StringComparer.Ordinal);
    private long asked;
    private long unanswered;
    private long bans;

    /// <summary>Makes one that asks at this URL, which has no trailing slash; null for none.</summary>
    /// <param name="url">Where.</param>
    /// <param name="failsClosed">Whether hosts are to keep out those of whom nothing is known.</param>
    /// <param name="clock">Tells when what is remembered is old.</param>
    /// <param name="throttle">Keeps the log quiet.</param>
    /// <param name="log">Where a gatekeeper that does not answer is told.</param>
    public Gatekeeper(string? url, bool failsClosed, TimeProvider clock, LogThrottle throttle, ILogger<Gatekeeper> log)
    {
        this.url = url;
        FailsClosed = failsClosed;
        this.clock = clock;
        http = new HttpClient { Timeout = Timeout.InfiniteTimeSpan, MaxResponseContentBufferSize = 64 * 1024 };
        this.throttle = throttle;
        this.log = log;
    }

    /// <summary>True when there is a gatekeeper to ask.</summary>
    public bool IsEnabled => url is not null;

    /// <summary>True when those of whom nothing is known are to stay out; by default they come in, as in the services replaced.</summary>
    public bool FailsClosed { get; }

    /// <summary>Questions asked so far.</summary>
    public long Asked => Interlocked.Read(ref asked);

    /// <summary>Answers that somebody is banned.</summary>
    public long Bans => Interlocked.Read(ref bans);

    /// <summary>Questions that got no answer in time, or none that made sense.</summary>
    public long Unanswered => Interlocked.Read(ref unanswered);

    /// <summary>What the gatekeeper says of the address, or said within the last 30 seconds.</summary>
    public async ValueTask<BanStatus> CheckAsync(string address, CancellationToken cancellationToken = default)
    {
        if (url is null)
            return BanStatus.NotBanned;
        if (remembered.TryGetValue(address, out (BanStatus Status, long At) known) && clock.GetElapsedTime(known.At) < Remembered)
            return known.Status;
        return await AskAsync(address, cancellationToken);
    }

    /// <summary>What the gatekeeper says of the address now; unknown after a second.</summary>
    public async Task<BanStatus> AskAsync(string address, CancellationToken cancellationToken = default)
    {
        if (url is null)
            return BanStatus.NotBanned;
        Interlocked.Increment(ref asked);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeLimit);
        bool holdsPlace = false;
        try
        {
            await questions.WaitAsync(limit.Token);
            holdsPlace = true;
            using HttpResponseMessage response = await http.GetAsync(new Uri($"{url}/users/{Uri.EscapeDataString(address)}/bans"), limit.Token);
            response.EnsureSuccessStatusCode();
            BanStatus status = Read(await response.Content.ReadAsByteArrayAsync(limit.Token));
            if (status == BanStatus.Banned)
                Interlocked.Increment(ref bans);
            Remember(address, status);
            return status;
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or InvalidOperationException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            Interlocked.Increment(ref unanswered);
            if (throttle.ShouldLog("ban check", out long suppressed))
                LogUnanswered(log, url, e.Message, FailsClosed ? "stay out" : "count as not banned", suppressed);
            return BanStatus.Unknown;
        }
        finally
        {
            if (holdsPlace)
                questions.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    /// <summary>Banned if and only if <c>data.isBanned</c> is true, as in the services replaced.</summary>
    private static BanStatus Read(byte[] answer)
    {
        using JsonDocument body = JsonDocument.Parse(answer);
        return body.RootElement.ValueKind == JsonValueKind.Object
            && body.RootElement.TryGetProperty("data", out JsonElement data) && data.ValueKind == JsonValueKind.Object
            && data.TryGetProperty("isBanned", out JsonElement banned) && banned.ValueKind == JsonValueKind.True
            ? BanStatus.Banned
            : BanStatus.NotBanned;
    }

    private void Remember(string address, BanStatus status)
    {
        // Forgetting all costs a question each and is simple; it takes as many people within half a minute.
        if (remembered.Count >= MostRemembered)
            remembered.Clear();
        remembered[address] = (status, clock.GetTimestamp());
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The gatekeeper at {Url} gives no answer ({Reason}); peers {Consequence}. {Suppressed} more like this were not logged.")]
    private static partial void LogUnanswered(ILogger log, string url, string reason, string consequence, long suppressed);
}
