using System.Net;
using System.Net.WebSockets;
using Archipelago.Ethereum;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using IPNetwork = System.Net.IPNetwork;

namespace Archipelago.Connector;

/// <summary>The front door: WebSockets in, heartbeats to the bus, island changes back.</summary>
public static class ConnectorHost
{
    /// <summary>The port where none is configured.</summary>
    public const int DefaultPort = 5001;

    // An idle client is pinged after 74 s and dropped after 16 s without answer, as in the service replaced.
    private static readonly TimeSpan PingAfter = TimeSpan.FromSeconds(74);
    private static readonly TimeSpan PongWithin = TimeSpan.FromSeconds(16);

    // Whoever has not even asked for a socket.
    private static readonly TimeSpan RequestTimeLimit = TimeSpan.FromSeconds(10);

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
        host.ConfigureKestrel(LimitConnections);

        WebApplication app = host.Build();
        SessionMetrics metrics = app.Services.GetRequiredService<SessionMetrics>();
        metrics.ObserveConnections(app.Services.GetRequiredService<WaitingRoom>(), app.Services.GetRequiredService<SocketSet>());
        metrics.ObserveVerification(app.Services.GetService<DelegationCache>(), app.Services.GetService<EthereumNode>());
        Drain drain = app.Services.GetRequiredService<Drain>();
        app.Lifetime.ApplicationStopping.Register(() => _ = drain.RunAsync());
        SessionRegistry registry = app.Services.GetRequiredService<SessionRegistry>();
        Door door = ActivatorUtilities.CreateInstance<Door>(app.Services);
        if (options.TrustedProxies.Count > 0)
            app.UseForwardedHeaders(Forwarded(options));
        app.UseWebSockets(new WebSocketOptions { KeepAliveInterval = PingAfter, KeepAliveTimeout = PongWithin });
        app.MapRoute("/ws", door.OpenAsync);
        app.MapRoute("/status", http => Json.WriteAsync(http, StatusCodes.Status200OK, json => StatusJson.Write(json, context, registry.Count)));
        return app;
    }

    private static void AddServices(IServiceCollection services, ConnectorOptions options)
    {
        services.AddSingleton(options);
        services.AddSingleton<SessionRegistry>().AddSingleton<SessionClock>().AddSingleton<SessionMetrics>().AddSingleton<SocketSet>().AddSingleton<Drain>();
        services.AddSingleton<DenyList>().AddSingleton<Cooldowns>().AddSingleton<SignatureQueue>().AddSingleton<Doorkeeper>().AddSingleton<SessionServices>();
        services.AddSingleton(s => new WaitingRoom(options.WaitingSockets, IsAnonymous, () => s.GetRequiredService<SessionMetrics>().Refused(LimitKind.WaitingSockets)));
        if (options.EthereumUrl is { } url)
            services.AddSingleton(_ => new EthereumNode(new Uri(url)));
        if (options.RememberedDelegations > 0)
            services.AddSingleton(_ => new DelegationCache(options.RememberedDelegations));
        services.AddSingleton(s => new AuthChainValidator(s.GetService<EthereumNode>(), s.GetService<DelegationCache>(), s.GetRequiredService<SignatureQueue>().RecoverAsync));
        services.AddHostedService<IslandChangeRelay>().AddHostedService<SessionWatch>();
        services.AddHostedService<BanSweep>().AddHostedService<IslandCheck>().AddHostedService<SocketSweep>();

        // Loopback is a proxy or a test, and a proxy is not who is behind it.
        bool IsAnonymous(IPAddress address) => IPAddress.IsLoopback(address) || options.TrustedProxies.Any(p => p.Contains(Plain(address)));
    }

    /// <summary>Believes <c>X-Forwarded-For</c> as far back as the proxies that told it are trusted.</summary>
    private static ForwardedHeadersOptions Forwarded(ConnectorOptions options)
    {
        var forwarded = new ForwardedHeadersOptions { ForwardedHeaders = ForwardedHeaders.XForwardedFor, ForwardLimit = null };
        forwarded.KnownProxies.Clear();
        forwarded.KnownIPNetworks.Clear();
        foreach (IPNetwork network in options.TrustedProxies)
            forwarded.KnownIPNetworks.Add(network);
        return forwarded;
    }

    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    /// <summary>Every connection takes its place in the waiting room when it is accepted, before it has said a word.</summary>
    private static void LimitConnections(KestrelServerOptions kestrel, ListenOptions listen)
    {
        kestrel.Limits.RequestHeadersTimeout = RequestTimeLimit;
        WaitingRoom room = listen.ApplicationServices.GetRequiredService<WaitingRoom>();
        listen.Use(next => async connection =>
        {
            WaitingRoom.Place place = room.Enter((connection.RemoteEndPoint as IPEndPoint)?.Address, connection.Abort);
            connection.Features.Set(place);
            try
            {
                await next(connection);
            }
            finally
            {
                place.Leave();
            }
        });
    }

    /// <summary>Accepts WebSockets and runs a session on each.</summary>
    private sealed class Door(SessionServices services, SocketSet sockets, Drain drain)
    {
        public async Task OpenAsync(HttpContext http)
        {
            if (!http.WebSockets.IsWebSocketRequest)
            {
                http.Response.StatusCode = StatusCodes.Status404NotFound;
                return;
            }
            if (drain.HasBegun)
            {
                http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
                return;
            }
            using WebSocket socket = await http.WebSockets.AcceptWebSocketAsync(new WebSocketAcceptContext
            {
                // Some clients fail the handshake unless one of the protocols they offer is selected.
                SubProtocol = http.WebSockets.WebSocketRequestedProtocols.FirstOrDefault() is { } first && System.Text.Ascii.IsValid(first) ? first : null,
            });
            var connection = new WebSocketConnection(socket, http.Features.GetRequiredFeature<IConnectionLifetimeFeature>().Abort, services.Options, services.Metrics, services.Clock);
            WaitingRoom.Place? place = http.Features.Get<WaitingRoom.Place>();
            using var session = new Session(services, connection, place);
            sockets.Add(connection, session);
            try
            {
                // Now that its headers are known, so may be where it comes from.
                if (place is not null && !place.Move(http.Connection.RemoteIpAddress, session.SendAway))
                    session.SendAway();
                if (drain.HasBegun)
                    connection.Close(CloseReason.Restart);
                await connection.RunAsync(session);
            }
            finally
            {
                sockets.Remove(connection);
            }
        }
    }
}
