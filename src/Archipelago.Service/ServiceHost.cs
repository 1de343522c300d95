using System.Diagnostics.Metrics;
using Archipelago.Core;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Service;

/// <summary>The host that turns heartbeats into islands.</summary>
public static partial class ServiceHost
{
    /// <summary>The port where none is configured.</summary>
    public const int DefaultPort = 5000;

    /// <summary>Makes the host.</summary>
    /// <exception cref="ConfigurationException">The configuration has faults.</exception>
    public static WebApplication Build(HostContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var host = new ArchipelagoHost(context, DefaultPort, HttpStyle.Credentialed);
        ServiceOptions options = ServiceOptions.Read(context.Settings);
        host.AddGatekeeper();
        host.NeedBus();
        // The engine and the tokens below are made of them.
        context.Settings.ThrowIfFaulty();

        host.Services.AddSingleton(options);
        SavedState? saved = TakeState(context.Settings, options);
        host.Services.AddSingleton(Engine(saved, options));
        host.Services.AddSingleton(new IslandNames(saved?.IdPrefix ?? IdPrefix(options, context.Clock)));
        host.Services.AddSingleton(new LiveKitTokens(options.LiveKit));
        host.Services.AddSingleton<PeerDirectory>().AddSingleton<Admission>().AddSingleton<SilenceWatch>();
        host.Services.AddSingleton<Intake>().AddSingleton<IslandPublisher>().AddSingleton<FlushStatistics>().AddSingleton<FlushLoop>();
        host.Services.AddSingleton(s => new ReadinessCheck("flush", () => s.GetRequiredService<FlushStatistics>().SinceFlush <= 3 * options.FlushPeriod));
        host.Services.AddHostedService(services => services.GetRequiredService<FlushLoop>());
        host.Services.AddHostedService<Discovery>();

        WebApplication app = host.Build();
        RegisterMetrics(app.Services);
        if (saved is not null)
            LogResumed(app.Logger, app.Services.GetRequiredService<Intake>().Resume(saved.Peers));
        if (options.LiveKit.ApiSecret.Length < 32)
            LogShortSecret(app.Logger, options.LiveKit.ApiSecret.Length);
        return app;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "LIVEKIT_API_SECRET has {Length} characters; LiveKit wants at least 32.")]
    private static partial void LogShortSecret(ILogger log, int length);

    [LoggerMessage(Level = LogLevel.Information, Message = "Went on from a saved state with {Peers} peers.")]
    private static partial void LogResumed(ILogger log, int peers);

    private static string IdPrefix(ServiceOptions options, TimeProvider clock)
    {
        string prefix = new IslandNames(options.RoomPrefix).Prefix, boot = options.RoomBoot ?? BootPart.Create(clock);
        return boot.Length == 0 ? prefix : $"{prefix}{boot}-";
    }

    private static SavedState? TakeState(Settings settings, ServiceOptions options)
    {
        if (options.StateFile is not { } path)
            return null;
        try
        {
            SavedState? state = SavedState.Take(path);
            // Rooms under another prefix are others: who is in them would not be told.
            return state?.IdPrefix.StartsWith(new IslandNames(options.RoomPrefix).Prefix, StringComparison.Ordinal) == true ? state : null;
        }
        catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException)
        {
            settings.AddFault($"The state in ARCHIPELAGO_STATE_FILE {path} cannot be used: {e.Message} Repair or remove it.");
            settings.ThrowIfFaulty();
            throw;
        }
    }

    private static IslandEngine Engine(SavedState? saved, ServiceOptions options)
    {
        if (saved is null)
            return new IslandEngine(options.Islands);
        IslandEngine engine = IslandEngine.Restore(saved.Engine);
        engine.Options = options.Islands;
        return engine;
    }

    private static void RegisterMetrics(IServiceProvider services)
    {
        Meter meter = services.GetRequiredService<IMeterFactory>().Create("archipelago.service");
        IslandEngine engine = services.GetRequiredService<IslandEngine>();
        FlushLoop loop = services.GetRequiredService<FlushLoop>();
        Intake intake = services.GetRequiredService<Intake>();
        IslandPublisher publisher = services.GetRequiredService<IslandPublisher>();
        meter.CreateObservableGauge("dcl_archipelago_peers_count", () => engine.PeerCount, description: "Peers as of the last flush.");
        meter.CreateObservableGauge("dcl_archipelago_islands_count", () => loop.IslandCount, description: "Islands as of the last flush.");
        meter.CreateObservableCounter("archipelago_heartbeats_total", () => intake.Heartbeats, description: "Heartbeats taken.");
        meter.CreateObservableCounter("archipelago_late_departures_total", () => intake.LateDepartures, description: "Departures of sessions in whose place there was a newer one already.");
        meter.CreateObservableCounter("archipelago_islands_told_again_total", () => intake.Answered, description: "Peers that were told their island again, because their Connector had not heard of it.");
        Admission admission = services.GetRequiredService<Admission>();
        PeerDirectory peers = services.GetRequiredService<PeerDirectory>();
        Gatekeeper gatekeeper = services.GetRequiredService<Gatekeeper>();
        meter.CreateObservableGauge("archipelago_peers", () => States(admission, peers, engine), description: "Peers by state, those placed as of the last flush.");
        meter.CreateObservableCounter("archipelago_ban_questions_total", () => gatekeeper.Asked, description: "Questions to the gatekeeper.");
        meter.CreateObservableCounter("archipelago_ban_questions_unanswered_total", () => gatekeeper.Unanswered, description: "Questions to the gatekeeper without an answer in time.");
        meter.CreateObservableCounter("archipelago_tokens_total", () => publisher.Tokens, description: "LiveKit tokens made.");
        meter.CreateObservableCounter("archipelago_islands_in_parts_total", () => publisher.IslandsInParts, description: "Lists of islands that were too large for one message.");
        meter.CreateObservableCounter(
            "archipelago_heartbeats_dropped_total",
            () => intake.DroppedByCause.Select(d => new Measurement<long>(d.Count, new KeyValuePair<string, object?>("cause", d.Cause))),
            description: "Heartbeats that were not taken.");
        meter.CreateObservableCounter("archipelago_bans_total", () => gatekeeper.Bans, description: "Answers of the gatekeeper that somebody is banned.");
    }

    private static IEnumerable<Measurement<int>> States(Admission admission, PeerDirectory peers, IslandEngine engine)
    {
        int known = peers.Count, placed = Math.Min(known, engine.PeerCount);
        yield return new(admission.AskedAbout, new KeyValuePair<string, object?>("state", "asked_about"));
        yield return new(known - placed, new KeyValuePair<string, object?>("state", "new"));
        yield return new(placed, new KeyValuePair<string, object?>("state", "placed"));
    }
}
