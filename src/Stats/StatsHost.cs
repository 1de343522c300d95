using System.Diagnostics.Metrics;
using System.Text.Json;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Microsoft.Extensions.Primitives;

namespace Archipelago.Stats;

/// <summary>Listens on the bus and answers HTTP: peers, islands, parcels, and whether the Service lives.</summary>
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
        host.Services.AddSingleton<WorldState>();
        host.NeedBus();
        host.Services.AddHostedService<BusListener>();
        WebApplication app = host.Build();
        WorldState world = app.Services.GetRequiredService<WorldState>();
        RegisterMetrics(app.Services.GetRequiredService<IMeterFactory>().Create("archipelago.stats"), world);
        foreach (string prefix in (string[])["", "/comms"])
            MapWorld(app, prefix, world);
        app.MapRoute("/core-status", http => Ok(http, json => WriteCoreStatus(json, world)));
        app.MapRoute("/status", http => StatusAsync(http, context));
        return app;
    }

    private static void MapWorld(WebApplication app, string prefix, WorldState world)
    {
        app.MapRoute(prefix + "/parcels", http => Ok(http, json => StatsJson.WriteParcels(json, world.Peers())));
        app.MapRoute(prefix + "/peers", http => Ok(http, json => WritePeers(json, world, http.Request.Query["id"])));
        app.MapRoute(prefix + "/peers/:id", http => PeerAsync(http, world.Find((string)http.Request.RouteValues["id"]!)));
        app.MapRoute(prefix + "/islands", http => Ok(http, json => WriteIslands(json, world)));
        app.MapRoute(prefix + "/islands/:id", http => IslandAsync(http, world, (string)http.Request.RouteValues["id"]!));
    }

    private static Task Ok(HttpContext http, Action<Utf8JsonWriter> write) => Json.WriteAsync(http, StatusCodes.Status200OK, write);

    private static void WritePeers(Utf8JsonWriter json, WorldState world, StringValues ids)
    {
        var wanted = new HashSet<string?>(ids, StringComparer.Ordinal);
        json.WriteStartObject();
        json.WriteBoolean("ok", true);
        json.WriteStartArray("peers");
        foreach (PeerState peer in world.Peers())
            if (wanted.Count == 0 || wanted.Contains(peer.Id))
                StatsJson.WritePeer(json, peer);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static Task PeerAsync(HttpContext http, PeerState? peer) =>
        Json.WriteAsync(http, peer is null ? StatusCodes.Status404NotFound : StatusCodes.Status200OK, json =>
        {
            json.WriteStartObject();
            json.WriteBoolean("ok", peer is not null);
            json.WritePropertyName("peer");
            if (peer is null)
                json.WriteNullValue();
            else
                StatsJson.WritePeer(json, peer);
            json.WriteEndObject();
        });

    private static void WriteIslands(Utf8JsonWriter json, WorldState world)
    {
        json.WriteStartObject();
        json.WriteBoolean("ok", true);
        json.WriteStartArray("islands");
        foreach (IslandState island in world.Islands)
            StatsJson.WriteIsland(json, island, Members(world, island));
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static Task IslandAsync(HttpContext http, WorldState world, string id)
    {
        if (world.Islands.FirstOrDefault(i => i.Id == id) is { } island)
            return Ok(http, json => StatsJson.WriteIsland(json, island, Members(world, island)));
        http.Response.StatusCode = StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }

    /// <summary>Members without a heartbeat here are left out.</summary>
    private static IEnumerable<PeerState> Members(WorldState world, IslandState island) =>
        island.Peers.Select(world.Find).OfType<PeerState>();

    private static void WriteCoreStatus(Utf8JsonWriter json, WorldState world)
    {
        json.WriteStartObject();
        json.WriteBoolean("healthy", world.IsCoreHealthy);
        json.WriteNumber("userCount", world.CoreUserCount);
        json.WriteEndObject();
    }

    private static Task StatusAsync(HttpContext http, HostContext context)
    {
        if (http.Request.Headers.Origin.Count == 0)
            http.Response.Headers.AccessControlAllowOrigin = "*";
        return Ok(http, json => StatusJson.Write(json, context));
    }

    private static void RegisterMetrics(Meter meter, WorldState world)
    {
        meter.CreateObservableGauge("archipelago_stats_peers", () => world.Peers().Count, description: "Peers heard of.");
        meter.CreateObservableGauge("archipelago_stats_islands", () => world.Islands.Count, description: "Islands of the last report.");
    }

    /// <summary>Keeps the world up to date from the bus.</summary>
    private sealed class BusListener(IMessageBus bus, WorldState world) : IHostedService
    {
        private readonly List<IDisposable> subscriptions = [];

        public Task StartAsync(CancellationToken cancellationToken)
        {
            subscriptions.Add(bus.Subscribe(Subjects.AllHeartbeats, world.OnHeartbeat));
            subscriptions.Add(bus.Subscribe(Subjects.AllDisconnects, world.OnDisconnect));
            subscriptions.Add(bus.Subscribe(Subjects.Islands, world.OnIslands));
            subscriptions.Add(bus.Subscribe(Subjects.AllIslandsParts, world.OnIslandsPart));
            subscriptions.Add(bus.Subscribe(Subjects.Discovery, world.OnDiscovery));
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken)
        {
            subscriptions.ForEach(s => s.Dispose());
            return Task.CompletedTask;
        }
    }
}
