using Archipelago.Ethereum;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Connector.Tests;

/// <summary>The state machine of a session, without a network.</summary>
public sealed class SessionTests : IDisposable
{
    private readonly ManualClock clock = new();
    private readonly IMessageBus bus;
    private readonly List<string> published = [];
    private readonly List<byte[]> payloads = [];
    private readonly ServiceProvider meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly EthereumKey owner = EthereumKey.Create();
    private SessionServices services;

    public SessionTests()
    {
        var broker = new InProcessBroker();
        bus = broker.Connect();
        bus.Subscribe("peer.>", m =>
        {
            published.Add(System.Text.Encoding.UTF8.GetString(m.Subject));
            payloads.Add(m.Payload.ToArray());
        });
        services = Services([]);
    }

    public void Dispose()
    {
        meters.Dispose();
        owner.Dispose();
    }

    private SessionServices Services(Dictionary<string, string> values)
    {
        values.TryAdd("DENYLIST_URL", "");
        Settings settings = RunningHost.Settings(values);
        ConnectorOptions options = ConnectorOptions.Read(settings);
        var throttle = new LogThrottle(clock, TimeSpan.FromSeconds(10));
        var registry = new SessionRegistry();
        return new SessionServices(
            registry,
            bus,
            new DenyList(options, clock, throttle, NullLogger<DenyList>.Instance),
            new Gatekeeper(settings.HttpUrl("COMMS_GATEKEEPER_URL"), throttle, NullLogger<Gatekeeper>.Instance),
            options,
            new SessionMetrics(meters.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>(), registry),
            clock);
    }

    private sealed class FakeSocket : ISessionSocket
    {
        public List<ServerPacket> Sent { get; } = [];

        public CloseReason? Closed { get; private set; }

        public bool TrySend(ReadOnlyMemory<byte> frame)
        {
            if (Closed is not null)
                return false;
            Sent.Add(ServerPacket.Parser.ParseFrom(frame.Span));
            return true;
        }

        public void Close(CloseReason reason) => Closed ??= reason;
    }

    private (Session Session, FakeSocket Socket) Open()
    {
        var socket = new FakeSocket();
        return (new Session(services, socket), socket);
    }

    private static ValueTask Send(Session session, ClientPacket packet) => session.HandleAsync(packet.ToByteArray(), default);

    private static ClientPacket Request(string address) => new() { ChallengeRequest = new ChallengeRequestMessage { Address = address } };

    private static ClientPacket Beat(float x, string? room = null)
    {
        var heartbeat = new Heartbeat { Position = new Position { X = x } };
        if (room is not null)
            heartbeat.DesiredRoom = room;
        return new ClientPacket { Heartbeat = heartbeat };
    }

    private ClientPacket Signed(FakeSocket socket, EthereumKey? key = null)
    {
        using var identity = new EphemeralIdentity(key ?? owner, clock.GetUtcNow().AddHours(1));
        return new ClientPacket { SignedChallenge = new SignedChallengeMessage { AuthChainJson = identity.SignChain(socket.Sent[^1].ChallengeResponse.ChallengeToSign) } };
    }

    private async Task<(Session Session, FakeSocket Socket)> WelcomedAsync(EthereumKey? key = null)
    {
        (Session session, FakeSocket socket) = Open();
        await Send(session, Request((key ?? owner).Address));
        await Send(session, Signed(socket, key));
        Assert.Equal((key ?? owner).Address, socket.Sent[^1].Welcome.PeerId);
        return (session, socket);
    }

