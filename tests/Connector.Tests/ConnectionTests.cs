using Archipelago.Testing;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Connector.Tests;

/// <summary>A connection and its session without a network, by a clock that stands still.</summary>
public sealed class ConnectionTests : SessionTestBase
{
    private readonly SocketSet sockets = new();

    private (MemoryClient Client, WebSocketConnection Connection, Session Session, Task Running) Connect()
    {
        var client = new MemoryClient();
        var connection = new WebSocketConnection(client, client.Abort, connector.Options, connector.Metrics, Clock);
        var session = new Session(connector.Services, connection);
        sockets.Add(connection, session);
        return (client, connection, session, connection.RunAsync(session));
    }

    private static byte[] Binary(IMessage packet) => MemoryClient.Frame(FrameKind.Binary, packet.ToByteArray());

    private async Task<(MemoryClient Client, WebSocketConnection Connection, Session Session, Task Running)> EnterAsync()
    {
        var entered = Connect();
        await entered.Client.SendAsync(Binary(Request(Owner.Address)));
        var challenge = ServerPacket.Parser.ParseFrom((await entered.Client.ReceiveAsync())!.Value.Payload).ChallengeResponse;
        using Ethereum.EphemeralIdentity device = Device();
        await entered.Client.SendAsync(Binary(new ClientPacket { SignedChallenge = new SignedChallengeMessage { AuthChainJson = device.SignChain(challenge.ChallengeToSign) } }));
        Assert.Equal(Owner.Address, ServerPacket.Parser.ParseFrom((await entered.Client.ReceiveAsync())!.Value.Payload).Welcome.PeerId);
        // The signature was checked on another thread. Once that one waits for the client again, everything happens on the test's own.
        await Eventually.TrueAsync(async () =>
        {
            entered.Client.Forget();
            await entered.Client.SendAsync(MemoryClient.Frame(FrameKind.Ping, default));
            return entered.Client.Forget() > 0;
        });
        return entered;
    }

    private SocketSweep Sweep() => new(sockets, connector.Options, connector.Metrics, Clock);

    [Fact]
    public async Task Heartbeats_go_in_and_island_changes_out_without_an_allocation()
    {
        connector = Start(new() { ["MAX_HEARTBEATS_PER_SECOND"] = "1000" });
        var (client, _, session, running) = await EnterAsync();
        // The bus that the test listens to keeps everything, which is not what is measured here.
        byte[] heartbeat = Binary(SessionTestBase.Beat(7));
        byte[][] changes = [new IslandChangedMessage { IslandId = "I1", ConnStr = new string('c', 500) }.ToByteArray(), new IslandChangedMessage { IslandId = "I2", ConnStr = new string('c', 500) }.ToByteArray()];
        int before = Published.Count;
        Published.Capacity = Payloads.Capacity = 40_000;
        Beat(10);
        Tell(10);
        int kept = Published.Count - before;
        Assert.Equal(10, kept);

        Recording = false;
        long start = GC.GetAllocatedBytesForCurrentThread();
        Beat(500);
        Tell(500);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - start);
        Recording = true;
        client.Abort();
        await running;

        void Beat(int times)
        {
            for (int i = 0; i < times; i++)
                client.Send(heartbeat);
        }

