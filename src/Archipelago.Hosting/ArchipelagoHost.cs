using System.Diagnostics.Metrics;
using System.IO.Compression;
using System.Net;
using Archipelago.Messaging;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.ResponseCompression;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Archipelago.Hosting;

/// <summary>How a host answers requests that come from another origin, and requests for nothing it has.</summary>
public enum HttpStyle
{
    /// <summary>Echoes the origin, allows credentials; unknown paths get the text <c>Not found</c>.</summary>
    Credentialed,

    /// <summary>Allows every origin; unknown paths get the text <c>Not found</c>.</summary>
    Public,

    /// <summary>Every answer allows every origin; unknown paths get a JSON error.</summary>
    Connector,
}

/// <summary>
/// The part that all hosts share: a web server on the configured address, logging to standard error, health, metrics, and answers to requests
/// for nothing. A host adds its services before <see cref="Build"/> and its routes after.
/// </summary>
public sealed class ArchipelagoHost
{
    private readonly HostContext context;
    private readonly HttpStyle style;
    private readonly WebApplicationBuilder builder;
    private readonly string metricsPath;
    private readonly string? metricsToken;
    private Action<KestrelServerOptions, ListenOptions>? configureListener;
    private bool compresses;
    private bool describes;

    /// <summary>Begins a host.</summary>
    /// <param name="context">What it is built from.</param>
    /// <param name="port">Its port where none is configured.</param>
    /// <param name="style">How it answers other origins and unknown paths.</param>
    public ArchipelagoHost(HostContext context, int port, HttpStyle style)
    {
        ArgumentNullException.ThrowIfNull(context);
        this.context = context;
        this.style = style;
        Settings settings = context.Settings;
        IPAddress address = Address(settings);
        int chosen = settings.Integer("HTTP_SERVER_PORT", port, 0, 65535);
        metricsPath = settings.Text("WKC_METRICS_PUBLIC_PATH", "/metrics");
        if (!metricsPath.StartsWith('/') || metricsPath.AsSpan().ContainsAny("{}?#"))
        {
            settings.AddFault($"WKC_METRICS_PUBLIC_PATH is \"{metricsPath}\"; it must be a path, such as /metrics.");
            metricsPath = "/metrics";
        }
        metricsToken = settings.Find("WKC_METRICS_BEARER_TOKEN");

        builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = settings.Scope });
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Listen(address, chosen, listen => configureListener?.Invoke(kestrel, listen));
        });
        builder.Logging.AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.UseUtcTimestamp = true;
            console.TimestampFormat = "yyyy-MM-dd'T'HH:mm:ss.fff'Z' ";
        });
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        // A failing start is told once, in plain words, by whoever runs the host.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.Critical);
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(o => o.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.Configure<HostOptions>(o => o.ShutdownTimeout = ShutdownLimit);
        builder.Services.AddRouting().AddMetrics();
        builder.Services.AddSingleton(_ => new System.Diagnostics.ActivitySource($"archipelago.{settings.Scope.ToLowerInvariant()}"));
        builder.Services.AddSingleton(context).AddSingleton(context.Clock).AddSingleton(_ => context.Bus);
        builder.Services.AddSingleton(new LogThrottle(context.Clock, TimeSpan.FromSeconds(10)));
        builder.Services.AddSingleton<PrometheusExporter>().AddSingleton<RequestMetrics>().AddSingleton<Health>();
        builder.Services.AddSingleton<IHostLifetime, NoSignals>();
    }

    /// <summary>Where the host's parts are registered.</summary>
    public IServiceCollection Services => builder.Services;

    /// <summary>How long the host may take to stop; 15 seconds unless set before <see cref="Build"/>.</summary>
    public TimeSpan ShutdownLimit { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>Lets a host set limits of its own, and see connections before they ask for anything.</summary>
    /// <param name="configure">Called when the server starts.</param>
    public void ConfigureKestrel(Action<KestrelServerOptions, ListenOptions> configure) => configureListener = configure;

    /// <summary>Makes the host ready only while its bus is connected.</summary>
    public void NeedBus() => Services.AddSingleton(new ReadinessCheck("bus", () => context.Bus.IsConnected));

    /// <summary>Lets the host compress its answers with gzip or Brotli for clients that ask for it. What is told is public, so that its length gives nothing away.</summary>
    public void CompressAnswers()
    {
        compresses = true;
        Services.AddResponseCompression(options =>
        {
            options.EnableForHttps = true;
            options.MimeTypes = ["application/json", "text/html", "text/css", "text/javascript"];
        });
        Services.Configure<BrotliCompressionProviderOptions>(options => options.Level = CompressionLevel.Fastest);
        Services.Configure<GzipCompressionProviderOptions>(options => options.Level = CompressionLevel.Fastest);
    }

    /// <summary>Lets the host describe its routes at <c>/openapi.json</c>.</summary>
    /// <param name="title">What the host is called there.</param>
    /// <param name="description">What it is for.</param>
    public void DescribeRoutes(string title, string description)
    {
        describes = true;
        OpenApi.Add(Services, title, description);
    }

    /// <summary>Registers the <see cref="Gatekeeper"/> at <c>COMMS_GATEKEEPER_URL</c>, or one that asks nobody.</summary>
    public void AddGatekeeper()
    {
        string? url = context.Settings.HttpUrl("COMMS_GATEKEEPER_URL");
        bool failsClosed = context.Settings.Text("BANS_FAIL_CLOSED") == "true";
        Services.AddSingleton(services => new Gatekeeper(
            url, failsClosed, context.Clock, services.GetRequiredService<LogThrottle>(), services.GetRequiredService<ILogger<Gatekeeper>>()));
    }

    /// <summary>
    /// Checks the configuration and makes the application, with health, metrics and the answers to unknown paths in place.
    /// </summary>
    /// <exception cref="ConfigurationException">The configuration has faults.</exception>
    public WebApplication Build()
    {
        string? telemetry = context.Settings.HttpUrl("OTEL_EXPORTER_OTLP_ENDPOINT");
        if (telemetry is not null)
        {
            OpenTelemetry.Exporter.OtlpExportProtocol protocol = OpenTelemetryExport.Protocol(context.Settings);
            Services.AddSingleton(s => new OpenTelemetryExport(context, telemetry, protocol, s.GetRequiredService<IMeterFactory>(), s.GetRequiredService<System.Diagnostics.ActivitySource>()));
        }
        context.Settings.ThrowIfFaulty();
        WebApplication app = builder.Build();
        // Made now, so that it hears of every instrument.
        PrometheusExporter exporter = app.Services.GetRequiredService<PrometheusExporter>();
        Meter meter = app.Services.GetRequiredService<IMeterFactory>().Create("archipelago.host");
        if (context.Settings.Text("WKC_METRICS_COLLECT_DEFAULT") != "false")
            ProcessMetrics.Register(meter);

        meter.CreateObservableGauge("archipelago_bus_connected", () => context.Bus.IsConnected ? 1 : 0, description: "1 while messages get through.");
        if (context.Bus is IMeteredBus bus)
            bus.AddInstruments(meter);
        if (telemetry is not null)
            app.Services.GetRequiredService<OpenTelemetryExport>();

        if (compresses)
            app.UseResponseCompression();
        app.UseRouting();
        app.Use(new RequestRules(style, context.Settings.Scope, app.Services.GetRequiredService<RequestMetrics>(), app.Services.GetRequiredService<ILoggerFactory>(), app.Services.GetRequiredService<LogThrottle>(), metricsPath).InvokeAsync);
        Health health = app.Services.GetRequiredService<Health>();
        app.Lifetime.ApplicationStarted.Register(() => health.Started = true);
        app.Lifetime.ApplicationStopping.Register(() => health.Started = false);
        app.MapRoute("/health/live", health.LiveAsync).AnswersWith("Whether the process lives.", "text/plain");
        app.MapRoute("/health/ready", health.ReadyAsync).AnswersWith("Whether it can do its work now.", "application/health+json").Or(StatusCodes.Status503ServiceUnavailable);
        app.MapRoute("/health/startup", health.StartupAsync).AnswersWith("Whether it has started.", "application/health+json").Or(StatusCodes.Status503ServiceUnavailable);
        app.MapRoute(metricsPath, http => ScrapeAsync(http, exporter)).AnswersWith("Metrics in the Prometheus text format.", "text/plain").Or(StatusCodes.Status401Unauthorized);
        if (describes)
            OpenApi.Map(app);
        return app;
    }

    private static IPAddress Address(Settings settings)
    {
        string text = settings.Text("HTTP_SERVER_HOST", "0.0.0.0");
        if (text == "localhost")
            return IPAddress.Loopback;
        if (IPAddress.TryParse(text, out IPAddress? address))
            return address;
        settings.AddFault($"HTTP_SERVER_HOST is \"{text}\"; it must be an IP address to listen on, such as 127.0.0.1 or 0.0.0.0.");
        return IPAddress.Loopback;
    }

    private Task ScrapeAsync(HttpContext http, PrometheusExporter exporter)
    {
        string authorization = http.Request.Headers.Authorization.ToString();
        if (!string.IsNullOrEmpty(metricsToken) && !TokenMatches(authorization))
        {
            http.Response.StatusCode = StatusCodes.Status401Unauthorized;
            return Task.CompletedTask;
        }
        http.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        return http.Response.WriteAsync(exporter.Scrape());
    }

    private bool TokenMatches(string authorization)
    {
        int space = authorization.IndexOf(' ', StringComparison.Ordinal);
        return space > 0 && System.Security.Cryptography.CryptographicOperations.FixedTimeEquals(
            System.Text.Encoding.UTF8.GetBytes(authorization[(space + 1)..]),
            System.Text.Encoding.UTF8.GetBytes(metricsToken!));
    }

    /// <summary>Signals are for the process, which may run several hosts; <see cref="HostRunner"/> listens to them.</summary>
    private sealed class NoSignals : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
