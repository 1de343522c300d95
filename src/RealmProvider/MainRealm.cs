using System.Text.Json;
using System.Text.Json.Nodes;

namespace Archipelago.RealmProvider;

/// <summary>How the comms of the main realm are.</summary>
/// <param name="Healthy">True when Stats hears the Service and the Connector answers.</param>
/// <param name="UserCount">Peers that the Service knows.</param>
/// <param name="Version">The Connector's version; null when unknown.</param>
/// <param name="CommitHash">The Connector's commit; null when unknown.</param>
internal sealed record MainRealmStatus(bool Healthy, long UserCount, string? Version, string? CommitHash)
{
    public static MainRealmStatus Down { get; } = new(false, 0, null, null);
}

/// <summary>Asks Stats and the Connector how the main realm is, once before the host serves and then in the background. Who does not answer in time counts as down.</summary>
internal sealed class MainRealm(RealmProviderOptions options, TimeProvider clock) : BackgroundService
{
    /// <summary>The realm's name.</summary>
    public const string Name = "main";

    private readonly HttpClient http = new(new SocketsHttpHandler { AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.FromMinutes(1) })
    {
        Timeout = options.ProbeTimeLimit, MaxResponseContentBufferSize = 64 * 1024,
    };

    private volatile MainRealmStatus status = MainRealmStatus.Down;

    /// <summary>How clients reach the comms. The doubled prefix is what they expect.</summary>
    public string Adapter { get; } = "archipelago:archipelago:" + ToWebSocket(options.ConnectorUrl) + "/ws";

    /// <summary>How it was when it was last asked.</summary>
    public MainRealmStatus Status => status;

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await LookAsync(cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    public override void Dispose()
    {
        http.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (true)
        {
            await Task.Delay(options.CommsProbePeriod, clock, stoppingToken);
            await LookAsync(stoppingToken);
        }
    }

    private async Task LookAsync(CancellationToken cancellationToken)
    {
        MainRealmStatus now = await AskAsync(cancellationToken);
        // The same object as long as nothing is new, so that what is made from it is made once.
        if (now != status)
            status = now;
    }

    private async Task<MainRealmStatus> AskAsync(CancellationToken cancellationToken)
    {
        try
        {
            JsonObject?[] answers = await Task.WhenAll(
                GetAsync(options.StatsUrl + "/core-status", cancellationToken),
                GetAsync(options.ConnectorUrl + "/status", cancellationToken));
            if (answers is not [{ } core, { } connector])
                return MainRealmStatus.Down;
            bool healthy = core["healthy"] is JsonValue h && h.TryGetValue(out bool yes) && yes;
            long users = core["userCount"] is JsonValue u && u.TryGetValue(out long count) ? count : 0;
            return new MainRealmStatus(healthy, users, Text(connector["version"]), Text(connector["commitHash"]));
        }
#pragma warning disable CA1031 // Whatever they bring about, it means that they are not well.
        catch (Exception) when (!cancellationToken.IsCancellationRequested)
#pragma warning restore CA1031
        {
            return MainRealmStatus.Down;
        }
    }

    private async Task<JsonObject?> GetAsync(string url, CancellationToken cancellationToken)
    {
        using HttpResponseMessage response = await http.GetAsync(new Uri(url), cancellationToken);
        return JsonNode.Parse(await response.Content.ReadAsByteArrayAsync(cancellationToken)) as JsonObject;
    }

    private static string? Text(JsonNode? node) => node is JsonValue v && v.TryGetValue(out string? text) ? text : null;

    private static string ToWebSocket(string url) => url.StartsWith("http", StringComparison.Ordinal) ? "ws" + url[4..] : url;
}
