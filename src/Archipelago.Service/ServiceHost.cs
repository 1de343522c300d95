using System.Diagnostics.Metrics;
using Archipelago.Core;
using Archipelago.Hosting;
using Archipelago.Nats;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Archipelago.Service.Replication;

namespace Archipelago.Service;

/// <summary>The host that turns heartbeats into islands.</summary>
public static partial class ServiceHost
{
    /// <summary>The port where none is configured.</summary>
    public const int DefaultPort = 5000;

    /// <summary>Makes the host.</summary>
    /// <exception cref="ConfigurationException">The configuration has faults.</exception>
    public static WebApplication Build(HostContext context) => Build(context, null);

    /// <param name="context">What it is built from.</param>
    /// <param name="store">Where Services agree who leads; null for JetStream, where the bus has it.</param>
    internal static WebApplication Build(HostContext context, ILeaseStore? store)
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
        var worlds = new Worlds(IslandWorld.Of(Engine(saved, options), new IslandNames(saved?.IdPrefix ?? IdPrefix(options, context.Clock)), context.Clock));
        if (options.Standby.Mode != StandbyMode.Off && context.Bus is NatsBus nats)
            store ??= new JetStreamLeaseStore(nats.Connection, options.Standby.Bucket);
        host.Services.AddSingleton(worlds);
        host.Services.AddSingleton(s => new Leadership(options.Standby.Leadership, store, context.Clock, s.GetRequiredService<ILogger<Leadership>>()));
        host.Services.AddSingleton(new LiveKitTokens(options.LiveKit));
        host.Services.AddSingleton<Admission>().AddSingleton<Arrivals>().AddSingleton<Replicator>().AddSingleton<Discovery>();
        host.Services.AddSingleton<Intake>().AddSingleton<IslandPublisher>().AddSingleton<FlushStatistics>().AddSingleton<FlushLoop>();
        host.Services.AddSingleton(s => new ReadinessCheck("flush", IsReady(s, options)));
        // What is started first is stopped last: a leader goes on leading until the loop has handed over.
        host.Services.AddHostedService(services => services.GetRequiredService<Leadership>());
        host.Services.AddHostedService(services => services.GetRequiredService<FlushLoop>());
        host.Services.AddHostedService(services => services.GetRequiredService<Discovery>());

        WebApplication app = host.Build();
        RegisterMetrics(app.Services);
        app.MapRoute("/status", http => Json.WriteAsync(http, StatusCodes.Status200OK, json => ServiceStatusJson.Write(json, context, app.Services)));
        if (saved is not null)
            LogResumed(app.Logger, Resume(worlds.Now, saved, context.Clock));
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

    /// <summary>One that leads is ready while it flushes, one that stands by while it could lead.</summary>
    private static Func<bool> IsReady(IServiceProvider services, ServiceOptions options)
    {
        var leadership = services.GetRequiredService<Leadership>();
        var worlds = services.GetRequiredService<Worlds>();
        var statistics = services.GetRequiredService<FlushStatistics>();
        return () => worlds.Follower is { } follower ? follower.IsLevel : leadership.MaySpeak && statistics.SinceFlush <= 3 * options.FlushPeriod;
    }

