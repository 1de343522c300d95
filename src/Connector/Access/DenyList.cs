using System.Text.Json;
using Archipelago.Hosting;

namespace Archipelago.Connector;

/// <summary>
/// The wallets that may not come in, fetched from a configured URL at most every five minutes, once for all who wait. While the document cannot be
/// had or read, the last good one holds. Any thread.
/// </summary>
internal sealed partial class DenyList(ConnectorOptions options, TimeProvider clock, LogThrottle throttle, ILogger<DenyList> log) : IDisposable
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(5);

    /// <summary>While there is no list at all it is not left at that.</summary>
    private static readonly TimeSpan AgainWithout = TimeSpan.FromSeconds(5);
    private const int MaxBytes = 16 * 1024 * 1024;

    private readonly HttpClient http = new() { Timeout = TimeLimit, MaxResponseContentBufferSize = MaxBytes };
    private readonly Lock fetching = new();
    private volatile HashSet<string>? wallets;
    private volatile bool fetchedOnce;
    private Task fetch = Task.CompletedTask;
    private long nextFetch = long.MinValue;

    /// <summary>Whether the address, in lower case, is denied; unknown while no list could be read yet.</summary>
    public async ValueTask<BanStatus> CheckAsync(string address)
    {
        if (options.DenyListUrl is null)
            return BanStatus.NotBanned;
        if (Volatile.Read(ref nextFetch) <= clock.GetTimestamp())
            BeginFetch(options.DenyListUrl);
        // Only the very first fetch is waited for; a later one takes its place when it is there.
        if (!fetchedOnce)
            await Fetch;
        return wallets is not { } known ? BanStatus.Unknown : known.Contains(address) ? BanStatus.Banned : BanStatus.NotBanned;
    }

    private void BeginFetch(string url)
    {
        lock (fetching)
        {
            if (!fetch.IsCompleted || nextFetch > clock.GetTimestamp())
                return;
            nextFetch = clock.GetTimestamp() + (long)(Lifetime.TotalSeconds * clock.TimestampFrequency);
            fetch = FetchAsync(url);
        }
    }

    /// <summary>Completes when the latest fetch has.</summary>
    internal Task Fetch => Volatile.Read(ref fetch);

    public void Dispose() => http.Dispose();

    /// <summary>The wallets of a document, in lower case; null when it has no list of users.</summary>
    internal static HashSet<string>? Read(ReadOnlyMemory<byte> document)
    {
        using JsonDocument json = JsonDocument.Parse(document);
        if (json.RootElement.ValueKind != JsonValueKind.Object || !json.RootElement.TryGetProperty("users", out JsonElement users) || users.ValueKind != JsonValueKind.Array)
            return null;
        var wallets = new HashSet<string>(StringComparer.Ordinal);
        foreach (JsonElement user in users.EnumerateArray())
            if (user.ValueKind == JsonValueKind.Object && user.TryGetProperty("wallet", out JsonElement wallet) && wallet.ValueKind == JsonValueKind.String)
                wallets.Add(wallet.GetString()!.ToLowerInvariant());
        return wallets;
    }

    private async Task FetchAsync(string url)
    {
        try
        {
            if (Read(await http.GetByteArrayAsync(new Uri(url))) is { } read)
                (wallets, fetchedOnce) = (read, true);
            else
                Warn(url, "it has no \"users\"");
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or JsonException or InvalidOperationException)
        {
            Warn(url, e.Message);
        }
    }

    private void Warn(string url, string reason)
    {
        fetchedOnce = true;
        if (wallets is null)
            Volatile.Write(ref nextFetch, clock.GetTimestamp() + (long)(AgainWithout.TotalSeconds * clock.TimestampFrequency));
        if (throttle.ShouldLog("deny list", out _))
            LogKept(log, url, reason, wallets?.Count ?? 0);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The deny list at {Url} could not be read ({Reason}); the last one, of {Count} wallets, holds.")]
    private static partial void LogKept(ILogger log, string url, string reason, int count);
}
