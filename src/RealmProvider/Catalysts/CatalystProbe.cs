using System.Text.Json;
using System.Text.Json.Nodes;
using Archipelago.Hosting;

namespace Archipelago.RealmProvider.Catalysts;

/// <summary>
/// Asks each catalyst how it is, once before the host serves and then in the background, each at its own times, so that no request waits for a slow one. An answer
/// that is late, too large, no JSON, or not open to users takes the catalyst off the list until its next good one.
/// </summary>
internal sealed partial class CatalystProbe : BackgroundService
{
    private const int MaxBytes = 1024 * 1024;
    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);

    // A doubled member would surface only when somebody reads it, in the middle of a request.
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <summary>What is known of a catalyst.</summary>
    /// <param name="Answer">What it last said; null when it is not to be offered.</param>
    /// <param name="Failures">How often it has not answered since it last did.</param>
    private readonly record struct Standing(Catalyst? Answer, int Failures);

    private readonly RealmProviderOptions options;
    private readonly CatalystList list;
    private readonly Random random;
    private readonly TimeProvider clock;
    private readonly LogThrottle throttle;
    private readonly ILogger<CatalystProbe> log;
    private readonly HttpClient http;
    private readonly Lock changing = new();
    private readonly Dictionary<string, Standing> answers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Task> watches = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource end = new();
    private volatile IReadOnlyList<Catalyst> healthy = [];

    public CatalystProbe(RealmProviderOptions options, CatalystList list, Random random, TimeProvider clock, LogThrottle throttle, ILogger<CatalystProbe> log)
    {
        (this.options, this.list, this.random, this.clock, this.throttle, this.log) = (options, list, random, clock, throttle, log);
        http = new HttpClient(new SocketsHttpHandler { MaxAutomaticRedirections = 3, PooledConnectionLifetime = TimeSpan.FromMinutes(5) })
        {
            Timeout = options.ProbeTimeLimit, MaxResponseContentBufferSize = MaxBytes,
        };
        if (options.Fixed is { } about)
            healthy = [new Catalyst(about["content"]!["publicUrl"]!.GetValue<string>(), about)];
    }

    /// <summary>The catalysts to choose from, in the order of the list.</summary>
    public IReadOnlyList<Catalyst> Healthy => healthy;

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        list.Changed += Watch;
        await Task.WhenAll(list.Urls.Select(url => ProbeAsync(url, cancellationToken)));
        Watch();
        await base.StartAsync(cancellationToken);
    }

    public override void Dispose()
    {
        // Those who own it dispose of it more than once.
        if (!end.IsCancellationRequested)
            end.Cancel();
        // First, since it calls back.
        base.Dispose();
        end.Dispose();
        http.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await using CancellationTokenRegistration _ = stoppingToken.Register(end.Cancel);
        await Task.Delay(Timeout.Infinite, stoppingToken);
    }

    /// <summary>Sees to it that each catalyst of the list is asked now and then, and none that has left it.</summary>
    private void Watch()
    {
        lock (changing)
        {
            foreach (string gone in answers.Keys.Except(list.Urls, StringComparer.Ordinal).ToArray())
                answers.Remove(gone);
            foreach (string url in list.Urls.Where(url => !watches.ContainsKey(url)))
                watches[url] = WatchAsync(url, isNew: !answers.ContainsKey(url));
            Publish();
        }
    }

    private async Task WatchAsync(string url, bool isNew)
    {
        try
        {
            for (bool now = isNew; ; now = false)
            {
                // Not all at once, nor for ever in step with others who do the same.
                if (!now)
                    await Task.Delay(PeriodOf(url) * (0.9 + (0.2 * Chance())), clock, end.Token);
                lock (changing)
                    if (!list.Urls.Contains(url, StringComparer.Ordinal) && watches.Remove(url))
                        return;
                await ProbeAsync(url, end.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // The host stops.
        }
    }

    /// <summary>Who did not answer is asked again soon, and then less and less often.</summary>
    private TimeSpan PeriodOf(string url)
    {
        lock (changing)
        {
            int failures = answers.GetValueOrDefault(url).Failures;
            TimeSpan retry = FirstRetry * Math.Pow(2, Math.Min(failures, 20) - 1);
            return failures > 0 && retry < options.ProbePeriod ? retry : options.ProbePeriod;
        }
    }

    private async Task ProbeAsync(string url, CancellationToken cancellationToken)
    {
        Catalyst? answer = await AskAsync(url, cancellationToken);
        lock (changing)
        {
            Standing before = answers.GetValueOrDefault(url);
            if (answer is null)
                // One answer that does not come may be our own fault.
                answers[url] = new Standing(before.Failures == 0 ? before.Answer : null, before.Failures + 1);
            else if (!answer.IsOpen)
                answers[url] = default;
            else if (before.Answer?.Says(answer) != true)
                answers[url] = new Standing(answer, 0);
            else
                answers[url] = before with { Failures = 0 };
            Publish();
        }
    }

    private void Publish()
    {
        if (options.Fixed is not null)
            return;
        Catalyst[] now = [.. list.Urls.Select(url => answers.GetValueOrDefault(url).Answer).OfType<Catalyst>()];
        // The same object as long as nothing is new, so that what is made from it is made once.
        if (!now.SequenceEqual(healthy))
            healthy = now;
    }

    private double Chance()
    {
        lock (random)
            return random.NextDouble();
    }

    /// <summary>What a catalyst says of itself; null when it says nothing that makes sense.</summary>
    private async Task<Catalyst?> AskAsync(string url, CancellationToken cancellationToken)
    {
        try
        {
            byte[] body = await http.GetByteArrayAsync(new Uri(url + "/about"), cancellationToken);
            if (JsonNode.Parse(body, documentOptions: Strict) is JsonObject about)
            {
                // Strings are decoded when they are read, so everything is read once here, where a broken one harms nobody else.
                return new Catalyst(url, about);
            }
            Warn(url, "its /about is no JSON object");
        }
#pragma warning disable CA1031 // There is no end to what a server of strangers can bring about, such as a redirect to no address.
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
#pragma warning restore CA1031
        {
            Warn(url, e is OperationCanceledException ? "no answer in time" : e.Message);
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
