using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Archipelago.Hosting;

/// <summary>
/// Asks the comms gatekeeper whether an address is banned from the platform. Without a URL nobody is asked and nobody is banned; when the answer
/// does not come in time or makes no sense, the address counts as not banned, as in the services replaced. May be called from any thread.
/// </summary>
public sealed partial class Gatekeeper : IDisposable
{
    private static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(1);
    private readonly string? url;
    private readonly HttpClient http;
    private readonly LogThrottle throttle;
    private readonly ILogger log;

    /// <summary>Makes one that asks at this URL, which has no trailing slash; null for none.</summary>
    public Gatekeeper(string? url, LogThrottle throttle, ILogger<Gatekeeper> log)
    {
        this.url = url;
        http = new HttpClient { Timeout = TimeLimit, MaxResponseContentBufferSize = 64 * 1024 };
        this.throttle = throttle;
        this.log = log;
    }

    /// <summary>True when there is a gatekeeper to ask.</summary>
    public bool IsEnabled => url is not null;

    /// <summary>True when the gatekeeper says within a second that the address is banned.</summary>
    public async Task<bool> IsBannedAsync(string address, CancellationToken cancellationToken = default)
    {
        if (url is null)
            return false;
        try
        {
            using HttpResponseMessage response = await http.GetAsync(new Uri($"{url}/users/{Uri.EscapeDataString(address)}/bans"), cancellationToken);
            response.EnsureSuccessStatusCode();
            using JsonDocument body = JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(cancellationToken));
            return body.RootElement.ValueKind == JsonValueKind.Object
                && body.RootElement.TryGetProperty("data", out JsonElement data) && data.ValueKind == JsonValueKind.Object
                && data.TryGetProperty("isBanned", out JsonElement banned) && banned.ValueKind == JsonValueKind.True;
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or InvalidOperationException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            if (throttle.ShouldLog("ban check", out long suppressed))
                LogUnanswered(log, url, e.Message, suppressed);
            return false;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    [LoggerMessage(Level = LogLevel.Warning, Message = "The gatekeeper at {Url} gives no answer ({Reason}); peers count as not banned. {Suppressed} more like this were not logged.")]
    private static partial void LogUnanswered(ILogger log, string url, string reason, long suppressed);
}
