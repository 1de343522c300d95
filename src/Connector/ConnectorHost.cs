using System.Net.WebSockets;
using Archipelago.Hosting;
using Archipelago.Messaging;

namespace Archipelago.Connector;

/// <summary>The front door: WebSockets in, heartbeats to the bus, island changes back.</summary>
public static class ConnectorHost
{
    /// <summary>The port where none is configured.</summary>
    public const int DefaultPort = 5001;

    // An idle client is pinged after 74 s and dropped after 16 s without answer, as in the service replaced.
    private static readonly TimeSpan PingAfter = TimeSpan.FromSeconds(74);
    private static readonly TimeSpan PongWithin = TimeSpan.FromSeconds(16);

    /// <summary>Makes the host.</summary>
    /// <exception cref="ConfigurationException">The configuration has faults.</exception>
    public static WebApplication Build(HostContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var host = new ArchipelagoHost(context, DefaultPort, HttpStyle.Connector);
        host.AddGatekeeper();
        host.NeedBus();
        host.Services.AddSingleton(ConnectorOptions.Read(context.Settings));
        host.Services.AddSingleton<SessionRegistry>().AddSingleton<SessionMetrics>();
        host.Services.AddSingleton<DenyList>().AddSingleton<SessionServices>();
        host.Services.AddHostedService<IslandChangeRelay>();
        host.Services.AddHostedService<BanSweep>();
        host.Services.AddHostedService<IslandCheck>();

        WebApplication app = host.Build();
        app.UseWebSockets();
        SessionServices services = app.Services.GetRequiredService<SessionServices>();
        app.MapRoute("/ws", http => AcceptAsync(http, services, app.Lifetime.ApplicationStopping));
        app.MapRoute("/status", http => Json.WriteAsync(http, StatusCodes.Status200OK, json => StatusJson.Write(json, context, services.Registry.Count)));
        return app;
    }

    private static async Task AcceptAsync(HttpContext http, SessionServices services, CancellationToken stopping)
    {
        if (!http.WebSockets.IsWebSocketRequest)
        {
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            return;
        }
        using WebSocket socket = await http.WebSockets.AcceptWebSocketAsync(new WebSocketAcceptContext
        {
            // Some clients fail the handshake unless one of the protocols they offer is selected.
            SubProtocol = http.WebSockets.WebSocketRequestedProtocols.FirstOrDefault() is { } first && System.Text.Ascii.IsValid(first) ? first : null,
            KeepAliveInterval = PingAfter,
            KeepAliveTimeout = PongWithin,
        });
        var connection = new WebSocketConnection(socket);
        using var session = new Session(services, connection);
        await using CancellationTokenRegistration _ = stopping.Register(() => connection.Close(CloseReason.Restart));
        await connection.RunAsync(session);
    }
}
