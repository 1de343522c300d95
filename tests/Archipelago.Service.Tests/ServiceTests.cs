using System.Collections.Concurrent;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Archipelago.Service.Tests;

/// <summary>The Service from heartbeats on the bus to what it publishes, beat by beat.</summary>
public class ServiceTests
{
    private const string Ann = "0x00000000000000000000000000000000000000aa", Bob = "0x00000000000000000000000000000000000000bb";

    [Fact]
    public async Task A_newcomer_is_told_its_island_with_a_token_and_everybody_in_it()
    {
        await using Fixture service = await Fixture.StartAsync();
        await service.HeartbeatAsync(Ann, 1, 2);
        await service.HeartbeatAsync(Bob, 3, 4);
        List<(string To, IslandChangedMessage Message)> changes = await service.BeatAsync();
        Assert.Equal([Ann, Bob], changes.Select(c => c.To).Order());
        foreach ((string to, IslandChangedMessage message) in changes)
        {
            Assert.Equal("I1", message.IslandId);
            Assert.False(message.HasFromIslandId);
            Assert.StartsWith("livekit:wss://livekit.example?access_token=", message.ConnStr, StringComparison.Ordinal);
            Assert.Equal(new Position { X = 1, Y = 5, Z = 2 }, message.Peers[Ann]);
            Assert.Equal(2, message.Peers.Count);
        }
        Assert.NotEqual(changes[0].Message.ConnStr, changes[1].Message.ConnStr);
        IslandData island = Assert.Single(service.Reports.Last().Data);
        Assert.Equal(("I1", 100u, 2f, 0f, 3f), (island.Id, island.MaxPeers, island.Center.X, island.Center.Y, island.Center.Z));
        Assert.Equal(Math.Sqrt(2), island.Radius, 1e-9);
        Assert.Empty(await service.BeatAsync());
    }

    [Fact]
    public async Task Between_beats_newcomers_are_placed_and_nobody_else_moves()
    {
        await using Fixture service = await Fixture.StartAsync(new() { ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "2", ["ARCHIPELAGO_NEWCOMER_INTERVAL_MS"] = "25" });
        async Task<List<(string To, IslandChangedMessage Message)>> AfterAsync(int milliseconds, int changes)
        {
            await Eventually.TrueAsync(() =>
            {
                service.Clock.Advance(TimeSpan.FromMilliseconds(milliseconds));
                return service.Changes.Count >= changes;
            });
            return [.. service.Changes];
        }
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.HeartbeatAsync(Bob, 500, 0);
        Assert.Equal(2, (await AfterAsync(1, 2)).Count);

        // Bob walks over to Ann; a newcomer arrives there. It is told at once, Bob at the next beat.
        int reports = service.Reports.Count;
        await service.HeartbeatAsync(Bob, 10, 0);
        await service.HeartbeatAsync("new", 20, 0);
        (string to, IslandChangedMessage message) = (await AfterAsync(1, 3))[2];
        Assert.Equal(("new", "I1"), (to, message.IslandId));
        Assert.Equal([Ann, "new"], message.Peers.Keys.Order());
        Assert.Equal(reports, service.Reports.Count);
        (to, message) = (await AfterAsync(500, 4))[3];
        Assert.Equal((Bob, "I1", "I2", 3), (to, message.IslandId, message.FromIslandId, message.Peers.Count));
    }

    [Fact]
    public async Task The_departure_of_the_silent_is_told_on_the_bus()
    {
        await using Fixture service = await Fixture.StartAsync();
        var gone = new ConcurrentQueue<string>();
        service.Host.Bus.Subscribe(Subjects.AllDisconnects, m => gone.Enqueue(System.Text.Encoding.UTF8.GetString(m.Subject)));
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.HeartbeatAsync(Bob, 0, 0);
        for (int second = 0; second < 120; second += 20)
        {
            service.Clock.Advance(TimeSpan.FromSeconds(20));
            await service.HeartbeatAsync(Bob, 0, 0);
            await service.BeatAsync();
        }
        Assert.Equal([$"peer.{Ann}.disconnect"], gone);
        Assert.Equal([Bob], Assert.Single(service.Reports.Last().Data).Peers);
    }

