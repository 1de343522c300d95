using Archipelago.Ethereum;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Connector.Tests;

/// <summary>One person, one session, wherever it is.</summary>
public sealed class SupersedeTests : SessionTestBase
{
    private static bool WasKicked(FakeSocket socket) => socket.Sent[^1].MessageCase == ServerPacket.MessageOneofCase.Kicked && socket.Closed == CloseReason.NewSession;

    private void Later() => Clock.Advance(TimeSpan.FromSeconds(10));

    [Fact]
    public async Task A_session_at_another_Connector_ends_the_earlier_one_and_its_late_close_is_no_departure()
    {
        TestConnector other = Start([]);
        (Session old, FakeSocket oldSocket) = await WelcomedAsync();
        await Send(old, Beat(1));
        Later();
        (Session young, FakeSocket youngSocket) = await WelcomedAsync(at: other);
        Assert.True(WasKicked(oldSocket));
        Assert.Equal(0, connector.Registry.Count);
        await old.EndAsync(); // its socket closes late
        await Send(old, Beat(2));
        await Send(young, Beat(3));
        Assert.Equal(["connect", "heartbeat", "connect", "superseded", "heartbeat"], Words());
        Assert.Null(youngSocket.Closed);
        await young.EndAsync();
        Assert.Equal("disconnect", Words().Last());
        Assert.Contains("archipelago_sessions_superseded_total 1\n", Scrape(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_announcement_carries_the_sessions_key_and_a_header_of_ours()
    {
        using EphemeralIdentity device = Device();
        (string Key, bool Named) announced = ("", false);
        using IDisposable _ = Wire.Subscribe(Subjects.AllConnects, m => announced = (System.Text.Encoding.UTF8.GetString(m.Payload), SessionHeaders.TryRead(m.Headers, out SessionStamp _)));
        Session session = (await AnsweredAsync(device: device)).Session;
        string chain = device.SignChain("x");
        Assert.Contains(announced.Key, chain, StringComparison.OrdinalIgnoreCase);
        Assert.NotEqual(Owner.Address, announced.Key);
        Assert.True(EthereumAddress.IsAddress(announced.Key) && announced.Named);

        Assert.True(session.HasKey(System.Text.Encoding.UTF8.GetBytes(announced.Key)));
        Assert.False(session.HasKey("0xother"u8));
    }

    [Fact]
    public async Task An_island_change_for_one_session_reaches_that_session_alone()
    {
        using EphemeralIdentity device = Device();
        string key = "";
        using IDisposable _ = Wire.Subscribe(Subjects.AllConnects, m => key = System.Text.Encoding.UTF8.GetString(m.Payload));
        (Session session, FakeSocket socket) = await AnsweredAsync(device: device);
        var relay = new IslandChangeRelay(connector.Services.Bus, connector.Registry, new TermFence(TimeProvider.System));
        await relay.StartAsync(default);
        int before = socket.Sent.Count;
        await Wire.PublishAsync(Subjects.IslandChanged(Owner.Address, "0xanother"), new IslandChangedMessage { IslandId = "I1" }.ToByteArray());
        await Wire.PublishAsync(Subjects.IslandChanged(Owner.Address, key), new IslandChangedMessage { IslandId = "I2" }.ToByteArray());
        await Wire.PublishAsync(Subjects.IslandChanged(Owner.Address), new IslandChangedMessage { IslandId = "I3" }.ToByteArray());
        await Wire.PublishAsync(Subjects.IslandChanged("0xnobody"), new IslandChangedMessage { IslandId = "I4" }.ToByteArray());
        Assert.Equal(["I2", "I3"], socket.Sent.Skip(before).Select(p => p.IslandChanged.IslandId));
        await relay.StopAsync(default);
        await session.EndAsync();
    }

    [Fact]
    public async Task A_Service_that_has_been_overtaken_is_not_heard_any_more()
    {
        using EphemeralIdentity device = Device();
        string key = "";
        using IDisposable _ = Wire.Subscribe(Subjects.AllConnects, m => key = System.Text.Encoding.UTF8.GetString(m.Payload));
        (Session session, FakeSocket socket) = await AnsweredAsync(device: device);
        var fence = new TermFence(Clock);
        var relay = new IslandChangeRelay(connector.Services.Bus, connector.Registry, fence);
        await relay.StartAsync(default);
        int before = socket.Sent.Count;
        ValueTask Tell(string island, long term, string? toKey = null) => Wire.PublishAsync(
            toKey is null ? Subjects.IslandChanged(Owner.Address) : Subjects.IslandChanged(Owner.Address, toKey), new IslandChangedMessage { IslandId = island }.ToByteArray(), headers: term == 0 ? default : TermFence.HeadersOf(term));
        await Tell("I1", 0);
        await Tell("I2", 7);
        await Tell("I3", 0);
        await Tell("I4", 6, key);
        // Another says that it leads, before it says anything else.
        await Wire.PublishAsync(Subjects.Leader, new LeaderStatus { Term = 8 }.ToByteArray(), headers: TermFence.HeadersOf(8));
        await Tell("I5", 7);
        await Tell("I6", 8, key);
        Assert.Equal(["I1", "I2", "I6"], socket.Sent.Skip(before).Select(p => p.IslandChanged.IslandId));
        Assert.Equal(3, fence.Dropped);
        // When it has not been heard of for long, a Service without standbys may take its place.
        Clock.Advance(TermFence.Memory);
        await Tell("I7", 0);
        Assert.Equal("I7", socket.Sent[^1].IslandChanged.IslandId);
        await relay.StopAsync(default);
        await session.EndAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Of_two_announcements_that_cross_exactly_one_session_stays(bool sameDevice)
    {
        using EphemeralIdentity device = Device();
        // The bus of each Connector holds back what the other says, as it is on the way.
        for (int round = 0; round < 20; round++)
        {
            var bus = new InProcessBroker();
            await using TestConnector a = Hold(bus, out Action<bool> letThroughToA), b = Hold(bus, out Action<bool> letThroughToB);
            (Session _, FakeSocket atA) = await AnsweredAsync(a, device: sameDevice ? device : null);
            Clock.Advance(TimeSpan.FromMilliseconds(round % 3)); // the same millisecond, or not
            (Session _, FakeSocket atB) = await AnsweredAsync(b, device: sameDevice ? device : null);
            letThroughToA(true);
            letThroughToB(true);
            Assert.Equal(1, a.Registry.Count + b.Registry.Count);
            Assert.Equal(a.Registry.Count == 0, WasKicked(atA));
            Assert.Equal(b.Registry.Count == 0, WasKicked(atB));
        }

        TestConnector Hold(InProcessBroker broker, out Action<bool> letThrough)
        {
            var held = new HeldBus(broker.Connect(echo: false));
            letThrough = held.Release;
            return new TestConnector(held, Clock, []);
        }
    }

    /// <summary>A bus on which messages take their time to arrive.</summary>
    private sealed class HeldBus(IMessageBus inner) : IMessageBus
    {
        private readonly List<Action> arriving = [];
        private bool released;

        public bool IsConnected => true;

        public int MaxPayload => inner.MaxPayload;

        public void Release(bool all)
        {
            released = all;
            arriving.ForEach(a => a());
        }

        public ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers) =>
            inner.PublishAsync(subject, payload, whenDisconnected, cancellationToken, headers);

        public IDisposable Subscribe(string pattern, MessageHandler handler) => inner.Subscribe(pattern, m =>
        {
            (byte[] subject, byte[] payload, byte[] headers) = (m.Subject.ToArray(), m.Payload.ToArray(), m.Headers.ToArray());
            if (released)
                handler(m);
            else
                arriving.Add(() => handler(new BusMessage(subject, payload, headers)));
        });

        public Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    [Fact]
    public async Task An_announcement_that_comes_late_ends_no_newer_session_and_its_Connector_is_told_of_it()
    {
        SessionStamp told = default;
        (Session session, FakeSocket socket) = await WelcomedAsync();
        await Send(session, Beat(1));
        Later();
        using IDisposable _ = Wire.Subscribe(Subjects.AllAsks, m => SessionHeaders.TryRead(m.Headers, out told));
        // It waited in a Connector that the bus was out of reach for.
        await Wire.PublishAsync(Subjects.Connect(Owner.Address), "0xkey"u8.ToArray(), headers: new SessionStamp(5, 5).ToHeaders());
        Assert.Null(socket.Closed);
        Assert.True(told.CompareTo(new SessionStamp(5, 5)) > 0);
    }

    [Fact]
    public async Task Somebody_who_is_being_sent_away_does_not_end_the_session_that_is_there()
    {
        (Session old, FakeSocket oldSocket) = await WelcomedAsync();
        (Session doomed, FakeSocket doomedSocket) = Open();
        await Send(doomed, Request(Owner.Address));
        ClientPacket answer = Signed(doomedSocket);
        doomed.SendAway();
        await Send(doomed, answer);
        Assert.Null(oldSocket.Closed);
        Assert.True(connector.Registry.TryFind(System.Text.Encoding.ASCII.GetBytes(Owner.Address), out Session? found));
        Assert.Same(old, found);
        await doomed.EndAsync();
    }

    [Fact]
    public async Task Whoever_comes_third_is_heard_only_after_the_departure_of_the_first()
    {
        // The bus takes its time with the departure of the first, while the second is on its way in and the third after it.
        var slow = new SlowBus(Wire);
        connector = new TestConnector(slow, Clock, []);
        (Session _, FakeSocket _) = await WelcomedAsync();
        (Session secondSession, FakeSocket secondSocket) = Open();
        await Send(secondSession, Request(Owner.Address));
        (Session thirdSession, FakeSocket thirdSocket) = Open();
        await Send(thirdSession, Request(Owner.Address));
        ClientPacket secondAnswer = Signed(secondSocket), thirdAnswer = Signed(thirdSocket);
        slow.Holds = true;
        Task comingSecond = Send(secondSession, secondAnswer).AsTask();
        await Testing.Eventually.TrueAsync(() => connector.Registry.TryFind(System.Text.Encoding.ASCII.GetBytes(Owner.Address), out Session? holder) && holder == secondSession);
        Task comingThird = Send(thirdSession, thirdAnswer).AsTask();
        await Testing.Eventually.TrueAsync(() => connector.Registry.TryFind(System.Text.Encoding.ASCII.GetBytes(Owner.Address), out Session? holder) && holder == thirdSession);
        Assert.DoesNotContain(thirdSocket.Sent, p => p.MessageCase == ServerPacket.MessageOneofCase.Welcome);
        slow.Release();
        await comingSecond;
        await comingThird;
        await Send(thirdSession, Beat(3));
        Assert.Equal(["connect", "disconnect", "superseded", "connect", "heartbeat"], Words());
        await connector.DisposeAsync();
    }

    /// <summary>A bus that pushes back.</summary>
    private sealed class SlowBus(IMessageBus inner) : IMessageBus
    {
        private readonly TaskCompletionSource released = new();

        public bool Holds { get; set; }

        public bool IsConnected => true;

        public int MaxPayload => inner.MaxPayload;

        public void Release()
        {
            Holds = false;
            released.SetResult();
        }

        public async ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers)
        {
            if (Holds)
                await released.Task;
            await inner.PublishAsync(subject, payload, whenDisconnected, cancellationToken, headers);
        }

        public IDisposable Subscribe(string pattern, MessageHandler handler) => inner.Subscribe(pattern, handler);

        public Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    [Fact]
    public async Task A_Connector_that_is_not_ours_is_believed()
    {
        (Session _, FakeSocket socket) = await WelcomedAsync();
        await Wire.PublishAsync(Subjects.Connect(Owner.Address), "0xkey"u8.ToArray());
        Assert.True(WasKicked(socket));
    }

    [Fact]
    public async Task Two_sessions_whose_announcements_were_lost_notice_each_other_when_one_asks_for_its_island()
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        await Wire.PublishAsync(Subjects.Ask(Owner.Address), default, headers: new SessionStamp(5, 1).ToHeaders());
        Assert.Null(socket.Closed); // the other is the older one, and will hear of it
        await Wire.PublishAsync(Subjects.Ask(Owner.Address), default, headers: new SessionStamp(long.MaxValue, 1).ToHeaders());
        Assert.True(WasKicked(socket));
        await session.EndAsync();
        Assert.DoesNotContain("disconnect", Words());
    }

    [Fact]
    public async Task Twins_that_come_back_at_once_are_let_in_once_in_a_cool_down()
    {
        TestConnector other = Start([]);
        using EphemeralIdentity ann = Device(), twin = Device();
        int welcomed = 0;
        (EphemeralIdentity Device, TestConnector At)[] clients = [(ann, connector), (twin, other)];
        FakeSocket?[] inside = new FakeSocket?[2];
        // Each comes back the moment that it finds itself outside, sixty seconds long, twenty times a second.
        for (int step = 0; step < 60 * 20; step++)
        {
            for (int i = 0; i < 2; i++)
            {
                if (inside[i] is { Closed: null })
                    continue;
                (_, inside[i]) = await AnsweredAsync(clients[i].At, device: clients[i].Device);
                welcomed += inside[i]!.Closed is null ? 1 : 0;
            }
            Clock.Advance(TimeSpan.FromMilliseconds(50));
        }
        // The first two at once, and then one every five seconds, where it would have been one in fifty milliseconds.
        Assert.InRange(welcomed, 11, 14);
        Assert.Equal(1, connector.Registry.Count + other.Registry.Count);
        Assert.Contains("archipelago_limit_exceeded_total{limit=\"supersede_cooldown\"}", Scrape(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Once_the_newer_session_has_gone_the_address_may_come_back_at_once(bool elsewhere)
    {
        TestConnector at = elsewhere ? Start([]) : connector;
        await WelcomedAsync();
        Later();
        (Session young, _) = await WelcomedAsync(at: at);
        (_, FakeSocket refused) = await AnsweredAsync();
        Assert.Equal(CloseReason.CoolingDown, refused.Closed);
        await young.EndAsync();
        await WelcomedAsync();
    }

    [Fact]
    public async Task A_cool_down_of_nothing_lets_everybody_in_and_counts_all_the_same()
    {
        connector = Start(new() { ["SUPERSEDE_COOLDOWN_MS"] = "0" });
        await WelcomedAsync();
        await WelcomedAsync();
        await WelcomedAsync();
        Assert.Contains("archipelago_limit_exceeded_total{limit=\"supersede_cooldown\"} 1\n", Scrape(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_cool_down_ends_after_its_time()
    {
        await WelcomedAsync();
        await WelcomedAsync();
        Clock.Advance(TimeSpan.FromMilliseconds(4999));
        (_, FakeSocket refused) = await AnsweredAsync();
        Assert.Equal(CloseReason.CoolingDown, refused.Closed);
        Clock.Advance(TimeSpan.FromMilliseconds(1));
        await WelcomedAsync();
    }

    [Fact]
    public void A_stamp_is_later_than_all_that_were_heard_of_whatever_the_clocks_say()
    {
        var stamps = new SessionClock(Clock);
        SessionStamp first = stamps.Next(), second = stamps.Next();
        Assert.True(second.CompareTo(first) > 0);
        // A Connector whose clock is ten minutes ahead, and one that is out of its mind.
        SessionStamp ahead = new(second.Began + 600_000, ulong.MaxValue), mad = new(long.MaxValue - 1, 1);
        stamps.Hear(ahead);
        stamps.Hear(mad);
        SessionStamp third = stamps.Next();
        Assert.True(third.CompareTo(ahead) > 0);
        Assert.True(third.CompareTo(mad) < 0);
        stamps.Hear(first);
        Assert.True(stamps.Next().CompareTo(third) > 0);
    }

    [Fact]
    public async Task Who_moves_to_another_Connector_at_once_stays_there_whatever_the_clocks_say()
    {
        for (int i = 0; i < 20; i++)
        {
            using EthereumKey person = EthereumKey.Create();
            TestConnector other = Start([]);
            (_, FakeSocket first) = await WelcomedAsync(person);
            (_, FakeSocket second) = await WelcomedAsync(person, other);
            Assert.True(WasKicked(first));
            }
    }

    [Fact]
    public void Stamps_are_read_as_they_were_written_and_nothing_else_is_a_stamp()
    {
        var stamp = new SessionStamp(1_768_478_400_000, 0xFEDCBA9876543210);
        Assert.True(SessionHeaders.TryRead(stamp.ToHeaders(), out SessionStamp read));
        Assert.Equal(stamp, read);
        foreach (string text in (string[])["", "-", "1-", "-1", "1-x", "1-1 ", "1-1-1", "1", "99999999999999999999-1", "1-11111111111111111"])
            Assert.Equal(text == "1-1 ", SessionHeaders.TryRead(BusHeaders.Of(Subjects.SessionHeader, text), out _)); // white space around a value is none of it
        Assert.False(SessionHeaders.TryRead(default, out _));
    }
}
