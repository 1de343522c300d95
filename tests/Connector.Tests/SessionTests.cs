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
public sealed class SessionTests : SessionTestBase
{
    [Fact]
    public async Task Who_signs_the_challenge_is_let_in_and_heard()
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        Assert.Matches("^dcl-[0-9a-f]{64}$", socket.Sent[0].ChallengeResponse.ChallengeToSign);
        Assert.False(socket.Sent[0].ChallengeResponse.AlreadyConnected);
        await Send(session, Beat(3));
        Assert.Equal([$"peer.{Owner.Address}.connect", $"peer.{Owner.Address}.heartbeat"], Published);
        Assert.Equal(3, Heartbeat.Parser.ParseFrom(Payloads[1]).Position.X);
        Assert.Null(socket.Closed);
    }

    [Fact]
    public async Task The_signer_is_the_identity_whatever_address_was_claimed()
    {
        (Session session, FakeSocket socket) = Open();
        await Send(session, Request("0x00000000000000000000000000000000000000AA"));
        await Send(session, Signed(socket));
        Assert.Equal(Owner.Address, socket.Sent[^1].Welcome.PeerId);
    }

    [Fact]
    public async Task Each_challenge_is_different_and_signs_for_its_own_socket_only()
    {
        (Session first, FakeSocket one) = Open();
        (Session second, FakeSocket two) = Open();
        await Send(first, Request(Owner.Address));
        await Send(second, Request(Owner.Address));
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
        foreach (ClientPacket packet in (ClientPacket[])[Beat(1), new(), Request(Owner.Address)])
        {
            (Session session, FakeSocket socket) = Open();
            await Send(session, Request(Owner.Address));
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
        await Send(session, Request(Owner.Address));
        chain = chain.Replace("CHALLENGE", socket.Sent[0].ChallengeResponse.ChallengeToSign, StringComparison.Ordinal);
        await Send(session, new ClientPacket { SignedChallenge = new SignedChallengeMessage { AuthChainJson = chain } });
        Assert.Equal(CloseReason.BadAuthentication, socket.Closed);
        await session.EndAsync();
        Assert.Empty(Published);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Bytes_that_are_no_packet_close_with_1007_in_every_state(int stage)
    {
        (Session session, FakeSocket socket) = stage == 2 ? await WelcomedAsync() : Open();
        if (stage == 1)
            await Send(session, Request(Owner.Address));
        await session.HandleAsync(new byte[] { 1, 2, 3, 4, 5, 6 });
        Assert.Equal(new CloseReason(1007, "Cannot decode ClientPacket"), socket.Closed);
    }

    [Fact]
    public async Task Other_packets_after_the_welcome_are_ignored()
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        await Send(session, Request(Owner.Address));
        await Send(session, new ClientPacket());
        Assert.Null(socket.Closed);
        Assert.Equal([$"peer.{Owner.Address}.connect"], Published);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public async Task Positions_that_are_not_finite_never_reach_the_bus(float x)
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        await Send(session, Beat(x));
        Assert.Equal([$"peer.{Owner.Address}.connect"], Published);
        Assert.Null(socket.Closed);
        Assert.Contains("archipelago_heartbeats_dropped_total{reason=\"not_finite\"} 1\n", Scrape(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task While_a_session_is_ending_a_new_one_waits_until_its_departure_is_out()
    {
        (Session old, FakeSocket _) = await WelcomedAsync();
        Task? young = null;
        FakeSocket? youngSocket = null;
        // In the middle of announcing the departure, the same person comes back on another thread.
        using IDisposable _ = Wire.Subscribe("peer.*.disconnect", _ =>
        {
            if (young is not null)
                return;
            (Session session, youngSocket) = Open();
            young = Task.Run(async () =>
            {
                await Send(session, Request(Owner.Address));
                await Send(session, Signed(youngSocket));
                await Send(session, Beat(1));
            });
            Assert.False(young.Wait(TimeSpan.FromMilliseconds(200)), "welcomed before the departure of the earlier session was out");
        });
        await old.EndAsync();
        await young!;
        Assert.Equal(ServerPacket.MessageOneofCase.Welcome, youngSocket!.Sent[^1].MessageCase);
        Assert.Equal(["connect", "disconnect", "connect", "heartbeat"], Words());
        Assert.True(connector.Registry.IsConnected(Owner.Address));
    }

    [Fact]
    public async Task A_session_asks_for_its_island_until_it_has_heard_of_one_and_then_now_and_again_and_passes_none_on_twice()
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        string Asked() => string.Join(' ', Published.Select((subject, i) => (subject, i)).Where(p => p.subject.EndsWith(".ask", StringComparison.Ordinal)).Select(p => $"[{System.Text.Encoding.UTF8.GetString(Payloads[p.i])}]"));
        async Task AfterAsync(int seconds)
        {
            Clock.Advance(TimeSpan.FromSeconds(seconds));
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
        await session.HandleAsync(Convert.FromHexString("1a130a0f0d0000803f15000000401d000040401a00f80601"));
        Assert.Equal("0a0f0d0000803f15000000401d00004040", Convert.ToHexStringLower(Payloads[1]));
    }

    [Fact]
    public async Task A_new_session_of_an_address_ends_the_earlier_one_first()
    {
        (Session old, FakeSocket oldSocket) = await WelcomedAsync();
        (Session young, FakeSocket youngSocket) = Open();
        await Send(young, Request(Owner.Address.ToUpperInvariant().Replace("0X", "0x", StringComparison.Ordinal)));
        Assert.True(youngSocket.Sent[0].ChallengeResponse.AlreadyConnected);
        await Send(young, Signed(youngSocket));
        Assert.Equal(KickedReason.KrNewSession, oldSocket.Sent[^1].Kicked.Reason);
        Assert.Equal(CloseReason.NewSession, oldSocket.Closed);
        await Send(young, Beat(1));
        await old.EndAsync(); // its socket closes late
        Assert.Equal(["connect", "disconnect", "superseded", "connect", "heartbeat"], Words());
        Assert.True(connector.Registry.TryFind(System.Text.Encoding.ASCII.GetBytes(Owner.Address), out Session? found));
        Assert.Same(young, found);
        await young.EndAsync();
        await young.EndAsync();
        Assert.Equal(6, Published.Count);
        Assert.Equal(0, connector.Registry.Count);
    }

    [Fact]
    public async Task The_handshake_timer_runs_at_first_and_after_the_challenge_but_not_after_the_welcome()
    {
        (_, FakeSocket silent) = Open();
        (Session half, FakeSocket halfSocket) = Open();
        Clock.Advance(TimeSpan.FromSeconds(59));
        await Send(half, Request(Owner.Address));
        Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(CloseReason.HandshakeTimeout, silent.Closed);
        Assert.Null(halfSocket.Closed);
        Clock.Advance(TimeSpan.FromSeconds(59));
        Assert.Equal(CloseReason.HandshakeTimeout, halfSocket.Closed);

        (_, FakeSocket welcomed) = await WelcomedAsync();
        Clock.Advance(TimeSpan.FromHours(5));
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
        await using StubServer list = await StubServer.StartAsync(c => c.Response.WriteAsync($$"""{"users":[{"wallet":"{{Owner.Address.ToUpperInvariant()}}"},{"x":1},7]}"""));
        connector = Start(new() { ["DENYLIST_URL"] = list.Url });
        (Session claims, FakeSocket claimsSocket) = Open();
        await Send(claims, Request(Owner.Address));
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
        string body = $$"""{"users":[{"wallet":"{{Owner.Address}}"}]}""";
        await using StubServer list = await StubServer.StartAsync(c => c.Response.WriteAsync(body));
        connector = Start(new() { ["DENYLIST_URL"] = list.Url });
        Assert.True(await IsDeniedAsync());
        foreach (string bad in (string[])["nonsense", "{}", """{"users":7}""", "[]"])
        {
            body = bad;
            Clock.Advance(TimeSpan.FromMinutes(5));
            Assert.True(await IsDeniedAsync());
            await connector.DenyList.Fetch;
            Assert.True(await IsDeniedAsync());
        }
        body = """{"users":[]}""";
        Clock.Advance(TimeSpan.FromMinutes(4));
        Assert.True(await IsDeniedAsync());
        Clock.Advance(TimeSpan.FromMinutes(1));
        await IsDeniedAsync();
        await connector.DenyList.Fetch;
        Assert.False(await IsDeniedAsync());
        Assert.Equal(6, list.Requests.Count);
    }

    [Fact]
    public async Task The_banned_are_kicked_at_the_door_and_by_the_sweep()
    {
        bool banned = false;
        await using StubServer gatekeeper = await StubServer.StartAsync(c => c.Response.WriteAsync(banned ? """{"data":{"isBanned":true}}""" : "{}"));
        connector = Start(new() { ["COMMS_GATEKEEPER_URL"] = gatekeeper.Url });
        (_, FakeSocket inside) = await WelcomedAsync();
        banned = true;
        using (var sweep = new BanSweep(connector.Registry, connector.Gatekeeper, connector.Options, connector.Metrics, Clock))
            await sweep.SweepAsync(default);
        Assert.Equal(CloseReason.NotAllowed, inside.Closed);
        Assert.Equal(ServerPacket.MessageOneofCase.Kicked, inside.Sent[^1].MessageCase);
        Assert.Equal([$"peer.{Owner.Address}.connect", $"peer.{Owner.Address}.disconnect"], Published);

        (Session outside, FakeSocket outsideSocket) = Open();
        await Send(outside, Request(Owner.Address));
        await Send(outside, Signed(outsideSocket));
        Assert.Equal(ServerPacket.MessageOneofCase.Kicked, outsideSocket.Sent[^1].MessageCase);
        Assert.Equal(CloseReason.NotAllowed, outsideSocket.Closed);
    }
}
