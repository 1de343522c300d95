using Archipelago.Ethereum;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace Archipelago.Connector;

/// <summary>The front door: WebSockets in, heartbeats to the bus, island changes back.</summary>
public static class ConnectorHost
{
    /// <summary>The port where none is configured.</summary>
    public const int DefaultPort = 5001;

    private const int MostReadAhead = 32 * 1024;

    /// <summary>Makes the host.</summary>
    /// <exception cref="ConfigurationException">The configuration has faults.</exception>
    public static WebApplication Build(HostContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var host = new ArchipelagoHost(context, DefaultPort, HttpStyle.Connector);
        host.AddGatekeeper();
        host.NeedBus();
        ConnectorOptions options = ConnectorOptions.Read(context.Settings);
        AddServices(host.Services, options);
        host.ShutdownLimit = options.DrainWindow + TimeSpan.FromSeconds(15);
        host.ConfigureKestrel(OpenDoor);

        WebApplication app = host.Build();
        SessionMetrics metrics = app.Services.GetRequiredService<SessionMetrics>();
        metrics.ObserveConnections(app.Services.GetRequiredService<WaitingRoom>(), app.Services.GetRequiredService<SocketSet>());
        metrics.ObserveTerms(app.Services.GetRequiredService<TermFence>());
        metrics.ObserveVerification(app.Services.GetService<DelegationCache>(), app.Services.GetService<EthereumNode>());
        Drain drain = app.Services.GetRequiredService<Drain>();
        app.Lifetime.ApplicationStopping.Register(() => _ = drain.RunAsync());
        Door door = app.Services.GetRequiredService<Door>();
        app.MapRoute("/ws", door.OnRequestAsync);
        app.MapRoute("/status", http => Json.WriteAsync(http, StatusCodes.Status200OK, json => StatusJson.Write(json, context, metrics.Authenticated)));
        return app;
    }

    private static void AddServices(IServiceCollection services, ConnectorOptions options)
    {
        services.AddSingleton(options);
        // Nobody reads ahead by more than two messages for a client who is being verified.
        services.Configure<SocketTransportOptions>(transport => transport.MaxReadBufferSize = MostReadAhead);
        services.AddSingleton<SessionRegistry>().AddSingleton<TermFence>().AddSingleton<SessionClock>().AddSingleton<SessionMetrics>().AddSingleton<SocketSet>().AddSingleton<Drain>();
        services.AddSingleton<DenyList>().AddSingleton<Cooldowns>().AddSingleton<SignatureQueue>().AddSingleton<Doorkeeper>().AddSingleton<SessionServices>();
        services.AddSingleton(new ClientAddress(options.TrustedProxies)).AddSingleton<Door>();
        services.AddSingleton(s => new WaitingRoom(options.WaitingSockets, s.GetRequiredService<ClientAddress>().IsAnonymous, () => s.GetRequiredService<SessionMetrics>().Refused(LimitKind.WaitingSockets)));
        if (options.EthereumUrl is { } url)
            services.AddSingleton(_ => new EthereumNode(new Uri(url)));
        if (options.RememberedDelegations > 0)
            services.AddSingleton(_ => new DelegationCache(options.RememberedDelegations));
        services.AddSingleton(s => new AuthChainValidator(s.GetService<EthereumNode>(), s.GetService<DelegationCache>(), s.GetRequiredService<SignatureQueue>().RecoverAsync));
        services.AddHostedService<IslandChangeRelay>().AddHostedService<SessionWatch>();
        services.AddHostedService<BanSweep>().AddHostedService<IslandCheck>().AddHostedService<SocketSweep>();
    }

    /// <summary>Every connection comes by the door, before the web server sees it.</summary>
    private static void OpenDoor(KestrelServerOptions kestrel, ListenOptions listen)
    {
        kestrel.Limits.RequestHeadersTimeout = Door.RequestTimeLimit;
        Door door = listen.ApplicationServices.GetRequiredService<Door>();
        listen.Use(next => connection => door.OnConnectedAsync(connection, next));
    }
}
