using System.IO.Compression;
using System.Net;
using System.Text.Json;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Stats.World;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.Extensions.DependencyInjection;

namespace Archipelago.Stats.Tests;

/// <summary>Who is there is told truly, to many, and cheaply.</summary>
public class WorldTests
{
    private readonly ManualClock clock = new();

    private Task<RunningHost> StartAsync(params (string Name, string Value)[] values) =>
        RunningHost.StartAsync(StatsHost.Build, values.ToDictionary(v => v.Name, v => v.Value), clock);

    private static ValueTask HeartbeatAsync(RunningHost host, string id, float x = 0, float z = 0) =>
        host.Bus.PublishAsync(Subjects.Heartbeat(id), new Heartbeat { Position = new Position { X = x, Z = z } }.ToByteArray());

    private static async Task<string> PeersAsync(RunningHost host, string query = "") => string.Join(' ', JsonDocument.Parse(await host.GetAsync("/peers" + query))
        .RootElement.GetProperty("peers").EnumerateArray().Select(p => p.GetProperty("id").GetString()));

    [Fact]
    public async Task Who_falls_silent_without_a_word_expires()
    {
        await using RunningHost host = await StartAsync();
        await HeartbeatAsync(host, "0xa");
        await HeartbeatAsync(host, "0xb");
        clock.Advance(TimeSpan.FromSeconds(60));
        await HeartbeatAsync(host, "0xb");
        clock.Advance(TimeSpan.FromSeconds(29));
        Assert.Equal("0xa 0xb", await PeersAsync(host));
        await Eventually.TrueAsync(async () =>
        {
            clock.Advance(TimeSpan.FromMilliseconds(100));
            return await PeersAsync(host) == "0xb";
        });
        Assert.Contains("archipelago_stats_expired_total 1\n", await host.GetAsync("/metrics"), StringComparison.Ordinal);
        // Who comes back is at the end.
        await HeartbeatAsync(host, "0xa");
        Assert.Equal("0xb 0xa", await PeersAsync(host));
    }

    [Fact]
    public async Task The_expiry_is_configurable_and_zero_keeps_everybody()
    {
        await using RunningHost brief = await StartAsync(("PEER_EXPIRY_MS", "1000")), never = await StartAsync(("PEER_EXPIRY_MS", "0"));
        await HeartbeatAsync(brief, "0xa");
        await HeartbeatAsync(never, "0xa");
        clock.Advance(TimeSpan.FromMinutes(5));
        await Eventually.TrueAsync(async () => await PeersAsync(brief) == "");
        Assert.Equal("0xa", await PeersAsync(never));
    }

    [Fact]
    public async Task The_late_departure_of_an_earlier_session_takes_nobody_with_it()
    {
        await using RunningHost host = await StartAsync();
        await HeartbeatAsync(host, "0xa");
        await host.Bus.PublishAsync(Subjects.Connect("0xa"), "0xkey"u8.ToArray(), headers: new SessionStamp(2, 0).ToHeaders());
        await host.Bus.PublishAsync(Subjects.Disconnect("0xa"), default, headers: new SessionStamp(1, 0).ToHeaders());
        Assert.Equal("0xa", await PeersAsync(host));
        await host.Bus.PublishAsync(Subjects.Disconnect("0xa"), default, headers: new SessionStamp(2, 0).ToHeaders());
        Assert.Equal("", await PeersAsync(host));
        await HeartbeatAsync(host, "0xa");
        await host.Bus.PublishAsync(Subjects.Disconnect("0xa"), default); // the Service's, or another's Connector
        Assert.Equal("", await PeersAsync(host));
        // Announced before it was heard of, as Connectors do.
        await host.Bus.PublishAsync(Subjects.Connect("0xb"), "0xkey"u8.ToArray(), headers: new SessionStamp(5, 0).ToHeaders());
        await host.Bus.PublishAsync(Subjects.Connect("0xb"), "0xkey"u8.ToArray(), headers: new SessionStamp(4, 0).ToHeaders());
        await HeartbeatAsync(host, "0xb");
        await host.Bus.PublishAsync(Subjects.Disconnect("0xb"), default, headers: new SessionStamp(4, 0).ToHeaders());
        Assert.Equal("0xb", await PeersAsync(host));
        await host.Bus.PublishAsync(Subjects.Disconnect("0xb"), default, headers: new SessionStamp(5, 0).ToHeaders());
        Assert.Equal("", await PeersAsync(host));
    }

