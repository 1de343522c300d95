using System.Net;
using Archipelago.Ethereum;
using Archipelago.Hosting;
using Archipelago.Testing;
using Decentraland.Kernel.Comms.V3;

namespace Archipelago.Connector.Tests;

/// <summary>Each limit at its edge, and switched off.</summary>
public sealed class LimitTests : SessionTestBase
{
    private int X(int index) => (int)Heartbeat.Parser.ParseFrom(Payloads[index]).Position.X;

    private string Exceeded(string limit, int times) => $"archipelago_limit_exceeded_total{{limit=\"{limit}\"}} {times}\n";

    [Fact]
    public async Task Twenty_heartbeats_at_once_go_through_and_of_more_the_latest_does_when_its_time_has_come()
    {
        (Session session, FakeSocket socket) = await WelcomedAsync();
        for (int i = 1; i <= 20; i++)
            await Send(session, Beat(i));
        Assert.Equal(21, Published.Count); // and the arrival
        for (int i = 21; i <= 60; i++)
            await Send(session, Beat(i));
        Assert.Equal(21, Published.Count);
        Clock.Advance(TimeSpan.FromMilliseconds(49));
        Assert.Equal(21, Published.Count);
        Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(22, Published.Count);
        Assert.Equal(60, X(21));
        Assert.Null(socket.Closed);
        Assert.Contains(Exceeded("heartbeat_rate", 40), Scrape(), StringComparison.Ordinal);
        Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(22, Published.Count);
    }

    [Fact]
    public async Task Who_sends_sixty_a_second_is_heard_twenty_times_a_second_and_never_out_of_order()
    {
        (Session session, _) = await WelcomedAsync();
        for (int i = 0; i < 600; i++)
        {
            await Send(session, Beat(i));
            Clock.Advance(TimeSpan.FromMilliseconds(1000.0 / 60));
        }
        Clock.Advance(TimeSpan.FromSeconds(1));
        int[] heard = [.. Enumerable.Range(1, Payloads.Count - 1).Select(X)];
        Assert.InRange(heard.Length, 200, 222);
        Assert.Equal(heard.Order(), heard);
        Assert.Equal(599, heard[^1]);
    }

