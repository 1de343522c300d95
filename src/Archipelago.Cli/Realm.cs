using System.Text.Json;
using Archipelago.Connector;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.RealmProvider;
using Archipelago.Service;
using Archipelago.Stats;
using Microsoft.AspNetCore.Builder;

namespace Archipelago.Cli;

/// <summary>
/// The four hosts in one process, each on its own port, over one in-process bus, or over NATS where servers are named. Several realms may live side by side. Nothing outside the machine is
/// contacted unless the configuration says so.
/// </summary>
internal sealed class Realm : IAsyncDisposable
{
    /// <summary>Keys that everybody can read here: for development only.</summary>
    private static readonly Dictionary<string, string> DevelopmentDefaults = new()
    {
        ["HTTP_SERVER_HOST"] = "127.0.0.1",
        ["LIVEKIT_HOST"] = "ws://127.0.0.1:7880",
        ["LIVEKIT_API_KEY"] = "devkey",
        ["LIVEKIT_API_SECRET"] = "a-secret-for-development-that-everybody-knows",
        ["DENYLIST_URL"] = "",
        ["DRAIN_WINDOW_MS"] = "0",
        ["ETH_RPC_URL"] = "",
        ["CATALYST_CONTENT_URL"] = "https://peer.decentraland.org/content",
        ["CATALYST_LAMBDAS_URL"] = "https://peer.decentraland.org/lambdas",
    };

    private readonly IReadOnlyList<IReadOnlyDictionary<string, string>> sources;
    private readonly InProcessBroker broker = new(HostRunner.ReportHandlerError(TimeProvider.System));
    private readonly Stack<WebApplication> running = new();
    private readonly List<WebApplication> services = [];
    private readonly string? natsServers;
    private readonly bool hasStandby;

    private Realm(IReadOnlyList<IReadOnlyDictionary<string, string>> sources, string? natsServers, bool hasStandby) =>
        (this.sources, this.natsServers, this.hasStandby) = (sources, natsServers, hasStandby);

    public Uri Service { get; private set; } = null!;

    public Uri Connector { get; private set; } = null!;

    public Uri Stats { get; private set; } = null!;

    public Uri RealmProvider { get; private set; } = null!;

    /// <summary>The second Service; null where there is one.</summary>
    public Uri? StandbyService { get; private set; }

    /// <summary>The running hosts whose end is the end of the realm: of several Services each may end.</summary>
    public IEnumerable<WebApplication> Hosts => hasStandby ? running.Except(services) : running;

    /// <summary>Where clients connect.</summary>
    public Uri WebSocket => new($"ws://{Connector.Authority}/ws");

    /// <summary>True when the LiveKit secret is the one that everybody knows.</summary>
    public bool HasDevelopmentKeys { get; private set; }

    /// <summary>Starts the hosts; either all run, or none is left.</summary>
    /// <exception cref="ConfigurationException">The configuration has faults, or a port is taken.</exception>
    /// <param name="sources">The configuration.</param>
    /// <param name="natsServers">NATS servers that join the hosts; null for the in-process bus.</param>
    /// <param name="standby">Whether a second Service stands by, which takes a NATS server with JetStream.</param>
    public static async Task<Realm> StartAsync(IReadOnlyList<IReadOnlyDictionary<string, string>> sources, string? natsServers = null, bool standby = false)
    {
        var realm = new Realm(sources, natsServers, standby);
        try
        {
            await realm.StartAllAsync();
            return realm;
        }
        catch
        {
            await realm.DisposeAsync();
            throw;
        }
    }

    /// <summary>A connection of one's own to the realm's in-process bus.</summary>
    public IMessageBus Connect() => broker.Connect(echo: false);

    /// <summary>Authenticated clients right now, as the Connector tells them; 0 when it does not answer.</summary>
    public async Task<int> CountPeopleAsync()
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        try
        {
            using JsonDocument status = JsonDocument.Parse(await http.GetStringAsync(new Uri(Connector, "/status")));
            return status.RootElement.GetProperty("userCount").GetInt32();
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or JsonException)
        {
            return 0;
        }
    }

    public async ValueTask DisposeAsync()
    {
        while (running.TryPop(out WebApplication? app))
        {
            await app.StopAsync();
            await app.DisposeAsync();
        }
    }

    private async Task StartAllAsync()
    {
        // Stats first, so that it hears the first word of the Service; the RealmProvider last, since it has to know where the others are.
        Stats = await StartAsync("STATS", StatsHost.Build);
        Service = await StartServiceAsync("one");
        if (hasStandby)
            StandbyService = await StartServiceAsync("two");
        Connector = await StartAsync("CONNECTOR", ConnectorHost.Build);
        RealmProvider = await StartAsync("REALM_PROVIDER", RealmProviderHost.Build, new()
        {
            ["ARCHIPELAGO_STATS_URL"] = Stats.ToString(),
            ["ARCHIPELAGO_WS_CONNECTOR_URL"] = Connector.ToString(),
        });
    }

    private async Task<Uri> StartServiceAsync(string name)
    {
        Uri address = await StartAsync("SERVICE", ServiceHost.Build, hasStandby ? new() { ["ARCHIPELAGO_NODE"] = name, ["ARCHIPELAGO_STANDBY"] = "required" } : [], sharesPort: name == "one");
        services.Add(running.Peek());
        return address;
    }

    /// <summary>Asks the Service that leads to end, while there is another; returns where it was, or null.</summary>
    public async Task<Uri?> StopLeaderAsync()
    {
        if (services.Count < 2)
            return null;
        using var http = new HttpClient();
        foreach (WebApplication service in services)
        {
            Uri address = HostRunner.AddressOf(service);
            if (!(await http.GetStringAsync(new Uri(address, "/status"))).Contains("\"role\":\"leader\"", StringComparison.Ordinal))
                continue;
            await service.StopAsync();
            services.Remove(service);
            return address;
        }
        return null;
    }

    private async Task<Uri> StartAsync(string scope, Func<HostContext, WebApplication> build, Dictionary<string, string>? more = null, bool sharesPort = true)
    {
        var defaults = new Dictionary<string, string>(more ?? []);
        foreach ((string name, string value) in DevelopmentDefaults)
            defaults.TryAdd(name, value);
        // One port cannot serve four hosts, so a port without a scope is for nobody.
        // The second of a kind takes whatever port is free.
        IReadOnlyList<IReadOnlyDictionary<string, string>> from = sharesPort ? sources : [new Dictionary<string, string> { [scope + "__HTTP_SERVER_PORT"] = "0" }, .. sources];
        var settings = new Settings(scope, from, defaults, scopedOnly: ["HTTP_SERVER_PORT"]);
        HasDevelopmentKeys |= scope == "SERVICE" && settings.Find("LIVEKIT_API_SECRET") == DevelopmentDefaults["LIVEKIT_API_SECRET"];
        IMessageBus bus = natsServers is null ? broker.Connect(echo: false) : NatsSettings.Connect(settings, natsServers, TimeProvider.System);
        WebApplication app;
        try
        {
            app = build(new HostContext(settings, bus, TimeProvider.System));
        }
        catch
        {
            await bus.DisposeAsync();
            throw;
        }
        running.Push(app);
        await HostRunner.StartAsync(app, scope);
        return HostRunner.AddressOf(app);
    }
}