    [Fact]
    public async Task Who_signs_the_challenge_is_let_in_and_heard()
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        Assert.Matches("^dcl-[0-9a-f]{64}$", socket.Sent[0].ChallengeResponse.ChallengeToSign);
        Assert.False(socket.Sent[0].ChallengeResponse.AlreadyConnected);
        await Send(session, Beat(3));
        Assert.Equal([$"peer.{owner.Address}.connect", $"peer.{owner.Address}.heartbeat"], published);
        Assert.Equal(3, Heartbeat.Parser.ParseFrom(payloads[1]).Position.X);
        Assert.Null(socket.Closed);
    }

    [Fact]
    public async Task The_signer_is_the_identity_whatever_address_was_claimed()
    {
        (Session session, FakeSocket socket) = Open();
        await Send(session, Request("0x00000000000000000000000000000000000000AA"));
        await Send(session, Signed(socket));
        Assert.Equal(owner.Address, socket.Sent[^1].Welcome.PeerId);
    }

    [Fact]
    public async Task Each_challenge_is_different_and_signs_for_its_own_socket_only()
    {
        (Session first, FakeSocket one) = Open();
        (Session second, FakeSocket two) = Open();
        await Send(first, Request(owner.Address));
        await Send(second, Request(owner.Address));
        Assert.NotEqual(one.Sent[0].ChallengeResponse.ChallengeToSign, two.Sent[0].ChallengeResponse.ChallengeToSign);
        await Send(second, Signed(one));
        Assert.Equal(CloseReason.BadAuthentication, two.Closed);
    }

    [Theory]
    [InlineData("0x12")]
    [InlineData("")]
    [InlineData("0X00000000000000000000000000000000000000AA")]
    [InlineData("0x00000000000000000000000000000000000000AG")]
    public async Task A_claim_that_is_no_address_closes(string address)
    {
        (Session session, FakeSocket socket) = Open();
        await Send(session, Request(address));
        Assert.Equal(CloseReason.BadAddress, socket.Closed);
        Assert.Empty(socket.Sent);
    }

    [Fact]
    public async Task Packets_out_of_order_close()
    {
        foreach (ClientPacket packet in (ClientPacket[])[Beat(1), new(), new() { SignedChallenge = new() }])
        {
            (Session session, FakeSocket socket) = Open();
            await Send(session, packet);
            Assert.Equal(CloseReason.UnexpectedPacket, socket.Closed);
        }
        foreach (ClientPacket packet in (ClientPacket[])[Beat(1), new(), Request(owner.Address)])
        {
            (Session session, FakeSocket socket) = Open();
            await Send(session, Request(owner.Address));
            await Send(session, packet);
            Assert.Equal(CloseReason.UnexpectedPacket, socket.Closed);
        }
    }

    [Theory]
    [InlineData("not JSON")]
    [InlineData("[]")]
    [InlineData("""[{"type":"SIGNER","payload":"CHALLENGE","signature":""}]""")]
    public async Task A_chain_that_proves_nothing_closes_without_saying_why(string chain)
    {
        (Session session, FakeSocket socket) = Open();
        await Send(session, Request(owner.Address));
        chain = chain.Replace("CHALLENGE", socket.Sent[0].ChallengeResponse.ChallengeToSign, StringComparison.Ordinal);
        await Send(session, new ClientPacket { SignedChallenge = new SignedChallengeMessage { AuthChainJson = chain } });
        Assert.Equal(CloseReason.BadAuthentication, socket.Closed);
        await session.EndAsync();
        Assert.Empty(published);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Bytes_that_are_no_packet_close_with_1007_in_every_state(int stage)
    {
        (Session session, FakeSocket socket) = stage == 2 ? await WelcomedAsync() : Open();
        if (stage == 1)
            await Send(session, Request(owner.Address));
        await session.HandleAsync(new byte[] { 1, 2, 3, 4, 5, 6 }, default);
        Assert.Equal(new CloseReason(1007, "Cannot decode ClientPacket"), socket.Closed);
    }

    [Fact]
    public async Task Other_packets_after_the_welcome_are_ignored()
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        await Send(session, Request(owner.Address));
        await Send(session, new ClientPacket());
        Assert.Null(socket.Closed);
        Assert.Equal([$"peer.{owner.Address}.connect"], published);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public async Task Positions_that_are_not_finite_never_reach_the_bus(float x)
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        await Send(session, Beat(x));
        Assert.Equal([$"peer.{owner.Address}.connect"], published);
        Assert.Null(socket.Closed);
        using var exporter = new PrometheusExporter(meters.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>());
        Assert.Contains("archipelago_heartbeats_dropped_total 1\n", exporter.Scrape(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task While_a_session_is_ending_a_new_one_waits_until_its_departure_is_out()
    {
        (Session old, FakeSocket _) = await WelcomedAsync();
        Task? young = null;
        FakeSocket? youngSocket = null;
        // In the middle of announcing the departure, the same person comes back on another thread.
        using IDisposable _ = bus.Subscribe("peer.*.disconnect", _ =>
        {
            if (young is not null)
                return;
            (Session session, youngSocket) = Open();
            young = Task.Run(async () =>
            {
                await Send(session, Request(owner.Address));
                await Send(session, Signed(youngSocket));
                await Send(session, Beat(1));
            });
            Assert.False(young.Wait(TimeSpan.FromMilliseconds(200)), "welcomed before the departure of the earlier session was out");
        });
        await old.EndAsync();
        await young!;
        Assert.Equal(ServerPacket.MessageOneofCase.Welcome, youngSocket!.Sent[^1].MessageCase);
        Assert.Equal(["connect", "disconnect", "connect", "heartbeat"], published.Select(subject => subject[$"peer.{owner.Address}.".Length..]));
        Assert.True(services.Registry.IsConnected(owner.Address));
    }

    [Fact]
    public async Task A_session_asks_for_its_island_until_it_has_heard_of_one_and_then_now_and_again_and_passes_none_on_twice()
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        string Asked() => string.Join(' ', published.Select((subject, i) => (subject, i)).Where(p => p.subject.EndsWith(".ask", StringComparison.Ordinal)).Select(p => $"[{System.Text.Encoding.UTF8.GetString(payloads[p.i])}]"));
        async Task AfterAsync(int seconds)
        {
            clock.Advance(TimeSpan.FromSeconds(seconds));
            await session.CompareIslandAsync(default);
        }
        await AfterAsync(10);
        Assert.Equal("", Asked()); // Nobody is on an island before the first heartbeat.
        await Send(session, Beat(1));
        await AfterAsync(2);
        Assert.Equal("", Asked());
        await AfterAsync(2);
        await AfterAsync(2);
        await AfterAsync(2);
        Assert.Equal("[] []", Asked());

        byte[] change = new IslandChangedMessage { IslandId = "I7", ConnStr = "c" }.ToByteArray();
        int sent = socket.Sent.Count;
        session.SendIslandChange(change);
        session.SendIslandChange(change);
        Assert.Equal(sent + 1, socket.Sent.Count);
        await AfterAsync(29);
        Assert.Equal("[] []", Asked());
        await AfterAsync(2);
        Assert.Equal("[] [] [I7]", Asked());
        session.SendIslandChange(new IslandChangedMessage { IslandId = "I8", ConnStr = "c" }.ToByteArray());
        Assert.Equal(sent + 2, socket.Sent.Count);
        await session.EndAsync();
        await AfterAsync(100);
        Assert.Equal("[] [] [I7]", Asked());
    }

    [Fact]
    public async Task Unknown_fields_do_not_reach_the_bus()
    {
        (Session session, _) = await WelcomedAsync();
        await session.HandleAsync(Convert.FromHexString("1a130a0f0d0000803f15000000401d000040401a00f80601"), default);
        Assert.Equal("0a0f0d0000803f15000000401d00004040", Convert.ToHexStringLower(payloads[1]));
    }

    [Fact]
    public async Task A_new_session_of_an_address_ends_the_earlier_one_first()
    {
        (Session old, FakeSocket oldSocket) = await WelcomedAsync();
        (Session young, FakeSocket youngSocket) = Open();
        await Send(young, Request(owner.Address.ToUpperInvariant().Replace("0X", "0x", StringComparison.Ordinal)));
        Assert.True(youngSocket.Sent[0].ChallengeResponse.AlreadyConnected);
        await Send(young, Signed(youngSocket));
        Assert.Equal(KickedReason.KrNewSession, oldSocket.Sent[^1].Kicked.Reason);
        Assert.Equal(CloseReason.NewSession, oldSocket.Closed);
        await Send(young, Beat(1));
        await old.EndAsync(); // its socket closes late
        Assert.Equal(["connect", "disconnect", "connect", "heartbeat"], published.Select(subject => subject[$"peer.{owner.Address}.".Length..]));
        Assert.True(services.Registry.TryFind(owner.Address, out Session? found));
        Assert.Same(young, found);
        await young.EndAsync();
        await young.EndAsync();
        Assert.Equal(5, published.Count);
        Assert.Equal(0, services.Registry.Count);
    }

    [Fact]
    public async Task The_handshake_timer_runs_at_first_and_after_the_challenge_but_not_after_the_welcome()
    {
        (_, FakeSocket silent) = Open();
        (Session half, FakeSocket halfSocket) = Open();
        clock.Advance(TimeSpan.FromSeconds(59));
        await Send(half, Request(owner.Address));
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(CloseReason.HandshakeTimeout, silent.Closed);
        Assert.Null(halfSocket.Closed);
        clock.Advance(TimeSpan.FromSeconds(59));
        Assert.Equal(CloseReason.HandshakeTimeout, halfSocket.Closed);

        (_, FakeSocket welcomed) = await WelcomedAsync();
        clock.Advance(TimeSpan.FromHours(5));
        Assert.Null(welcomed.Closed);
    }

    [Fact]
    public async Task Island_changes_are_sent_after_the_welcome_only()
    {
        byte[] change = new IslandChangedMessage { IslandId = "I7" }.ToByteArray();
        (Session waiting, FakeSocket waitingSocket) = Open();
        waiting.SendIslandChange(change);
        Assert.Empty(waitingSocket.Sent);
        (Session session, FakeSocket socket) = await WelcomedAsync();
        session.SendIslandChange(change);
        Assert.Equal("I7", socket.Sent[^1].IslandChanged.IslandId);
        await session.EndAsync();
        session.SendIslandChange(change);
        Assert.Single(socket.Sent, p => p.MessageCase == ServerPacket.MessageOneofCase.IslandChanged);
    }

    [Fact]
    public async Task The_denied_are_turned_away_by_claim_and_by_signature()
    {
        using EthereumKey other = EthereumKey.Create();
        await using StubServer list = await StubServer.StartAsync(c => c.Response.WriteAsync($$"""{"users":[{"wallet":"{{owner.Address.ToUpperInvariant()}}"},{"x":1},7]}"""));
        services = Services(new() { ["DENYLIST_URL"] = list.Url });
        (Session claims, FakeSocket claimsSocket) = Open();
        await Send(claims, Request(owner.Address));
        Assert.Equal(CloseReason.NotAllowed, claimsSocket.Closed);

        (Session signs, FakeSocket signsSocket) = Open();
        await Send(signs, Request(other.Address));
        await Send(signs, Signed(signsSocket));
        Assert.Equal(CloseReason.NotAllowed, signsSocket.Closed);
        Assert.Single(list.Requests);
    }

    [Fact]
    public async Task A_deny_list_that_cannot_be_read_keeps_the_last_good_one()
    {
        string body = $$"""{"users":[{"wallet":"{{owner.Address}}"}]}""";
        await using StubServer list = await StubServer.StartAsync(c => c.Response.WriteAsync(body));
        services = Services(new() { ["DENYLIST_URL"] = list.Url });
        Assert.True(await services.DenyList.ContainsAsync(owner.Address, default));
        foreach (string bad in (string[])["nonsense", "{}", """{"users":7}""", "[]"])
        {
            body = bad;
            clock.Advance(TimeSpan.FromMinutes(5));
            Assert.True(await services.DenyList.ContainsAsync(owner.Address, default));
        }
        body = """{"users":[]}""";
        clock.Advance(TimeSpan.FromMinutes(4));
        Assert.True(await services.DenyList.ContainsAsync(owner.Address, default));
        clock.Advance(TimeSpan.FromMinutes(1));
        Assert.False(await services.DenyList.ContainsAsync(owner.Address, default));
        Assert.Equal(6, list.Requests.Count);
    }

    [Fact]
    public async Task The_banned_are_kicked_at_the_door_and_by_the_sweep()
    {
        bool banned = false;
        await using StubServer gatekeeper = await StubServer.StartAsync(c => c.Response.WriteAsync(banned ? """{"data":{"isBanned":true}}""" : "{}"));
        services = Services(new() { ["COMMS_GATEKEEPER_URL"] = gatekeeper.Url });
        (_, FakeSocket inside) = await WelcomedAsync();
        banned = true;
        using (var sweep = new BanSweep(services.Registry, services.Gatekeeper, services.Options, clock))
            await sweep.SweepAsync(default);
        Assert.Equal(CloseReason.NotAllowed, inside.Closed);
        Assert.Equal(ServerPacket.MessageOneofCase.Kicked, inside.Sent[^1].MessageCase);
        Assert.Equal([$"peer.{owner.Address}.connect", $"peer.{owner.Address}.disconnect"], published);

        (Session outside, FakeSocket outsideSocket) = Open();
        await Send(outside, Request(owner.Address));
        await Send(outside, Signed(outsideSocket));
        Assert.Equal(ServerPacket.MessageOneofCase.Kicked, outsideSocket.Sent[^1].MessageCase);
        Assert.Equal(CloseReason.NotAllowed, outsideSocket.Closed);
    }
}
