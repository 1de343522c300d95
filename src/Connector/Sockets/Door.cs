using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Net;
using Archipelago.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace Archipelago.Connector;

/// <summary>
/// Where connections come in. One that begins with a plain request for a WebSocket is taken over below the web server, whose request would else be kept for as long as the
/// session lasts; all others go on to the web server, where a less plain request for a WebSocket ends up at the same session.
/// </summary>
internal sealed class Door(SessionServices services, WaitingRoom room, SocketSet sockets, Drain drain, RequestMetrics requests, ClientAddress addresses)
{
    /// <summary>For whoever has not even asked for something.</summary>
    public static readonly TimeSpan RequestTimeLimit = TimeSpan.FromSeconds(10);

    private const string Route = "/ws";

    /// <summary>Takes a connection that has just been accepted.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="next">Takes those that are no plain WebSocket.</param>
    public async Task OnConnectedAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        WaitingRoom.Place place = room.Enter((connection.RemoteEndPoint as IPEndPoint)?.Address, connection.Abort);
        try
        {
            if (await ReadRequestAsync(connection) is not { } request)
            {
                connection.Features.Set(place);
                await next(connection);
                return;
            }
            await connection.Transport.Output.WriteAsync(request.Answer());
            await RunAsync(connection.Transport, connection.Abort, (connection.RemoteEndPoint as IPEndPoint)?.Address, request.ForwardedFor, place);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // Gone before it had asked for anything.
        }
        finally
        {
            place.Leave();
        }
    }

    /// <summary>Answers requests for a WebSocket that the web server has read.</summary>
    public async Task OnRequestAsync(HttpContext http)
    {
        IHttpUpgradeFeature? upgrade = http.Features.Get<IHttpUpgradeFeature>();
        string key = http.Request.Headers.SecWebSocketKey.ToString();
        if (upgrade is not { IsUpgradableRequest: true } || !HttpMethods.IsGet(http.Request.Method) || http.Request.Headers.SecWebSocketVersion != "13" || !UpgradeRequest.IsKey(key)
            || !http.Request.Headers.Upgrade.ToString().Equals("websocket", StringComparison.OrdinalIgnoreCase))
        {
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            return;
        }
        if (drain.HasBegun)
        {
            http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            return;
        }
        http.Response.Headers.Upgrade = "websocket";
        http.Response.Headers.SecWebSocketAccept = UpgradeRequest.Accept(key);
        if (UpgradeRequest.FirstProtocol(http.Request.Headers.SecWebSocketProtocol.ToString()) is { } protocol)
            http.Response.Headers.SecWebSocketProtocol = protocol;
        Stream stream = await upgrade.UpgradeAsync();
        var transport = new StreamTransport(PipeReader.Create(stream), PipeWriter.Create(stream));
        IConnectionLifetimeFeature lifetime = http.Features.GetRequiredFeature<IConnectionLifetimeFeature>();
        await RunAsync(transport, lifetime.Abort, http.Connection.RemoteIpAddress, http.Request.Headers["X-Forwarded-For"].ToString(), http.Features.Get<WaitingRoom.Place>());
    }

    private sealed record StreamTransport(PipeReader Input, PipeWriter Output) : IDuplexPipe;

    /// <summary>The request, once it has come as a whole; null when it is another, which is left for the web server to read.</summary>
    private async ValueTask<UpgradeRequest?> ReadRequestAsync(ConnectionContext connection)
    {
        using var limit = new CancellationTokenSource(RequestTimeLimit, services.Clock);
        PipeReader input = connection.Transport.Input;
        long start = 0;
        while (true)
        {
            ReadResult result = await input.ReadAsync(limit.Token);
            start = start == 0 ? Stopwatch.GetTimestamp() : start;
            Opening opening = UpgradeRequest.TryRead(result.Buffer, out UpgradeRequest? request, out SequencePosition end);
            if (opening == Opening.Upgrade && !drain.HasBegun)
            {
                input.AdvanceTo(end);
                requests.Measure("get", Route, StatusCodes.Status101SwitchingProtocols, Stopwatch.GetElapsedTime(start));
                return request;
            }
            bool decided = opening != Opening.NeedsMore || result.IsCompleted;
            input.AdvanceTo(result.Buffer.Start, decided ? result.Buffer.Start : result.Buffer.End);
            if (decided)
                return null;
        }
    }

    private async Task RunAsync(IDuplexPipe transport, Action abort, IPAddress? peer, string forwardedFor, WaitingRoom.Place? place)
    {
        var connection = new WebSocketConnection(transport, abort, services.Options, services.Metrics, services.Clock);
        using var session = new Session(services, connection, place);
        sockets.Add(connection, session);
        try
        {
            // Now that it has said so, it may be known where it comes from.
            if (place is not null && !place.Move(addresses.Of(peer, forwardedFor), session.SendAway))
                session.SendAway();
            if (drain.HasBegun)
                connection.Close(CloseReason.Restart);
            await connection.RunAsync(session);
        }
        finally
        {
            sockets.Remove(connection, services.Clock.GetTimestamp());
            await transport.Input.CompleteAsync();
            await transport.Output.CompleteAsync();
        }
    }
}
