using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using Archipelago.Ethereum;
using Archipelago.Messaging;
using Archipelago.Testing;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.Extensions.DependencyInjection;

namespace Archipelago.Connector.Tests;

/// <summary>The endpoint with real sockets.</summary>
public class WebSocketTests
{
    private static Task<RunningHost> StartAsync(Dictionary<string, string>? values = null)
    {
        values ??= [];
        values.TryAdd("DENYLIST_URL", "");
        values.TryAdd("ETH_RPC_URL", "");
        values.TryAdd("DRAIN_WINDOW_MS", "0");
        return RunningHost.StartAsync(ConnectorHost.Build, values);
    }

    private static async Task<ClientWebSocket> ConnectAsync(RunningHost host, params string[] protocols)
    {
        var socket = new ClientWebSocket();
        foreach (string protocol in protocols)
            socket.Options.AddSubProtocol(protocol);
        await socket.ConnectAsync(new Uri($"ws://{host.Http.BaseAddress!.Authority}/ws"), default);
        return socket;
    }

    private static async Task<ServerPacket> ReceiveAsync(ClientWebSocket socket)
    {
        byte[] buffer = new byte[65536];
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        WebSocketReceiveResult result = await socket.ReceiveAsync(buffer, limit.Token);
        Assert.Equal(WebSocketMessageType.Binary, result.MessageType);
        Assert.True(result.EndOfMessage);
        return ServerPacket.Parser.ParseFrom(buffer, 0, result.Count);
    }