    [Fact]
    public async Task Members_who_leave_and_come_back_are_members_again_and_unknown_ones_are_once_they_are_heard_of()
    {
        await using RunningHost host = await StartAsync();
        await HeartbeatAsync(host, "0xa");
        var report = new IslandStatusMessage { Data = { new IslandData { Id = "I1", Center = new Position(), Peers = { "0xa", "0xlate" } } } };
        await host.Bus.PublishAsync(Subjects.Islands, report.ToByteArray());
        async Task<string> MembersAsync() => string.Join(' ', JsonDocument.Parse(await host.GetAsync("/islands/I1")).RootElement.GetProperty("peers").EnumerateArray().Select(p => p.GetProperty("id").GetString()));
        Assert.Equal("0xa", await MembersAsync());
        await HeartbeatAsync(host, "0xlate");
        Assert.Equal("0xa 0xlate", await MembersAsync());
        await host.Bus.PublishAsync(Subjects.Disconnect("0xa"), default);
        Assert.Equal("0xlate", await MembersAsync());
        await HeartbeatAsync(host, "0xa");
        Assert.Equal("0xa 0xlate", await MembersAsync());
    }

    [Theory]
    [InlineData("/peers")]
    [InlineData("/comms/peers")]
    [InlineData("/islands")]
    [InlineData("/parcels")]
    public async Task Who_has_the_state_already_is_told_so(string path)
    {
        await using RunningHost host = await StartAsync();
        await HeartbeatAsync(host, "0xa");
        string tag = (await host.SendAsync(HttpMethod.Get, path)).Headers.ETag!.ToString();
        foreach (string known in (string[])[tag, $"\"other\", {tag}", "*", tag[2..]])
        {
            using HttpResponseMessage same = await host.SendAsync(HttpMethod.Get, path, ("If-None-Match", known));
            Assert.Equal((HttpStatusCode.NotModified, ""), (same.StatusCode, await same.Content.ReadAsStringAsync()));
            Assert.Equal(["Origin", "Accept-Encoding"], same.Headers.Vary);
        }
        foreach (string other in (string[])["\"other\"", "nonsense"])
            Assert.Equal(HttpStatusCode.OK, (await host.SendAsync(HttpMethod.Get, path, ("If-None-Match", other))).StatusCode);
        await HeartbeatAsync(host, "0xa", 1);
        using HttpResponseMessage changed = await host.SendAsync(HttpMethod.Get, path, ("If-None-Match", tag));
        Assert.Equal(HttpStatusCode.OK, changed.StatusCode);
        Assert.NotEqual(tag, changed.Headers.ETag!.ToString());
        // Another process counts anew, and must not be taken for this one.
        await using RunningHost next = await StartAsync();
        await HeartbeatAsync(next, "0xa");
        Assert.NotEqual(tag, (await next.SendAsync(HttpMethod.Get, path)).Headers.ETag!.ToString());
    }