    [Fact]
    public async Task Heartbeats_and_changes_of_island_allocate_next_to_nothing()
    {
        await using Fixture service = await Fixture.StartAsync();
        service.Changes.Clear();
        var bus = new CountingBus();
        IServiceProvider services = service.Host.Services;
        var engine = services.GetRequiredService<Worlds>().Now.Engine;
        var publisher = new IslandPublisher(bus, services.GetRequiredService<Worlds>(), services.GetRequiredService<Leadership>(), services.GetRequiredService<LiveKitTokens>(), services.GetRequiredService<ServiceOptions>(), service.Clock, new LogThrottle(service.Clock, TimeSpan.FromSeconds(1)), Microsoft.Extensions.Logging.Abstractions.NullLogger<IslandPublisher>.Instance);
        Intake intake = services.GetRequiredService<Intake>();
        (byte[] Subject, byte[][] Payloads)[] people = [.. Enumerable.Range(0, 300).Select(i => (
            System.Text.Encoding.UTF8.GetBytes(Subjects.Heartbeat($"0x{i:x40}")),
            (byte[][])[.. new float[] { 0, 100_000 }.Select(x => new Heartbeat { Position = new Position { X = x + (10_000 * (i % 30)), Z = i } }.ToByteArray())]))];
        var untold = new List<Core.IslandChange>();
        long least = long.MaxValue;
        for (int round = 0; round < 8; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            // Every other tenth goes far away and comes back: whole islands break and form.
            foreach ((byte[] subject, byte[][] payloads) in people)
                intake.OnHeartbeat(new BusMessage(subject, payloads[subject[^11] % 2 == round % 2 ? 0 : 1]));
            untold.AddRange(engine.Flush().Changes);
            Assert.NotEmpty(untold);
            Task told = publisher.PublishChangesAsync(untold, default);
            Assert.True(told.IsCompletedSuccessfully);
            if (round > 3)
                least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.NotEqual(0, bus.Published);
        Assert.InRange(least, 0, 500);
    }

    /// <summary>Takes messages and forgets them.</summary>
    private sealed class CountingBus : IMessageBus
    {
        public int Published { get; private set; }

        public bool IsConnected => true;

        public int MaxPayload { get; init; } = int.MaxValue;

        public List<(string Subject, byte[] Payload)> Kept { get; } = [];

        public ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers)
        {
            Published++;
            if (MaxPayload < int.MaxValue)
                Kept.Add((subject, payload.ToArray()));
            return ValueTask.CompletedTask;
        }

        public IDisposable Subscribe(string pattern, MessageHandler handler) => throw new NotSupportedException();

        public Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    [Theory]
    [InlineData(100_000)]
    [InlineData(3000)]
    [InlineData(10)]
    public async Task A_list_of_islands_too_large_for_the_bus_goes_out_in_parts_on_a_subject_of_our_own(int limit)
    {
        await using Fixture service = await Fixture.StartAsync();
        for (int i = 0; i < 200; i++)
            await service.HeartbeatAsync($"0x{i:x40}", 1000 * (i / 4), i);
        await service.BeatAsync();
        IslandStatusMessage whole = service.Reports.Last();
        IServiceProvider services = service.Host.Services;
        var bus = new CountingBus { MaxPayload = limit };
        var engine = services.GetRequiredService<Worlds>().Now.Engine;
        var publisher = new IslandPublisher(bus, services.GetRequiredService<Worlds>(), services.GetRequiredService<Leadership>(), services.GetRequiredService<LiveKitTokens>(), services.GetRequiredService<ServiceOptions>(), service.Clock, new LogThrottle(service.Clock, TimeSpan.FromSeconds(1)), Microsoft.Extensions.Logging.Abstractions.NullLogger<IslandPublisher>.Instance);
        using (Core.IslandSnapshot snapshot = engine.AcquireSnapshot())
            await publisher.PublishIslandsAsync(snapshot, default);
        var together = new IslandStatusMessage();
        for (int i = 0; i < bus.Kept.Count; i++)
        {
            together.MergeFrom(bus.Kept[i].Payload);
            if (limit == 100_000)
            {
                Assert.Equal(Subjects.Islands, bus.Kept[i].Subject);
                continue;
            }
            // An island is never cut, be it larger than the limit.
            Assert.InRange(bus.Kept[i].Payload.Length, 1, Math.Max(limit, 300));
            Assert.True(Subjects.TryGetIslandsPart(System.Text.Encoding.UTF8.GetBytes(bus.Kept[i].Subject), out _, out int index, out int count));
            Assert.Equal((i, bus.Kept.Count), (index, count));
        }
        Assert.Equal(whole, together);
        Assert.Equal(limit == 100_000 ? 0 : 1, publisher.IslandsInParts);
    }

    [Fact]
    public async Task Who_asks_is_told_its_island_unless_it_knows_it()
    {
        await using Fixture service = await Fixture.StartAsync();
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.BeatAsync();
        async Task<List<(string To, IslandChangedMessage Message)>> AskAsync(string address, string heard)
        {
            await service.Host.Bus.PublishAsync(Subjects.Ask(address), System.Text.Encoding.UTF8.GetBytes(heard));
            return await service.BeatAsync();
        }
        Assert.Empty(await AskAsync(Ann, "I1"));
        Assert.Empty(await AskAsync(Bob, ""));
        (string to, IslandChangedMessage message) = Assert.Single(await AskAsync(Ann, ""));
        Assert.Equal((Ann, "I1", false, 1), (to, message.IslandId, message.HasFromIslandId, message.Peers.Count));
        (_, message) = Assert.Single(await AskAsync(Ann, "I9"));
        Assert.Equal(("I1", "I9"), (message.IslandId, message.FromIslandId));
        (_, message) = Assert.Single(await AskAsync(Ann, "of another run"));
        Assert.False(message.HasFromIslandId);
        Assert.Empty(await AskAsync(Ann, new string('x', 1000)));
        Assert.Contains("archipelago_islands_told_again_total 3\n", await service.Host.GetAsync("/metrics"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rooms_of_another_run_have_other_ids()
    {
        var ids = new HashSet<string>();
        for (int run = 0; run < 3; run++)
        {
            Dictionary<string, string> values = Fixture.Values;
            values.Remove("ROOM_BOOT_PART");
            await using RunningHost host = await RunningHost.StartAsync(ServiceHost.Build, values, new ManualClock());
            string id = host.Services.GetRequiredService<Worlds>().Now.Names.Format(1);
            Assert.Matches("^I[0-9a-z]{9}-1$", id);
            ids.Add(id);
        }
        Assert.Equal(3, ids.Count);
    }

    [Fact]
    public async Task A_planned_restart_moves_nobody()
    {
        string file = Path.Combine(Directory.CreateTempSubdirectory("state").FullName, "service.state");
        var with = new Dictionary<string, string> { ["ARCHIPELAGO_STATE_FILE"] = file, ["ROOM_BOOT_PART"] = "first" };
        await using (Fixture before = await Fixture.StartAsync(with))
        {
            for (int i = 0; i < 100; i++)
                await before.HeartbeatAsync($"p{i}", 40 * (i / 10), 1000 * (i % 10));
            Assert.Equal(100, (await before.BeatAsync()).Count);
        }
        Assert.True(File.Exists(file));
        with["ROOM_BOOT_PART"] = "second";
        await using Fixture after = await Fixture.StartAsync(with);
        Assert.False(File.Exists(file));
        Assert.Equal(10, after.Reports.Last().Data.Count);
        for (int i = 0; i < 100; i++)
            await after.HeartbeatAsync($"p{i}", 40 * (i / 10), 1000 * (i % 10));
        Assert.Empty(await after.BeatAsync());
        await after.HeartbeatAsync("new", 90_000, 0);
        Assert.Equal("Ifirst-b", Assert.Single(await after.BeatAsync()).Message.IslandId);
        // Who went while nobody was there to hear it leaves as others do who are silent.
        after.Clock.Advance(TimeSpan.FromSeconds(61));
        await after.BeatAsync();
        Assert.Empty(after.Reports.Last().Data);
        Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
    }

    [Fact]
    public async Task A_state_that_cannot_be_read_is_told_and_left_alone()
    {
        string file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, "ARCHSTATnonsense");
        ConfigurationException e = await Assert.ThrowsAsync<ConfigurationException>(() => Fixture.StartAsync(new() { ["ARCHIPELAGO_STATE_FILE"] = file }));
        Assert.Contains(file, e.Message, StringComparison.Ordinal);
        Assert.True(File.Exists(file));
        File.Delete(file);
    }

    [Fact]
    public async Task Who_walks_over_is_told_where_it_comes_from()
    {
        await using Fixture service = await Fixture.StartAsync(new() { ["ROOM_PREFIX"] = "room-" });
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.HeartbeatAsync(Bob, 500, 0);
        await service.BeatAsync();
        await service.HeartbeatAsync(Bob, 10, 0);
        (string to, IslandChangedMessage message) = Assert.Single(await service.BeatAsync());
        Assert.Equal((Bob, "room-1", "room-2"), (to, message.IslandId, message.FromIslandId));
    }

    [Fact]
    public async Task Who_leaves_and_comes_back_is_new()
    {
        await using Fixture service = await Fixture.StartAsync();
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.BeatAsync();
        foreach (string word in (string[])["disconnect", "connect"])
        {
            await service.Host.Bus.PublishAsync($"peer.{Ann}.{word}", default);
            await service.HeartbeatAsync(Ann, 0, 0);
            (_, IslandChangedMessage message) = Assert.Single(await service.BeatAsync());
            Assert.False(message.HasFromIslandId);
        }
    }

    [Fact]
    public async Task The_first_island_goes_to_the_session_that_was_announced_and_later_ones_to_whichever_is_newest()
    {
        await using Fixture service = await Fixture.StartAsync();
        var subjects = new ConcurrentQueue<string>();
        service.Host.Bus.Subscribe("engine.peer.>", m => subjects.Enqueue(System.Text.Encoding.UTF8.GetString(m.Subject)));
        await service.Host.Bus.PublishAsync(Subjects.Connect(Ann), "0xdevice"u8.ToArray());
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.BeatAsync();
        await service.HeartbeatAsync(Bob, 500, 0);
        await service.BeatAsync();
        await service.HeartbeatAsync(Ann, 490, 0);
        await service.HeartbeatAsync(Bob, 500, 0);
        await service.BeatAsync();
        Assert.Equal($"engine.peer.{Ann}.island_changed.0xdevice", subjects.First());
        Assert.DoesNotContain(subjects.Skip(1), s => s.EndsWith("0xdevice", StringComparison.Ordinal));

        // An announcement of an earlier session that comes late starts nothing afresh.
        static byte[] Header(int session) => BusHeaders.Of(Subjects.SessionHeader, new SessionStamp(session, 7).ToString());
        await service.Host.Bus.PublishAsync(Subjects.Connect(Bob), "0xnew"u8.ToArray(), headers: Header(9));
        await service.Host.Bus.PublishAsync(Subjects.Connect(Bob), "0xold"u8.ToArray(), headers: Header(8));
        await service.HeartbeatAsync(Bob, 500, 0);
        await service.BeatAsync();
        Assert.Equal(Subjects.IslandChanged(Bob, "0xnew"), subjects.Last());
        await service.Host.Bus.PublishAsync(Subjects.Connect(Bob), "0xold"u8.ToArray(), headers: Header(8));
        Assert.Empty(await service.BeatAsync());

        // A key that is no token of a subject is none.
        await service.Host.Bus.PublishAsync(Subjects.Connect(Ann), "a.>"u8.ToArray());
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.BeatAsync();
        Assert.Equal(Subjects.IslandChanged(Ann), subjects.Last());
    }

    [Theory]
    [InlineData(1, 2, true)]
    [InlineData(2, 2, false)]
    [InlineData(3, 2, false)] // a later one, whose announcement was lost
    [InlineData(null, 2, false)]
    [InlineData(1, null, false)]
    public async Task The_departure_of_an_earlier_session_does_not_take_the_newer_one_with_it(int? departing, int? present, bool stays)
    {
        static byte[]? Header(int? session) => session is { } s ? BusHeaders.Of(Subjects.SessionHeader, new SessionStamp(s, 7).ToString()) : null;
        await using Fixture service = await Fixture.StartAsync();
        await service.Host.Bus.PublishAsync(Subjects.Connect(Ann), "0xdevice"u8.ToArray(), headers: Header(present));
        foreach (bool heard in (bool[])[false, true])
        {
            if (heard)
                await service.HeartbeatAsync(Ann, 0, 0);
            if (heard || stays)
                await service.Host.Bus.PublishAsync(Subjects.Disconnect(Ann), default, headers: Header(departing));
            await service.BeatAsync();
        }
        Assert.Equal(stays ? 1 : 0, service.Reports.Last().Data.Count);
    }

    [Fact]
    public async Task Who_is_silent_for_longer_than_the_interval_is_gone()
    {
        await using Fixture service = await Fixture.StartAsync();
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.HeartbeatAsync(Bob, 0, 0);
        await service.BeatAsync();
        service.Clock.Advance(TimeSpan.FromSeconds(30));
        await service.HeartbeatAsync(Bob, 0, 0);
        service.Clock.Advance(TimeSpan.FromSeconds(30));
        await service.BeatAsync();
        Assert.Equal(2, Assert.Single(service.Reports.Last().Data).Peers.Count);
        service.Clock.Advance(TimeSpan.FromMilliseconds(1));
        await service.BeatAsync();
        Assert.Equal([Bob], Assert.Single(service.Reports.Last().Data).Peers);
    }

    [Fact]
    public async Task Bad_heartbeats_are_dropped_and_counted_and_harm_nobody()
    {
        await using Fixture service = await Fixture.StartAsync();
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.HeartbeatAsync(Ann, float.NaN, 0);
        await service.HeartbeatAsync(Bob, 0, float.PositiveInfinity);
        await service.Host.Bus.PublishAsync(Subjects.Heartbeat(Bob), new byte[] { 0xFF, 0xFF });
        await service.Host.Bus.PublishAsync(Subjects.Heartbeat(Bob), default); // without position: ignored
        (string to, IslandChangedMessage message) = Assert.Single(await service.BeatAsync());
        Assert.Equal((Ann, 0f), (to, message.Peers[Ann].X));
        string metrics = await service.Host.GetAsync("/metrics");
        foreach (string dropped in (string[])["{cause=\"undecodable\"} 1", "{cause=\"not_finite\"} 2", "{cause=\"without_position\"} 1"])
            Assert.Contains($"archipelago_heartbeats_dropped_total{dropped}\n", metrics, StringComparison.Ordinal);
        Assert.Contains("dcl_archipelago_peers_count 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("dcl_archipelago_islands_count 1\n", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_desired_room_is_followed_where_there_is_a_choice()
    {
        await using Fixture service = await Fixture.StartAsync(new() { ["LIVEKIT_ISLAND_SIZE"] = "3" });
        await service.HeartbeatAsync("a1", 0, 0);
        await service.HeartbeatAsync("a2", 0, 0);
        await service.BeatAsync();
        await service.HeartbeatAsync("b1", 120, 0);
        await service.HeartbeatAsync("b2", 120, 0);
        await service.BeatAsync();
        await service.HeartbeatAsync("c", 60, 0, "I2");
        (string to, IslandChangedMessage message) = Assert.Single(await service.BeatAsync());
        Assert.Equal(("c", "I2"), (to, message.IslandId));
    }

    [Fact]
    public async Task An_empty_world_is_reported_with_an_empty_message()
    {
        await using Fixture service = await Fixture.StartAsync();
        await service.BeatAsync();
        Assert.Equal(0, service.Reports.Last().CalculateSize());
    }

    [Fact]
    public async Task Discovery_comes_at_once_and_then_periodically()
    {
        await using Fixture service = await Fixture.StartAsync(new() { ["COMMIT_HASH"] = "abc" });
        await Eventually.TrueAsync(() => service.Discoveries.Count == 1);
        Assert.True(service.Discoveries.TryPeek(out ServiceDiscoveryMessage? first));
        Assert.Equal(("archipelago", "abc", 0u), (first.ServerName, first.Status.CommitHash, first.Status.UserCount));
        Assert.Equal((ulong)service.Clock.GetUtcNow().ToUnixTimeMilliseconds(), first.Status.CurrentTime);
        await service.HeartbeatAsync(Ann, 0, 0);
        await Eventually.TrueAsync(() =>
        {
            service.Clock.Advance(TimeSpan.FromSeconds(10));
            return service.Discoveries.Any(d => d.Status.UserCount == 1);
        });
    }

    [Fact]
    public async Task The_banned_stay_out_and_others_do_not_wait_for_them()
    {
        int askedAboutBob = 0;
        await using StubServer gatekeeper = await StubServer.StartAsync(async http =>
        {
            bool isBob = http.Request.Path.Value!.Contains(Bob, StringComparison.Ordinal);
            if (isBob)
                Interlocked.Increment(ref askedAboutBob);
            await http.Response.WriteAsync(isBob ? """{"data":{"isBanned":true}}""" : "{}");
        });
        await using Fixture service = await Fixture.StartAsync(new() { ["COMMS_GATEKEEPER_URL"] = gatekeeper.Url });
        await service.HeartbeatAsync(Bob, 0, 0);
        await service.HeartbeatAsync(Ann, 0, 0);
        await Eventually.TrueAsync(async () =>
        {
            await service.BeatAsync();
            return service.Reports.Last().Data.Count == 1;
        });
        // He is asked about again only after half a minute, and only because the first answer was that he is banned.
        await Eventually.TrueAsync(async () =>
        {
            service.Clock.Advance(TimeSpan.FromSeconds(30));
            await service.HeartbeatAsync(Ann, 0, 0);
            await service.HeartbeatAsync(Bob, 0, 0);
            return Volatile.Read(ref askedAboutBob) >= 2;
        });
        await service.BeatAsync();
        Assert.Equal([Ann], Assert.Single(service.Reports.Last().Data).Peers);
    }

    [Theory]
    [InlineData("LIVEKIT_API_SECRET", "", "LIVEKIT_API_SECRET is not set")]
    [InlineData("LIVEKIT_HOST", "wss://x?y", "must not contain a question mark")]
    [InlineData("ARCHIPELAGO_CROWD_POLICY", "tidy", "CROWD_POLICY is \"tidy\"")]
    [InlineData("ARCHIPELAGO_CROWD_MOVES", "-1", "CROWD_MOVES")]
    [InlineData("ARCHIPELAGO_JOIN_DISTANCE", "81", "JOIN_DISTANCE 81 is above")]
    [InlineData("LIVEKIT_ISLAND_SIZE", "0", "LIVEKIT_ISLAND_SIZE is 0")]
    [InlineData("ARCHIPELAGO_FLUSH_FREQUENCY", "often", "must be a number")]
    public async Task A_configuration_that_cannot_work_is_refused_by_name(string name, string value, string message)
    {
        ConfigurationException e = await Assert.ThrowsAsync<ConfigurationException>(() => Fixture.StartAsync(new() { [name] = value }));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_the_flushes_do_is_reported_and_counted()
    {
        await using Fixture service = await Fixture.StartAsync();
        var reports = new List<FlushReport>();
        service.Host.Bus.Subscribe(Subjects.FlushReport, m => reports.Add(FlushReport.Parser.ParseFrom(m.Payload)));
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.HeartbeatAsync(Bob, 500, 0);
        await service.HeartbeatAsync("0xc", 510, 0);
        await service.BeatAsync();
        await service.HeartbeatAsync(Ann, 505, 0);
        await service.HeartbeatAsync(Bob, float.NaN, 0);
        service.Clock.Advance(TimeSpan.FromSeconds(2));
        await service.BeatAsync();
        await service.HeartbeatAsync(Ann, 0, 0);
        await service.Host.Bus.PublishAsync(Subjects.Disconnect(Bob), default);
        await service.BeatAsync();
        Assert.Equal([(3u, 2u, 3u, 0u, 0u, 0u), (3, 1, 0, 0, 1, 0), (2, 2, 0, 1, 0, 1)], reports.Select(r => (r.Peers, r.Islands, r.Newcomers, r.Splits, r.Merges, r.Left)));
        Assert.Equal([(3ul, 0ul), (1, 1), (1, 0)], reports.Select(r => (r.Heartbeats, r.HeartbeatsDropped)));
        Assert.Equal(2, reports[1].Seconds);
        Assert.All(reports, r => Assert.True(r.Flush > 0));
        Assert.True(reports.Sum(r => (long)r.AllocatedBytes) > 0);
        string metrics = await service.Host.GetAsync("/metrics");
        foreach (string line in (string[])[
            "archipelago_changes_total{cause=\"newcomer\"} 3", "archipelago_changes_total{cause=\"split\"} 1", "archipelago_changes_total{cause=\"merge\"} 1", "archipelago_left_total 1", "archipelago_heartbeats_dropped_total{cause=\"not_finite\"} 1",
            "archipelago_islands_by_size{size=\"1\"} 2", "archipelago_islands_by_size{size=\"over 100\"} 0", "archipelago_beat_seconds_count{stage=\"flush\"} 4", "archipelago_tokens_total 5",
            "archipelago_peers{state=\"placed\"} 2", "archipelago_bus_connected 1"])
            Assert.Contains(line + "\n", metrics, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, true)]
    [InlineData("coherent", true)]
    [InlineData("plain", false)]
    public async Task A_crowd_larger_than_an_island_is_kept_together_and_told_of(string? policy, bool coherent)
    {
        await using Fixture service = await Fixture.StartAsync(new() { ["LIVEKIT_ISLAND_SIZE"] = "10", ["ARCHIPELAGO_CROWD_POLICY"] = policy ?? "", ["ARCHIPELAGO_CROWD_MOVES"] = "100" });
        FlushReport? report = null;
        service.Host.Bus.Subscribe(Subjects.FlushReport, m => report = FlushReport.Parser.ParseFrom(m.Payload));
        // They come from all over a row, so that the order of arrival says nothing of who stands beside whom.
        for (int i = 0; i < 30; i++)
        {
            await service.HeartbeatAsync($"0x{i:x}", i * 7 % 30 * 4, 0);
            await service.BeatAsync();
        }
        uint moved = report!.CrowdMoves;
        for (int beat = 0; beat < 60; beat++)
        {
            await service.BeatAsync();
            moved += report!.CrowdMoves;
        }
        Assert.True(coherent || moved == 0);
        Assert.Equal(coherent ? 30u : 0, report!.CrowdMembers);
        Assert.Equal(report.CrowdMembers > 0, report.CrowdIslands >= 3);
        Assert.True(report.HasNeighbourRecall && report.HasNeighbourRecallLowestTenth);
        Assert.InRange(report.NeighbourRecall, coherent ? 0.6 : 0.1, coherent ? 1 : 0.6);
        string metrics = await service.Host.GetAsync("/metrics");
        foreach (string line in (string[])[$"archipelago_crowd_members {report.CrowdMembers}", $"archipelago_crowd_islands {report.CrowdIslands}", $"archipelago_crowd_islands_over_minimum {report.CrowdIslands - (coherent ? 3 : 0)}"])
            Assert.Contains(line + "\n", metrics, StringComparison.Ordinal);
        Assert.Contains("archipelago_neighbour_recall{of=\"all\"}", metrics, StringComparison.Ordinal);
    }

    /// <summary>A bus that hangs with the list of islands, and so the beat.</summary>
    private sealed class HangingBus(IMessageBus inner) : IMessageBus
    {
        private readonly TaskCompletionSource never = new();

        public bool Hangs { get; set; }

        public bool IsConnected => inner.IsConnected;

        public int MaxPayload => inner.MaxPayload;

        public ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers) =>
            Hangs && subject == Subjects.Islands ? new ValueTask(never.Task.WaitAsync(cancellationToken)) : inner.PublishAsync(subject, payload, whenDisconnected, cancellationToken, headers);

        public IDisposable Subscribe(string pattern, MessageHandler handler) => inner.Subscribe(pattern, handler);

        public Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    [Fact]
    public async Task A_Service_that_does_not_flush_is_not_ready()
    {
        HangingBus bus = null!;
        await using Fixture service = await Fixture.StartAsync(new() { ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "2" }, wrap: inner => bus = new HangingBus(inner));
        Assert.Equal(System.Net.HttpStatusCode.OK, (await service.Host.SendAsync(HttpMethod.Get, "/health/ready")).StatusCode);
        bus.Hangs = true;
        HttpResponseMessage late = null!;
        // The beat that hangs has flushed; after three more that do not come it shows.
        await Eventually.TrueAsync(async () =>
        {
            service.Clock.Advance(TimeSpan.FromSeconds(2));
            late = await service.Host.SendAsync(HttpMethod.Get, "/health/ready");
            return late.StatusCode == System.Net.HttpStatusCode.ServiceUnavailable;
        });
        Assert.Contains("\"flush\":{\"status\":\"fail\"}", await late.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }
}
