using System.Net;
using System.Net.WebSockets;
using Archipelago.Hosting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Archipelago.Cli.Load;

/// <summary>A web server that accepts WebSockets and reads them, and does nothing else: what connections and messages cost before anybody does anything with them.</summary>
internal static class WebSocketSink
{
    public static async Task<int> RunAsync(CancellationToken cancellationToken)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        builder.Services.Configure<HostOptions>(o => o.ShutdownTimeout = TimeSpan.FromSeconds(1));
        await using WebApplication app = builder.Build();
        app.UseWebSockets();
        app.Run(async http =>
        {
            if (!http.WebSockets.IsWebSocketRequest)
                return; // 200: ready
            using WebSocket socket = await http.WebSockets.AcceptWebSocketAsync();
            byte[] buffer = new byte[128];
            try
            {
                while ((await socket.ReceiveAsync(buffer.AsMemory(), CancellationToken.None)).MessageType != WebSocketMessageType.Close)
                {
                }
            }
            catch (Exception e) when (e is WebSocketException or OperationCanceledException)
            {
                // Gone.
            }
        });
        await app.StartAsync(CancellationToken.None);
        await Console.Error.WriteLineAsync($"SINK listens on {HostRunner.AddressOf(app)}");
        await Task.Delay(Timeout.Infinite, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await app.StopAsync(CancellationToken.None);
        return 0;
    }
}