    [Fact]
    public async Task Each_kind_of_change_makes_another_state()
    {
        await using RunningHost host = await StartAsync();
        var tags = new HashSet<string>();
        async Task ChangedAsync() => Assert.True(tags.Add((await host.SendAsync(HttpMethod.Get, "/peers")).Headers.ETag!.ToString()));
        await ChangedAsync();
        await HeartbeatAsync(host, "0xa");
        await ChangedAsync();
        await host.Bus.PublishAsync(Subjects.Islands, new IslandStatusMessage { Data = { new IslandData { Id = "I1", Center = new Position() } } }.ToByteArray());
        await ChangedAsync();
        await host.Bus.PublishAsync(Subjects.IslandsPart(1, 0, 1), default);
        await ChangedAsync();
        await host.Bus.PublishAsync(Subjects.Disconnect("0xa"), default);
        await ChangedAsync();
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    public async Task Answers_are_compressed_for_those_who_ask(string encoding)
    {
        await using RunningHost host = await StartAsync();
        for (int i = 0; i < 500; i++)
            await HeartbeatAsync(host, $"0x{i:x40}", i, -i);
        string plain = await host.GetAsync("/peers");
        using HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/peers", ("Accept-Encoding", encoding));
        byte[] body = await response.Content.ReadAsByteArrayAsync();
        Assert.Equal((encoding, "application/json"), (response.Content.Headers.ContentEncoding.Single(), response.Content.Headers.ContentType!.ToString()));
        Assert.True(body.Length < plain.Length / 4);
        using Stream unpacked = encoding == "br" ? new BrotliStream(new MemoryStream(body), CompressionMode.Decompress) : new GZipStream(new MemoryStream(body), CompressionMode.Decompress);
        Assert.Equal(plain, await new StreamReader(unpacked).ReadToEndAsync());
    }

    [Fact]
    public async Task A_part_of_the_world_has_the_peers_in_it_and_the_islands_that_touch_it()
    {
        await using RunningHost host = await StartAsync();
        await HeartbeatAsync(host, "0xa", 10, 10);
        await HeartbeatAsync(host, "0xedge", 0, 20);
        await HeartbeatAsync(host, "0xout", -0.1f, 10);
        await HeartbeatAsync(host, "0xnowhere", float.NaN, 10);
        await host.Bus.PublishAsync(Subjects.Islands, new IslandStatusMessage
        {
            Data =
            {
                new IslandData { Id = "In", Center = new Position { X = 5, Z = 5 }, Peers = { "0xout" } },
                new IslandData { Id = "Touches", Center = new Position { X = 23, Z = 24 }, Radius = 5 },
                new IslandData { Id = "Misses", Center = new Position { X = 24, Z = 24 }, Radius = 5 },
                new IslandData { Id = "Nowhere", Center = new Position { X = float.NaN, Z = 1 }, Radius = 5 },
            },
        }.ToByteArray());
        Assert.Equal("0xa 0xedge", await PeersAsync(host, "?bbox=0,0,20,20"));
        Assert.Equal("0xedge", await PeersAsync(host, "?bbox=0,0,20,20&id=0xEDGE&id=0xout"));
        JsonElement islands = JsonDocument.Parse(await host.GetAsync("/comms/islands?bbox=0,0,20,20")).RootElement.GetProperty("islands");
        Assert.Equal(["In", "Touches"], islands.EnumerateArray().Select(i => i.GetProperty("id").GetString()));
        Assert.Equal("0xout", islands[0].GetProperty("peers")[0].GetProperty("id").GetString());
        foreach (string wrong in (string[])["", "1,2,3", "0,0,0,1", "0,0,1,NaN", "5,5,1,9", "a,b,c,d", "0,0,1,1,2", "0,0,1,1&bbox=0,0,1,1", "0,0,1e99,1"])
            foreach (string path in (string[])["/peers", "/islands"])
            {
                using HttpResponseMessage refused = await host.SendAsync(HttpMethod.Get, $"{path}?bbox={wrong}");
                Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
                Assert.StartsWith("{\"error\":\"bbox must be four numbers", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
            }
    }

    [Fact]
    public async Task Ids_that_mean_something_to_JSON_or_markup_are_data()
    {
        await using RunningHost host = await StartAsync();
        const string Hostile = "<b&'\"\\é😀";
        await HeartbeatAsync(host, Hostile);
        Assert.Equal(Hostile, await PeersAsync(host));
        Assert.Equal(Hostile, JsonDocument.Parse(await host.GetAsync("/peers/" + Uri.EscapeDataString(Hostile))).RootElement.GetProperty("peer").GetProperty("address").GetString());
    }

    [Fact]
    public async Task A_heartbeat_of_a_known_peer_allocates_nothing_and_an_answer_about_everybody_next_to_nothing()
    {
        await using RunningHost host = await StartAsync();
        WorldState world = host.Services.GetRequiredService<WorldState>();
        byte[][] subjects = [.. Enumerable.Range(0, 20_000).Select(i => System.Text.Encoding.UTF8.GetBytes(Subjects.Heartbeat($"0x{i:x40}")))];
        byte[] payload = new Heartbeat { Position = new Position { X = 1.5f, Y = 2, Z = 3 } }.ToByteArray();
        void Beat()
        {
            foreach (byte[] subject in subjects)
                world.OnHeartbeat(new BusMessage(subject, payload));
        }
        Beat();
        Beat();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Beat();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        var context = new Microsoft.AspNetCore.Http.DefaultHttpContext();
        context.Response.Body = Stream.Null;
        var routes = host.Services.GetRequiredService<Http.WorldRoutes>();
        await routes.PeersAsync(context);
        // Nothing is waited for, so that it all happens on this thread.
        before = GC.GetAllocatedBytesForCurrentThread();
        Assert.True(routes.PeersAsync(context).IsCompletedSuccessfully);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 * 1024);
    }

    [Fact]
    public async Task Reports_and_departures_on_many_threads_leave_a_table_that_agrees_with_itself()
    {
        var table = new PeerTable();
        using var end = new CancellationTokenSource();
        Task[] writers = [.. Enumerable.Range(0, 3).Select(seed => Task.Run(() =>
        {
            var random = new Random(seed);
            for (int i = 0; i < 100_000; i++)
            {
                string id = $"0x{random.Next(300)}";
                if (random.Next(3) == 0)
                    table.Remove(System.Text.Encoding.UTF8.GetBytes(id), null);
                else if (!table.TryFind(id, out Peer? known) || known.IsGone)
                    table.Add(id, i, 0, i, i, i);
                else
                    known.Set(i, 0, i, i, i);
            }
        }))];
        Task reader = Task.Run(() =>
        {
            while (!end.IsCancellationRequested)
            {
                PeerList all = table.All;
                long last = 0;
                for (int i = 0; i < all.Count; i++)
                {
                    PeerState state = all[i].State;
                    Assert.Equal(state.X, state.Z); // never half of one report and half of another
                    Assert.True(all[i].Arrival > last);
                    last = all[i].Arrival;
                }
            }
        });
        await Task.WhenAll(writers);
        await end.CancelAsync();
        await reader;
        string[] here = [.. Enumerable.Range(0, table.All.Count).Select(i => table.All[i]).Where(p => !p.IsGone).Select(p => p.Id)];
        Assert.Equal(table.Count, here.Length);
        Assert.Equal(here.Length, here.Distinct().Count());
        Assert.All(here, id => Assert.True(table.TryFind(id, out Peer? peer) && !peer.IsGone));
        Assert.True(table.All.Count < 1000, "those who left are forgotten");
    }
}