    /// <summary>Takes in the peers of a saved state, as if each had just spoken; returns how many.</summary>
    private static int Resume(IslandWorld world, SavedState saved, TimeProvider clock)
    {
        int resumed = 0;
        foreach (SavedPeer peer in saved.Peers)
        {
            if (!world.Peers.TryRestore(peer, clock.GetTimestamp(), out Peer? restored))
                continue;
            world.Silence.Watch(restored);
            resumed++;
        }
        return resumed;
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
        Worlds worlds = services.GetRequiredService<Worlds>();
        FlushLoop loop = services.GetRequiredService<FlushLoop>();
        Intake intake = services.GetRequiredService<Intake>();
        IslandPublisher publisher = services.GetRequiredService<IslandPublisher>();
        meter.CreateObservableGauge("dcl_archipelago_peers_count", () => worlds.Now.Engine.PeerCount, description: "Peers as of the last flush.");
        meter.CreateObservableGauge("dcl_archipelago_islands_count", () => loop.IslandCount, description: "Islands as of the last flush.");
        meter.CreateObservableCounter("archipelago_heartbeats_total", () => intake.Heartbeats, description: "Heartbeats taken.");
        meter.CreateObservableCounter("archipelago_late_departures_total", () => intake.LateDepartures, description: "Departures of sessions in whose place there was a newer one already.");
        meter.CreateObservableCounter("archipelago_islands_told_again_total", () => intake.Answered, description: "Peers that were told their island again, because their Connector had not heard of it.");
        Admission admission = services.GetRequiredService<Admission>();
        Gatekeeper gatekeeper = services.GetRequiredService<Gatekeeper>();
        meter.CreateObservableGauge("archipelago_peers", () => States(admission, worlds.Now), description: "Peers by state, those placed as of the last flush.");
        meter.CreateObservableCounter("archipelago_ban_questions_total", () => gatekeeper.Asked, description: "Questions to the gatekeeper.");
        meter.CreateObservableCounter("archipelago_ban_questions_unanswered_total", () => gatekeeper.Unanswered, description: "Questions to the gatekeeper without an answer in time.");
        meter.CreateObservableCounter("archipelago_tokens_total", () => publisher.Tokens, description: "LiveKit tokens made.");
        meter.CreateObservableCounter("archipelago_islands_in_parts_total", () => publisher.IslandsInParts, description: "Lists of islands that were too large for one message.");
        meter.CreateObservableCounter(
            "archipelago_heartbeats_dropped_total",
            () => intake.DroppedByCause.Select(d => new Measurement<long>(d.Count, new KeyValuePair<string, object?>("cause", d.Cause))),
            description: "Heartbeats that were not taken.");
        RegisterLeadership(meter, services, worlds);
        meter.CreateObservableCounter("archipelago_bans_total", () => gatekeeper.Bans, description: "Answers of the gatekeeper that somebody is banned.");
    }

    private static void RegisterLeadership(Meter meter, IServiceProvider services, Worlds worlds)
    {
        var leadership = services.GetRequiredService<Leadership>();
        var replicator = services.GetRequiredService<Replicator>();
        var loop = services.GetRequiredService<FlushLoop>();
        meter.CreateObservableGauge("archipelago_leads", () => leadership.MaySpeak && worlds.Follower is null ? 1 : 0, description: "1 while this Service leads, or runs alone.");
        meter.CreateObservableGauge("archipelago_term", () => leadership.LatestTerm, description: "The latest term that it has heard of; 0 without standbys.");
        meter.CreateObservableGauge("archipelago_standby_ready", () => worlds.Follower is { IsLevel: true } ? 1 : 0, description: "1 while this Service stands by and could lead.");
        meter.CreateObservableGauge(
            "archipelago_standby_lag_seconds",
            () => leadership.Role != Role.Leader ? [] : replicator.Standbys.Select(s => new Measurement<double>(s.LagMs / 1000, new KeyValuePair<string, object?>("node", s.Node))),
            description: "How far each standby is behind this leader.");
        meter.CreateObservableCounter(
            "archipelago_takeovers_total",
            () => new[] { new Measurement<int>(loop.Takeovers.Warm, new KeyValuePair<string, object?>("islands", "kept")), new Measurement<int>(loop.Takeovers.Cold, new KeyValuePair<string, object?>("islands", "new")) },
            description: "Times that this Service has come to lead, with the islands of the leader before or without.");
        meter.CreateObservableCounter("archipelago_replica_bytes_total", () => replicator.Bytes, description: "Bytes sent to standbys.");
        meter.CreateObservableCounter("archipelago_replica_snapshots_total", () => replicator.Snapshots, description: "Snapshots sent to standbys.");
    }

    private static IEnumerable<Measurement<int>> States(Admission admission, IslandWorld world)
    {
        int known = world.Peers.Count, placed = Math.Min(known, world.Engine.PeerCount);
        yield return new(admission.AskedAbout, new KeyValuePair<string, object?>("state", "asked_about"));
        yield return new(known - placed, new KeyValuePair<string, object?>("state", "new"));
        yield return new(placed, new KeyValuePair<string, object?>("state", "placed"));
    }
}