        void Tell(int times)
        {
            for (int i = 0; i < times; i++)
            {
                session.SendIslandChange(changes[i % 2]);
                Assert.True(client.Forget() > 500);
            }
        }
    }

    [Fact]
    public async Task Who_is_silent_is_pinged_after_74_seconds_and_given_up_after_90()
    {
        var (client, _, _, running) = await EnterAsync();
        using SocketSweep sweep = Sweep();
        void After(int seconds)
        {
            Clock.Advance(TimeSpan.FromSeconds(seconds));
            sweep.Sweep();
        }
        After(73);
        Assert.Equal(0, client.Forget());
        After(1);
        Assert.Equal(0x89, (await client.ReceiveAsync())!.Value.First);
        After(1);
        Assert.Equal(0, client.Forget()); // asked once
        await client.SendAsync(MemoryClient.Frame(FrameKind.Pong, default));
        After(73);
        Assert.Equal(0, client.Forget());
        After(1);
        Assert.Equal(0x89, (await client.ReceiveAsync())!.Value.First);
        After(15);
        Assert.False(client.Aborted);
        After(1);
        Assert.True(client.Aborted);
        await running;
        Assert.Equal("disconnect", Words().Last());
    }

    [Fact]
    public async Task A_ping_is_answered_with_its_payload_and_a_close_with_its_code()
    {
        var (client, _, _, running) = await EnterAsync();
        await client.SendAsync(MemoryClient.Frame(FrameKind.Ping, "are you there"u8));
        (byte first, byte[] payload) = (await client.ReceiveAsync())!.Value;
        Assert.Equal((0x8A, "are you there"), (first, System.Text.Encoding.ASCII.GetString(payload)));
        await client.SendAsync(MemoryClient.Frame(FrameKind.Close, [0x0F, 0xA0]));
        (first, payload) = (await client.ReceiveAsync())!.Value;
        Assert.Equal((0x88, "0FA0"), (first, Convert.ToHexString(payload)));
        await running;
        Assert.Equal("disconnect", Words().Last());
    }

    [Fact]
    public async Task Bytes_that_are_no_frames_close_with_1002_and_are_read_until_the_client_has_gone()
    {
        var (client, connection, _, running) = Connect();
        await client.SendAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray());
        (byte first, byte[] payload) = (await client.ReceiveAsync())!.Value;
        Assert.Equal((0x88, 1002), (first, (payload[0] << 8) | payload[1]));
        await client.SendAsync(new byte[100_000]);
        Assert.False(running.IsCompleted);
        using SocketSweep sweep = Sweep();
        Clock.Advance(TimeSpan.FromSeconds(1.1)); // strangers get a second to answer
        sweep.Sweep();
        Assert.True(client.Aborted);
        await running;
        Assert.True(connection.Closing > TimeSpan.Zero);
    }

    [Fact]
    public async Task What_a_client_does_not_read_is_replaced_by_the_latest_and_then_it_is_given_up()
    {
        var (client, _, session, running) = await EnterAsync();
        using SocketSweep sweep = Sweep();
        byte[] Change(int i) => new IslandChangedMessage { IslandId = $"I{i}", ConnStr = new string('c', 100_000) }.ToByteArray();
        // The first fills the pipe and waits there, the second waits behind it, and all later ones take its place.
        for (int i = 1; i <= 50; i++)
            session.SendIslandChange(Change(i));
        Assert.Contains("archipelago_island_changes_replaced_total 48\n", Scrape(), StringComparison.Ordinal);
        Clock.Advance(TimeSpan.FromSeconds(10));
        sweep.Sweep();
        Assert.True(session.IsCompleted);
        Clock.Advance(TimeSpan.FromSeconds(1));
        sweep.Sweep();
        Assert.Equal("disconnect", Words().Last());
        Assert.Contains("archipelago_limit_exceeded_total{limit=\"send_timeout\"} 1\n", Scrape(), StringComparison.Ordinal);
        Clock.Advance(TimeSpan.FromSeconds(6));
        sweep.Sweep();
        Assert.True(client.Aborted);
        await running;
    }

    [Fact]
    public async Task An_island_that_was_overtaken_on_its_way_does_not_let_the_one_before_be_told_twice()
    {
        var (client, _, session, running) = await EnterAsync();
        byte[] Change(string id) => new IslandChangedMessage { IslandId = id, ConnStr = new string('c', 100_000) }.ToByteArray();
        session.SendIslandChange(Change("I1")); // fills the way
        session.SendIslandChange(Change("I2")); // waits behind it
        session.SendIslandChange(Change("I1")); // takes its place, and is what the client is being sent
        session.SendIslandChange(Change("I1"));
        var told = new List<string>();
        while (told.LastOrDefault() != "I3")
        {
            if (told.Count == 1)
                session.SendIslandChange(Change("I3"));
            told.Add(ServerPacket.Parser.ParseFrom((await client.ReceiveAsync())!.Value.Payload).IslandChanged.IslandId);
        }
        Assert.Equal(["I1", "I3"], told);
        client.Abort();
        await running;
    }

    [Fact]
    public async Task A_connection_that_outlives_its_session_is_cut()
    {
        var (client, connection, _, running) = Connect();
        await client.SendAsync(MemoryClient.Frame(FrameKind.Close, default));
        await running;
        sockets.Remove(connection, Clock.GetTimestamp());
        using SocketSweep sweep = Sweep();
        Clock.Advance(TimeSpan.FromSeconds(4.9));
        sweep.Sweep();
        Assert.False(client.Aborted);
        Clock.Advance(TimeSpan.FromSeconds(0.1));
        sweep.Sweep();
        Assert.True(client.Aborted);
    }

    [Fact]
    public async Task A_client_that_reads_late_gets_the_latest_island()
    {
        var (client, _, session, running) = await EnterAsync();
        for (int i = 1; i <= 50; i++)
            session.SendIslandChange(new IslandChangedMessage { IslandId = $"I{i}", ConnStr = new string('c', 60_000) }.ToByteArray());
        string last = "";
        while (last != "I50")
            last = ServerPacket.Parser.ParseFrom((await client.ReceiveAsync())!.Value.Payload).IslandChanged.IslandId;
        client.Abort();
        await running;
    }

    [Fact]
    public async Task A_host_that_stops_ends_its_sessions_one_after_the_other()
    {
        connector = Start(new() { ["DRAIN_WINDOW_MS"] = "10000" });
        var all = Enumerable.Range(0, 20).Select(_ => Connect()).ToList();
        var drain = new Drain(sockets, connector.Options, Clock);
        Task draining = drain.RunAsync();
        Assert.True(drain.HasBegun);
        int Closing() => all.Count(c => c.Connection.IsClosing);
        for (int second = 1; second <= 10; second++)
        {
            for (int step = 0; step < 20; step++)
            {
                Clock.Advance(TimeSpan.FromMilliseconds(50));
                int due = (int)((second - 1 + ((step + 1) / 20.0)) * 2);
                await Eventually.TrueAsync(() => Closing() >= due);
                Assert.InRange(Closing(), due, due + 1);
            }
        }
        await draining;
        (byte first, byte[] payload) = (await all[7].Client.ReceiveAsync())!.Value;
        Assert.Equal((0x88, 1012), (first, (payload[0] << 8) | payload[1]));
        foreach (var each in all)
            each.Client.Abort();
        await Task.WhenAll(all.Select(c => c.Running));
    }
}
