using System.Text.Json;
using System.Text.Json.Nodes;
using Archipelago.Hosting;

namespace Archipelago.RealmProvider;

/// <summary>
/// Asks each configured catalyst how it is, once before the host serves and then in the background, so that no request waits for a slow one. An answer
/// that is late, too large, no JSON, or not open to users takes the catalyst off the list until its next good one.
/// </summary>
internal sealed partial class CatalystProbe : BackgroundService
{
    private const int MaxBytes = 1024 * 1024;
    private static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(1);

    // A doubled member would surface only when somebody reads it, in the middle of a request.
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    private readonly RealmProviderOptions options;
    private readonly TimeProvider clock;
    private readonly LogThrottle throttle;
    private readonly ILogger<CatalystProbe> log;
    private readonly HttpClient http = new() { Timeout = TimeLimit, MaxResponseContentBufferSize = MaxBytes };
    private volatile IReadOnlyList<Catalyst> healthy = [];

    public CatalystProbe(RealmProviderOptions options, TimeProvider clock, LogThrottle throttle, ILogger<CatalystProbe> log)
    {
        this.options = options;
        this.clock = clock;
        this.throttle = throttle;
        this.log = log;
        if (options.Fixed is { } about)
            healthy = [new Catalyst(about["content"]!["publicUrl"]!.GetValue<string>(), about)];
    }

    /// <summary>The catalysts to choose from, in the order of the configuration.</summary>
    public IReadOnlyList<Catalyst> Healthy => healthy;

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await ProbeAsync(cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    public override void Dispose()
    {
        http.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.ProbePeriod, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            await ProbeAsync(stoppingToken);
    }

    private async Task ProbeAsync(CancellationToken cancellationToken)
    {
        if (options.Fixed is not null)
            return;
        Catalyst?[] answers = await Task.WhenAll(options.Catalysts.Select(url => AskAsync(url, cancellationToken)));
        healthy = [.. answers.OfType<Catalyst>()];
    }

    private async Task<Catalyst?> AskAsync(string url, CancellationToken cancellationToken)
    {
        try
        {
            byte[] body = await http.GetByteArrayAsync(new Uri(url + "/about"), cancellationToken);
            if (JsonNode.Parse(body, documentOptions: Strict) is JsonObject about)
            {
                // Strings are decoded when they are read, so everything is read once here, where a broken one harms nobody else.
                _ = about.ToJsonString();
                var catalyst = new Catalyst(url, about);
                _ = (catalyst.ContentVersion, catalyst.LambdasVersion, catalyst.RealmName);
                return catalyst.IsOpen ? catalyst : null;
            }
            Warn(url, "its /about is no JSON object");
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or InvalidOperationException or ArgumentException
            || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            Warn(url, e.Message);
        }
        return null;
    }

    private void Warn(string url, string reason)
    {
        if (throttle.ShouldLog("catalyst " + url, out long suppressed))
            LogDown(log, url, reason, suppressed);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Catalyst {Url} is not offered: {Reason}. {Suppressed} more like this were not logged.")]
    private static partial void LogDown(ILogger log, string url, string reason, long suppressed);
}