    private static async Task<(int? Status, string? Text)> ClosedAsync(ClientWebSocket socket)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        WebSocketReceiveResult result = await socket.ReceiveAsync(new byte[1024], limit.Token);
        Assert.Equal(WebSocketMessageType.Close, result.MessageType);
        return ((int?)result.CloseStatus, result.CloseStatusDescription);
    }

    private static Task SendAsync(ClientWebSocket socket, ClientPacket packet) => socket.SendAsync(packet.ToByteArray(), WebSocketMessageType.Binary, true, default);

    private static async Task<ClientWebSocket> EnterAsync(RunningHost host, EthereumKey key)
    {
        ClientWebSocket socket = await ConnectAsync(host);
        await SendAsync(socket, new ClientPacket { ChallengeRequest = new ChallengeRequestMessage { Address = key.Address } });
        string challenge = (await ReceiveAsync(socket)).ChallengeResponse.ChallengeToSign;
        using var identity = new EphemeralIdentity(key, TimeProvider.System.GetUtcNow().AddHours(1));
        await SendAsync(socket, new ClientPacket { SignedChallenge = new SignedChallengeMessage { AuthChainJson = identity.SignChain(challenge) } });
        Assert.Equal(key.Address, (await ReceiveAsync(socket)).Welcome.PeerId);
        return socket;
    }

    [Theory]
    [InlineData(null)]
    [InlineData("archipelago")]
    [InlineData("first", "second")]
    public async Task The_first_protocol_offered_is_selected(params string[]? offered)
    {
        await using RunningHost host = await StartAsync();
        using ClientWebSocket socket = await ConnectAsync(host, offered ?? []);
        Assert.Equal(offered?[0], socket.SubProtocol);
    }

    [Fact]
    public async Task An_island_change_on_the_bus_reaches_its_addressee_alone()
    {
        await using RunningHost host = await StartAsync();
        using EthereumKey ann = EthereumKey.Create(), bob = EthereumKey.Create();
        using ClientWebSocket annSocket = await EnterAsync(host, ann), bobSocket = await EnterAsync(host, bob);
        await host.Bus.PublishAsync($"engine.peer.{ann.Address}.island_changed", new IslandChangedMessage { IslandId = "I1" }.ToByteArray());
        await host.Bus.PublishAsync($"engine.peer.{bob.Address}.island_changed", new IslandChangedMessage { IslandId = "I2" }.ToByteArray());
        Assert.Equal("I1", (await ReceiveAsync(annSocket)).IslandChanged.IslandId);
        Assert.Equal("I2", (await ReceiveAsync(bobSocket)).IslandChanged.IslandId);
        Assert.Contains("\"userCount\":2", await host.GetAsync("/status"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Exactly_one_disconnect_is_published_however_the_socket_ends()
    {
        await using RunningHost host = await StartAsync();
        var gone = new System.Collections.Concurrent.ConcurrentQueue<string>();
        host.Bus.Subscribe("peer.*.disconnect", m => gone.Enqueue(System.Text.Encoding.UTF8.GetString(m.Subject)));
        using EthereumKey polite = EthereumKey.Create(), rude = EthereumKey.Create();
        using (ClientWebSocket socket = await EnterAsync(host, polite))
        {
            await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, default);
            Assert.Equal(WebSocketCloseStatus.NormalClosure, socket.CloseStatus);
        }
        using (ClientWebSocket socket = await EnterAsync(host, rude))
            socket.Abort();
        using (await ConnectAsync(host))
        {
            // Never authenticated: leaves no trace on the bus.
        }
        // The last one to leave comes after all others on the bus.
        using EthereumKey last = EthereumKey.Create();
        await Eventually.TrueAsync(() => gone.Count == 2);
        (await EnterAsync(host, last)).Dispose();
        await Eventually.TrueAsync(() => gone.Count == 3);
        Assert.Equal(new[] { polite, rude, last }.Select(k => $"peer.{k.Address}.disconnect").Order(), gone.Order());
        Assert.Contains("\"userCount\":0", await host.GetAsync("/status"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Garbage_closes_with_1007_and_too_much_with_1009()
    {
        await using RunningHost host = await StartAsync();
        using ClientWebSocket garbage = await ConnectAsync(host), large = await ConnectAsync(host), text = await ConnectAsync(host);
        await garbage.SendAsync(new byte[] { 1, 2, 3, 4, 5, 6 }, WebSocketMessageType.Binary, true, default);
        Assert.Equal((1007, "Cannot decode ClientPacket"), await ClosedAsync(garbage));
        await large.SendAsync(new byte[16384 + 1], WebSocketMessageType.Binary, true, default);
        Assert.Equal(1009, (await ClosedAsync(large)).Status);
        await text.SendAsync("{\"type\":\"x\"}"u8.ToArray(), WebSocketMessageType.Text, true, default);
        Assert.Equal(1007, (await ClosedAsync(text)).Status);
        using ClientWebSocket latin = await ConnectAsync(host);
        await latin.SendAsync(new byte[] { 0xE9, 0x20 }, WebSocketMessageType.Text, true, default);
        Assert.Equal(1007, (await ClosedAsync(latin)).Status);
    }

    [Fact]
    public async Task A_message_of_exactly_16_KiB_in_fragments_is_a_packet_like_any_other()
    {
        await using RunningHost host = await StartAsync();
        using ClientWebSocket socket = await ConnectAsync(host);
        byte[] request = new ClientPacket { ChallengeRequest = new ChallengeRequestMessage { Address = "0x" + new string('a', 40) } }.ToByteArray();
        // Field 15, unknown to the protocol, fills it up.
        byte[] padding = [0x7a, 0xcf, 0x7f, .. new byte[16384 - request.Length - 3]];
        byte[] message = [.. padding, .. request];
        Assert.Equal(16384, message.Length);
        for (int at = 0; at < message.Length; at += 1000)
            await socket.SendAsync(message.AsMemory(at, Math.Min(1000, message.Length - at)), WebSocketMessageType.Binary, at + 1000 >= message.Length, default);
        Assert.StartsWith("dcl-", (await ReceiveAsync(socket)).ChallengeResponse.ChallengeToSign, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_text_frame_is_read_like_a_binary_one()
    {
        await using RunningHost host = await StartAsync();
        using ClientWebSocket socket = await ConnectAsync(host);
        byte[] request = new ClientPacket { ChallengeRequest = new ChallengeRequestMessage { Address = "0x" + new string('a', 40) } }.ToByteArray();
        await socket.SendAsync(request, WebSocketMessageType.Text, true, default);
        Assert.StartsWith("dcl-", (await ReceiveAsync(socket)).ChallengeResponse.ChallengeToSign, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Silence_closes_after_the_handshake_timeout()
    {
        await using RunningHost host = await StartAsync(new() { ["HANDSHAKE_TIMEOUT"] = "100" });
        using ClientWebSocket socket = await ConnectAsync(host);
        Assert.Equal((1008, "Handshake timeout"), await ClosedAsync(socket));
    }

    [Fact]
    public async Task Clients_are_told_when_the_server_stops()
    {
        RunningHost host = await StartAsync();
        using EthereumKey key = EthereumKey.Create();
        using ClientWebSocket socket = await EnterAsync(host, key);
        Task stopping = host.DisposeAsync().AsTask();
        Assert.Equal(1012, (await ClosedAsync(socket)).Status);
        await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, default);
        await stopping;
    }

    [Fact]
    public async Task A_client_that_does_not_read_is_dropped_and_others_do_not_notice()
    {
        await using RunningHost host = await StartAsync(new() { ["SEND_TIMEOUT_MS"] = "300" });
        using EthereumKey slow = EthereumKey.Create(), quick = EthereumKey.Create();
        using ClientWebSocket stuck = await EnterAsync(host, slow), lively = await EnterAsync(host, quick);
        var gone = new TaskCompletionSource();
        host.Bus.Subscribe($"peer.{slow.Address}.disconnect", _ => gone.TrySetResult());
        byte[][] big = [.. ((string[])["I1", "I2"]).Select(id => new IslandChangedMessage { IslandId = id, ConnStr = new string('x', 200_000) }.ToByteArray())];
        int told = 0;
        // One takes the place of the other while it waits, so it takes a while until all buffers on the way are full.
        await Eventually.TrueAsync(async () =>
        {
            await host.Bus.PublishAsync($"engine.peer.{slow.Address}.island_changed", big[told++ % 2]);
            return gone.Task.IsCompleted;
        });
        string metrics = await host.GetAsync("/metrics");
        Assert.Contains("archipelago_limit_exceeded_total{limit=\"send_timeout\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.DoesNotContain("archipelago_island_changes_replaced_total 0\n", metrics, StringComparison.Ordinal);
        await host.Bus.PublishAsync($"engine.peer.{quick.Address}.island_changed", new IslandChangedMessage { IslandId = "I2" }.ToByteArray());
        Assert.Equal("I2", (await ReceiveAsync(lively)).IslandChanged.IslandId);
    }

    /// <summary>One request and its whole answer: what is left unread of one would pass for the start of the next.</summary>
    private static async Task<string> AskAsync(NetworkStream stream, string request)
    {
        await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes(request));
        string answer = "";
        byte[] buffer = new byte[4096];
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (!IsWhole(answer))
            answer += System.Text.Encoding.Latin1.GetString(buffer, 0, await stream.ReadAtLeastAsync(buffer, 1, cancellationToken: limit.Token));
        return answer;
    }

    private static bool IsWhole(string answer)
    {
        int body = answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4;
        if (body < 4)
            return false;
        string head = answer[..body];
        if (head.Contains("Transfer-Encoding: chunked", StringComparison.OrdinalIgnoreCase))
            return answer.EndsWith("\r\n0\r\n\r\n", StringComparison.Ordinal);
        var length = System.Text.RegularExpressions.Regex.Match(head, @"Content-Length: (\d+)", System.Text.RegularExpressions.RegexOptions.IgnoreCase);
        return !length.Success || answer.Length - body >= int.Parse(length.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture);
    }

    private const string UpgradeHeaders =
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: archipelago\r\n";

    [Theory]
    [InlineData("GET /status HTTP/1.1\r\nHost: x\r\n\r\n", "GET /ws HTTP/1.1\r\nHost: x\r\n")] // a proxy uses a connection again
    [InlineData(null, "GET /ws HTTP/1.1\r\nHost: x\r\nX-Odd: \u00e4\r\n")] // a header that the door leaves to the web server
    [InlineData(null, "GET /ws HTTP/1.1\r\nHost: x\r\n")]
    public async Task Whichever_way_a_socket_is_asked_for_it_leads_to_the_same_session(string? before, string request)
    {
        await using RunningHost host = await StartAsync();
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", host.Http.BaseAddress!.Port);
        NetworkStream stream = client.GetStream();
        if (before is not null)
            Assert.StartsWith("HTTP/1.1 200", await AskAsync(stream, before), StringComparison.Ordinal);
        string answer = await AskAsync(stream, $"{request}{UpgradeHeaders}\r\n");
        Assert.StartsWith("HTTP/1.1 101", answer, StringComparison.Ordinal);
        Assert.Contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", answer, StringComparison.Ordinal);
        Assert.Contains("Sec-WebSocket-Protocol: archipelago", answer, StringComparison.Ordinal);
        Assert.Contains("Access-Control-Allow-Origin: *", answer, StringComparison.Ordinal);

        byte[] challenge = new ClientPacket { ChallengeRequest = new ChallengeRequestMessage { Address = "0x" + new string('a', 40) } }.ToByteArray();
        await stream.WriteAsync(MemoryClient.Frame(FrameKind.Binary, challenge));
        byte[] buffer = new byte[200];
        await stream.ReadAtLeastAsync(buffer, 10);
        Assert.StartsWith("dcl-", System.Text.Encoding.ASCII.GetString(buffer, 6, 10), StringComparison.Ordinal);
        Assert.Contains("http_requests_total{method=\"get\",handler=\"/ws\",code=\"101\"} 1\n", await host.GetAsync("/metrics"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Behind_a_trusted_proxy_the_crowd_makes_room_and_not_the_others()
    {
        await using RunningHost host = await StartAsync(new() { ["TRUSTED_PROXIES"] = "127.0.0.0/8", ["MAX_WAITING_SOCKETS"] = "4" });
        async Task<ClientWebSocket> FromAsync(string address)
        {
            var socket = new ClientWebSocket();
            socket.Options.SetRequestHeader("X-Forwarded-For", address);
            await socket.ConnectAsync(new Uri($"ws://{host.Http.BaseAddress!.Authority}/ws"), default);
            return socket;
        }
        async Task ChallengedAsync(ClientWebSocket socket)
        {
            await SendAsync(socket, new ClientPacket { ChallengeRequest = new ChallengeRequestMessage { Address = "0x" + new string('a', 40) } });
            Assert.StartsWith("dcl-", (await ReceiveAsync(socket)).ChallengeResponse.ChallengeToSign, StringComparison.Ordinal);
        }

        // The host learns who is behind the proxy just after it has answered the upgrade: a challenge in hand shows that it has, and the order is certain.
        async Task<ClientWebSocket> OneOfTheCrowdAsync()
        {
            ClientWebSocket socket = await FromAsync("203.0.113.7");
            await ChallengedAsync(socket);
            return socket;
        }
        using ClientWebSocket honest = await FromAsync("198.51.100.1");
        using ClientWebSocket first = await OneOfTheCrowdAsync(), second = await OneOfTheCrowdAsync(), third = await OneOfTheCrowdAsync();
        using ClientWebSocket fourth = await OneOfTheCrowdAsync();
        Assert.Equal((1013, "Too many connections wait, try again later"), await ClosedAsync(first));
        await ChallengedAsync(honest);
    }

    [Fact]
    public async Task While_it_stops_it_is_not_ready_and_lets_nobody_in()
    {
        RunningHost host = await StartAsync(new() { ["DRAIN_WINDOW_MS"] = "600000" });
        using EthereumKey key = EthereumKey.Create();
        using ClientWebSocket socket = await EnterAsync(host, key);
        // An open connection of each kind, since no new ones are accepted.
        using var plain = new TcpClient();
        await plain.ConnectAsync("127.0.0.1", host.Http.BaseAddress!.Port);
        NetworkStream stream = plain.GetStream();
        Assert.StartsWith("HTTP/1.1 200", await AskAsync(stream, "GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"), StringComparison.Ordinal);
        host.Services.GetRequiredService<Drain>().Begin();
        string answer = await AskAsync(stream, $"GET /ws HTTP/1.1\r\nHost: x\r\n{UpgradeHeaders}\r\n");
        Assert.StartsWith("HTTP/1.1 503", answer, StringComparison.Ordinal);
        socket.Abort();
        await host.DisposeAsync();
    }

    [Fact]
    public async Task Paths_that_are_no_socket_say_so()
    {
        await using RunningHost host = await StartAsync();
        HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/ws");
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        using (await ConnectAsync(host))
            Assert.Contains("http_requests_total{method=\"get\",handler=\"/ws\",code=\"101\"} 1", await host.GetAsync("/metrics"), StringComparison.Ordinal);
    }
}
