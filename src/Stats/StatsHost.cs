using System.Diagnostics.Metrics;
using Archipelago.Hosting;
using Archipelago.Hosting.Scenes;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Stats.Http;
using Archipelago.Stats.Live;
using Archipelago.Stats.Map;
using Archipelago.Stats.World;

namespace Archipelago.Stats;

/// <summary>Listens on the bus and answers HTTP: peers, islands, parcels, hot scenes, and whether the Service lives.</summary>
public static class StatsHost
{
    /// <summary>The port where none is configured.</summary>
    public const int DefaultPort = 5002;

    /// <summary>Makes the host.</summary>
    /// <exception cref="ConfigurationException">The configuration has faults.</exception>
    public static WebApplication Build(HostContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var host = new ArchipelagoHost(context, DefaultPort, HttpStyle.Credentialed);
        var options = StatsOptions.Read(context.Settings);
        host.Services.AddSingleton(options).AddSingleton(options.HotScenes).AddSingleton(_ => new ContentServer(options.HotScenes.ContentUrl, options.HotScenes.TimeLimit));
        host.Services.AddSingleton<WorldState>().AddSingleton<LiveWorld>().AddSingleton<LiveStream>().AddSingleton<WorldRoutes>().AddSingleton<Crowd>();
        host.NeedBus();
        host.CompressAnswers();
        host.DescribeRoutes("Archipelago Stats", "Who is where, who is together, and where the crowds are.");
        host.Services.AddHostedService<BusListener>().AddHostedService<Expiry>().AddHostedService(services => services.GetRequiredService<LiveStream>());
        WebApplication app = host.Build();

        WorldState world = app.Services.GetRequiredService<WorldState>();
        LiveStream stream = app.Services.GetRequiredService<LiveStream>();
        Crowd crowd = app.Services.GetRequiredService<Crowd>();
        RegisterMetrics(app.Services.GetRequiredService<IMeterFactory>().Create("archipelago.stats"), world, stream);
        WorldRoutes routes = app.Services.GetRequiredService<WorldRoutes>();
        foreach (string prefix in (string[])["", "/comms"])
            routes.Map(app, prefix);
        app.MapRoute("/hot-scenes", crowd.AnswerAsync)
            .Answers<IReadOnlyList<HotSceneShape>>("The scenes with the most people, at most a hundred; the header Age tells how old the answer is.").Or<ErrorShape>(StatusCodes.Status503ServiceUnavailable);
        app.MapRoute("/core-status", http => CoreStatusAsync(http, world)).Answers<CoreStatusShape>("Whether the Service lives, and how many it knows.");
        app.MapRoute("/status", http => StatusAsync(http, context)).Answers<StatusShape>("Which build runs.");
        app.MapRoute("/stream", stream.AnswerAsync)
            .AnswersWith("The world and then its changes, as server-sent events \"world\" and \"changes\".", "text/event-stream").Or<ErrorShape>(StatusCodes.Status503ServiceUnavailable);
        MapPage.Map(app);
        return app;
    }

    private static Task CoreStatusAsync(HttpContext http, WorldState world) => Json.WriteAsync(http, StatusCodes.Status200OK, json =>
    {
        json.WriteStartObject();
        json.WriteBoolean("healthy", world.IsCoreHealthy);
        json.WriteNumber("userCount", world.CoreUserCount);
        json.WriteEndObject();
    });

    private static Task StatusAsync(HttpContext http, HostContext context)
    {
        if (http.Request.Headers.Origin.Count == 0)
            http.Response.Headers.AccessControlAllowOrigin = "*";
        return Json.WriteAsync(http, StatusCodes.Status200OK, json => StatusJson.Write(json, context));
    }

    private static void RegisterMetrics(Meter meter, WorldState world, LiveStream stream)
    {
        meter.CreateObservableGauge("archipelago_stats_peers", () => world.Peers.Count, description: "Peers heard of.");
        meter.CreateObservableGauge("archipelago_stats_islands", () => world.Islands.Count, description: "Islands of the last report.");
        meter.CreateObservableCounter("archipelago_stats_heartbeats_total", () => world.Heartbeats, description: "Heartbeats taken.");
        meter.CreateObservableCounter("archipelago_stats_undecodable_total", () => world.Undecodable, description: "Messages that could not be decoded.");
        meter.CreateObservableCounter("archipelago_stale_messages_total", () => world.Fence.Dropped, description: "Messages of a Service that no longer led.");
        meter.CreateObservableCounter("archipelago_stats_expired_total", () => world.Expired, description: "Peers that fell silent without a word.");
        meter.CreateObservableGauge("archipelago_streams", () => stream.Count, description: "Live streams.");
        meter.CreateObservableCounter("archipelago_stream_resyncs_total", () => stream.Resyncs, description: "Times that a live stream was not read in time.");
    }

    /// <summary>Keeps the world up to date from the bus.</summary>
    private sealed class BusListener(IMessageBus bus, WorldState world) : IHostedService
    {
        private readonly List<IDisposable> subscriptions = [];

        public Task StartAsync(CancellationToken cancellationToken)
        {
            subscriptions.Add(bus.Subscribe(Subjects.Leader, world.OnLeader));
            subscriptions.Add(bus.Subscribe(Subjects.AllHeartbeats, world.OnHeartbeat));
            subscriptions.Add(bus.Subscribe(Subjects.AllConnects, world.OnConnect));
            subscriptions.Add(bus.Subscribe(Subjects.AllDisconnects, world.OnDisconnect));
            subscriptions.Add(bus.Subscribe(Subjects.Islands, world.OnIslands));
            subscriptions.Add(bus.Subscribe(Subjects.AllIslandsParts, world.OnIslandsPart));
            subscriptions.Add(bus.Subscribe(Subjects.Discovery, world.OnDiscovery));
            subscriptions.Add(bus.Subscribe(Subjects.FlushReport, world.OnFlushReport));
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken)
        {
            subscriptions.ForEach(s => s.Dispose());
            return Task.CompletedTask;
        }
    }

    /// <summary>Removes who has fallen silent.</summary>
    private sealed class Expiry(WorldState world, StatsOptions options, TimeProvider clock) : BackgroundService
    {
        private readonly PeriodicTimer beat = new(TimeSpan.FromMilliseconds(Math.Clamp(options.PeerExpiry.TotalMilliseconds / 18, 10, 5000)), clock);

        public override void Dispose()
        {
            beat.Dispose();
            base.Dispose();
        }

        protected override async Task ExecuteAsync(CancellationToken stoppingToken)
        {
            while (options.PeerExpiry > TimeSpan.Zero && await beat.WaitForNextTickAsync(stoppingToken))
                world.Expire(options.PeerExpiry);
        }
    }
}