    [Fact]
    public async Task Ten_a_second_for_an_hour_are_never_too_many()
    {
        (Session session, _) = await WelcomedAsync();
        for (int i = 0; i < 36_000; i++)
        {
            await Send(session, Beat(1));
            Clock.Advance(TimeSpan.FromMilliseconds(100));
        }
        Assert.Equal(36_001, Published.Count);
        Assert.Contains(Exceeded("heartbeat_rate", 0), Scrape(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_heartbeat_that_is_held_back_when_the_session_ends_is_never_published()
    {
        (Session session, _) = await WelcomedAsync();
        for (int i = 1; i <= 30; i++)
            await Send(session, Beat(i));
        await session.EndAsync();
        Clock.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal("disconnect", Words().Last());
    }

    [Fact]
    public async Task Without_a_limit_of_heartbeats_all_go_through_and_are_counted_all_the_same()
    {
        connector = Start(new() { ["MAX_HEARTBEATS_PER_SECOND"] = "0" });
        (Session session, _) = await WelcomedAsync();
        for (int i = 1; i <= 30; i++)
            await Send(session, Beat(i));
        Assert.Equal(31, Published.Count);
        Assert.Contains(Exceeded("heartbeat_rate", 10), Scrape(), StringComparison.Ordinal);
    }

    /// <summary>A bus that carries little.</summary>
    private sealed class NarrowBus(Messaging.IMessageBus inner) : Messaging.IMessageBus
    {
        public int MaxPayload { get; set; } = 100;

        public bool IsConnected { get; set; } = true;

        public ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, Messaging.WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers) =>
            payload.Length > MaxPayload || MaxPayload == 0 ? throw new ArgumentException("too large") : inner.PublishAsync(subject, payload, whenDisconnected, cancellationToken, headers);

        public IDisposable Subscribe(string pattern, Messaging.MessageHandler handler) => inner.Subscribe(pattern, handler);

        public Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    [Fact]
    public async Task What_the_bus_does_not_carry_is_dropped_and_counted_even_on_a_timers_thread()
    {
        var narrow = new NarrowBus(Wire);
        await using var small = new TestConnector(narrow, Clock, []);
        (Session session, FakeSocket socket) = await WelcomedAsync(at: small);
        await Send(session, Beat(1, new string('r', 200)));
        Assert.Contains("archipelago_heartbeats_dropped_total{reason=\"too_large\"} 1\n", small.Scrape(), StringComparison.Ordinal);
        for (int i = 0; i < 25; i++)
            await Send(session, Beat(i));
        narrow.MaxPayload = 0; // a server with other limits has taken its place
        Clock.Advance(TimeSpan.FromSeconds(1));
        narrow.MaxPayload = 100;
        Assert.Null(socket.Closed);
        Assert.Contains("archipelago_heartbeats_dropped_total{reason=\"bus_unreachable\"} 1\n", small.Scrape(), StringComparison.Ordinal);
        narrow.IsConnected = false;
        await Send(session, Beat(7));
        Assert.Contains("archipelago_heartbeats_dropped_total{reason=\"bus_unreachable\"} 2\n", small.Scrape(), StringComparison.Ordinal);
        await session.EndAsync().WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Theory]
    [InlineData(99.9f, true)]
    [InlineData(100, true)]
    [InlineData(100.1f, false)]
    [InlineData(-100.1f, false)]
    public async Task Heartbeats_from_outside_the_world_are_dropped_and_counted(float x, bool heard)
    {
        connector = Start(new() { ["WORLD_BOUNDS"] = "-100,-50,100,50" });
        (Session session, _) = await WelcomedAsync();
        await Send(session, Beat(x));
        Assert.Equal(heard ? 2 : 1, Published.Count);
        Assert.Contains($"archipelago_heartbeats_dropped_total{{reason=\"outside_the_world\"}} {(heard ? 0 : 1)}\n", Scrape(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("WORLD_BOUNDS", "1,2,3")]
    [InlineData("WORLD_BOUNDS", "5,0,1,1")]
    [InlineData("WORLD_BOUNDS", "a,b,c,d")]
    [InlineData("TRUSTED_PROXIES", "10.0.0.0/33")]
    [InlineData("TRUSTED_PROXIES", "somewhere")]
    [InlineData("MAX_WAITING_SOCKETS", "-1")]
    public void Options_that_cannot_be_are_refused_by_name(string name, string value)
    {
        Settings settings = RunningHost.Settings(new() { [name] = value });
        ConnectorOptions.Read(settings);
        Assert.Contains(name, Assert.Throws<ConfigurationException>(settings.ThrowIfFaulty).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_finds_the_signature_queue_full_is_told_to_come_again()
    {
        connector = Start(new() { ["MAX_VERIFYING"] = "1" });
        Assert.True(connector.Signatures.TryEnter(out SignatureQueue.Place place));
        (_, FakeSocket turnedAway) = await AnsweredAsync();
        Assert.Equal(CloseReason.Busy, turnedAway.Closed);
        place.Dispose();
        await WelcomedAsync();
        Assert.Contains(Exceeded("signature_queue", 1), Scrape(), StringComparison.Ordinal);
    }

    private static WaitingRoom Room(int capacity, Action? overflowed = null) =>
        new(new Limit(capacity, 3), address => IPAddress.IsLoopback(address), overflowed ?? (() => { }));

    private static readonly IPAddress Crowd = IPAddress.Parse("203.0.113.7"), Honest = IPAddress.Parse("198.51.100.1");

    [Fact]
    public void When_the_waiting_room_is_full_the_oldest_of_the_most_populous_prefix_makes_room()
    {
        var gone = new List<string>();
        WaitingRoom room = Room(4);
        room.Enter(Honest, () => gone.Add("honest"));
        room.Enter(Crowd, () => gone.Add("crowd 1"));
        room.Enter(Crowd, () => gone.Add("crowd 2"));
        room.Enter(IPAddress.Loopback, () => gone.Add("local"));
        Assert.Empty(gone);
        room.Enter(Crowd, () => gone.Add("crowd 3"));
        Assert.Equal(["crowd 1"], gone);
        room.Enter(IPAddress.Parse("192.0.2.9"), () => gone.Add("newcomer"));
        Assert.Equal(["crowd 1", "crowd 2"], gone);
        // All alone now: the oldest of all, and not those of loopback together.
        room.Enter(IPAddress.Loopback, () => gone.Add("local 2"));
        Assert.Equal("honest", gone[^1]);
        Assert.Equal(4, room.Count);
    }

    [Fact]
    public void Nobody_who_keeps_opening_connections_keeps_another_prefix_out()
    {
        WaitingRoom room = Room(100);
        bool sentAway = false;
        for (int i = 0; i < 1000; i++)
            room.Enter(Crowd, () => { });
        room.Enter(Honest, () => sentAway = true);
        for (int i = 0; i < 1000; i++)
            room.Enter(Crowd, () => { });
        Assert.False(sentAway);
        Assert.Equal(100, room.Count);
    }

    [Fact]
    public void Whoever_leaves_or_moves_makes_room_and_is_not_sent_away_any_more()
    {
        var gone = new List<int>();
        WaitingRoom room = Room(2);
        WaitingRoom.Place first = room.Enter(Crowd, () => gone.Add(1));
        first.Leave();
        first.Leave();
        Assert.False(first.Move(Honest, () => { }));
        WaitingRoom.Place second = room.Enter(Crowd, () => gone.Add(2));
        room.Enter(Crowd, () => gone.Add(3));
        Assert.True(second.Move(Honest, () => gone.Add(20)));
        room.Enter(IPAddress.Parse("192.0.2.9"), () => gone.Add(4));
        Assert.Equal([3], gone); // all prefixes alike, and it came before the other arrived anew
        Assert.Equal(2, room.Count);
    }

    [Fact]
    public void A_waiting_room_without_limit_sends_nobody_away_and_counts()
    {
        int overflowed = 0;
        WaitingRoom room = Room(0, () => overflowed++);
        for (int i = 0; i < 10; i++)
            room.Enter(Crowd, () => Assert.Fail("sent away"));
        Assert.Equal((10, 7), (room.Count, overflowed));
    }

    [Theory]
    [InlineData("203.0.113.7", "203.0.113.8", false)]
    [InlineData("203.0.113.7", "::ffff:203.0.113.7", true)]
    [InlineData("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true)]
    [InlineData("2001:db8:1:2::1", "2001:db8:1:3::1", false)]
    [InlineData("0.0.0.1", "::1:0:0:0", false)]
    public void A_prefix_is_an_IPv4_address_or_64_bits_of_IPv6(string a, string b, bool same) =>
        Assert.Equal(same, WaitingRoom.Prefix(IPAddress.Parse(a)) == WaitingRoom.Prefix(IPAddress.Parse(b)));

    [Fact]
    public void A_waiting_room_sends_away_whom_a_slow_and_obvious_one_would()
    {
        const int Capacity = 50;
        var random = new Random(3);
        WaitingRoom room = Room(Capacity);
        var inside = new List<(int Number, int Prefix, WaitingRoom.Place? Place)>();
        var expected = new List<int>();
        var gone = new List<int>();
        for (int i = 0; i < 20_000; i++)
        {
            int number = i, prefix = random.Next(8), leaving = random.Next(3 * Capacity);
            if (leaving < inside.Count)
            {
                inside[leaving].Place!.Leave();
                inside.RemoveAt(leaving);
                continue;
            }
            inside.Add((number, prefix, null));
            if (inside.Count > Capacity)
                expected.Add(inside.GroupBy(p => p.Prefix).OrderByDescending(g => g.Count()).ThenBy(g => g.Min(p => p.Number)).First().Min(p => p.Number));
            WaitingRoom.Place place = room.Enter(new IPAddress([10, 0, 0, (byte)prefix]), () => gone.Add(number));
            inside[^1] = (number, prefix, place);
            inside.RemoveAll(p => gone.Contains(p.Number));
            Assert.Equal(expected, gone);
            Assert.Equal(inside.Count, room.Count);
            (expected, gone) = ([], []);
        }
    }

    [Fact]
    public void A_rate_limit_lets_through_a_seconds_worth_and_refills_evenly()
    {
        var limit = default(RateLimit);
        int taken = 0;
        while (limit.TryTake(5_000, 1000, 20, out _))
            taken++;
        Assert.Equal(20, taken);
        Assert.False(limit.TryTake(5_049, 1000, 20, out long ready));
        Assert.Equal(5_050, ready);
        Assert.True(limit.TryTake(5_050, 1000, 20, out _));
        Assert.False(limit.TryTake(5_050, 1000, 20, out _));
    }
}
