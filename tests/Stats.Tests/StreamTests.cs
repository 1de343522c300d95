using System.Net;
using System.Text.Json;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Stats.Tests;

/// <summary>The live stream: the whole, then what changes, and nobody who is slow costs more than a few frames.</summary>
public class StreamTests
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(250);
    private readonly ManualClock clock = new();

    private Task<RunningHost> StartAsync(params (string Name, string Value)[] values) =>
        RunningHost.StartAsync(StatsHost.Build, values.ToDictionary(v => v.Name, v => v.Value), clock);

    private static ValueTask HeartbeatAsync(RunningHost host, string id, float x, float z) =>
        host.Bus.PublishAsync(Subjects.Heartbeat(id), new Heartbeat { Position = new Position { X = x, Z = z } }.ToByteArray());

    private static ValueTask IslandsAsync(RunningHost host, params (string Id, float X, string[] Members)[] islands)
    {
        var report = new IslandStatusMessage();
        foreach ((string id, float x, string[] members) in islands)
            report.Data.Add(new IslandData { Id = id, MaxPeers = 100, Center = new Position { X = x }, Radius = 1, Peers = { members } });
        return host.Bus.PublishAsync(Subjects.Islands, report.ToByteArray());
    }

    /// <summary>Reads a stream and keeps the picture that its frames draw.</summary>
    private sealed class Viewer : IDisposable
    {
        private readonly HttpResponseMessage response;
        private readonly StreamReader reader;

        private Viewer(HttpResponseMessage response, StreamReader reader) => (this.response, this.reader) = (response, reader);

        public SortedDictionary<int, (string Id, double X, double Z)> Peers { get; } = [];

        public SortedDictionary<string, int[]> Islands { get; } = new(StringComparer.Ordinal);

        public HttpResponseMessage Response => response;

        public string Picture => string.Join(' ', Peers.Values.Select(p => FormattableString.Invariant($"{p.Id}@{p.X},{p.Z}")))
            + " | " + string.Join(' ', Islands.Select(i => $"{i.Key}:{string.Join('+', i.Value.Select(n => Peers[n].Id))}"));

        public static async Task<Viewer> OpenAsync(RunningHost host)
        {
            HttpResponseMessage response = await host.Http.GetAsync(new Uri("/stream", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead);
            return new Viewer(response, new StreamReader(await response.Content.ReadAsStreamAsync()));
        }

        public async Task<(string Kind, JsonElement Data)> NextAsync()
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            string kind = await LineAsync(limit.Token);
            if (kind.StartsWith(':'))
            {
                Assert.Equal("", await LineAsync(limit.Token));
                return ("", default);
            }
            string data = await LineAsync(limit.Token);
            Assert.Equal("", await LineAsync(limit.Token));
            Assert.StartsWith("event: ", kind, StringComparison.Ordinal);
            Assert.StartsWith("data: ", data, StringComparison.Ordinal);
            JsonElement frame = JsonDocument.Parse(data[6..]).RootElement;
            Draw(kind[7..], frame);
            return (kind[7..], frame);
        }

        public void Dispose()
        {
            reader.Dispose();
            response.Dispose();
        }

        private async Task<string> LineAsync(CancellationToken token) => await reader.ReadLineAsync(token) ?? throw new EndOfStreamException();

        private static double Metres(JsonElement told) => told.ValueKind == JsonValueKind.Null ? double.NaN : told.GetDouble();

        private void Draw(string kind, JsonElement frame)
        {
            if (kind == "world")
            {
                Peers.Clear();
                Islands.Clear();
            }
            foreach (string name in (string[])["peers", "came", "moved"])
                if (frame.TryGetProperty(name, out JsonElement some))
                    foreach (JsonElement peer in some.EnumerateArray())
                        if (peer.GetArrayLength() == 4)
                            Peers.Add(peer[0].GetInt32(), (peer[1].GetString()!, Metres(peer[2]), Metres(peer[3])));
                        else
                            Peers[peer[0].GetInt32()] = (Peers[peer[0].GetInt32()].Id, Metres(peer[1]), Metres(peer[2]));
            foreach (JsonElement island in frame.GetProperty("islands").EnumerateArray())
                if (island.TryGetProperty("peers", out JsonElement members))
                    Islands[island.GetProperty("id").GetString()!] = [.. members.EnumerateArray().Select(m => m.GetInt32())];
            if (kind != "changes")
                return;
            foreach (JsonElement id in frame.GetProperty("gone").EnumerateArray())
                Assert.True(Islands.Remove(id.GetString()!));
            foreach (JsonElement number in frame.GetProperty("left").EnumerateArray())
                Assert.True(Peers.Remove(number.GetInt32()));
        }
    }

    [Fact]
    public async Task Of_several_Services_the_one_that_leads_is_told_and_one_that_was_overtaken_is_not_heard()
    {
        await using RunningHost host = await StartAsync();
        ValueTask Tell(string subject, IMessage message, long term) => host.Bus.PublishAsync(subject, message.ToByteArray(), headers: TermFence.HeadersOf(term));
        static IslandStatusMessage Report(string id) => new() { Data = { new IslandData { Id = id, MaxPeers = 100, Center = new Position(), Peers = { "0xa" } } } };
        await HeartbeatAsync(host, "0xa", 1, 2);
        var leader = new LeaderStatus { Term = 7, Node = "one", Since = 5, Cause = "first", Standbys = { new StandbyStatus { Node = "two", Ready = true, LagMs = 1.25 } } };
        await Tell(Subjects.Leader, leader, 7);
        await Tell(Subjects.Islands, Report("I7"), 7);
        using Viewer viewer = await Viewer.OpenAsync(host);
        JsonElement told = (await viewer.NextAsync()).Data.GetProperty("leader");
        Assert.Equal("{\"node\":\"one\",\"term\":7,\"since\":5,\"cause\":\"first\",\"standbys\":[{\"node\":\"two\",\"ready\":true,\"lagMs\":1.2}]}", told.GetRawText());
        Assert.Equal("0xa@1,2 | I7:0xa", viewer.Picture);

        await Tell(Subjects.Leader, new LeaderStatus { Term = 8, Node = "two", Cause = "expired" }, 8);
        await Tell(Subjects.Islands, Report("I8"), 8);
        await Tell(Subjects.Leader, leader, 7);
        await Tell(Subjects.Islands, Report("I9"), 7);
        await Tell(Subjects.IslandsPart(1, 0, 1), Report("I9"), 7);
        await Tell(Subjects.FlushReport, new FlushReport { Flush = 99 }, 7);
        await Tell(Subjects.Discovery, new ServiceDiscoveryMessage { Status = new ServiceStatus { UserCount = 99 } }, 7);
        await Tell(Subjects.Disconnect("0xa"), new LeaderStatus(), 7);
        clock.Advance(Period);
        JsonElement frame = (await viewer.NextAsync()).Data;
        Assert.Equal("two", frame.GetProperty("leader").GetProperty("node").GetString());
        Assert.False(frame.TryGetProperty("flush", out _));
        Assert.Equal("0xa@1,2 | I8:0xa", viewer.Picture);
        Assert.Equal("{\"healthy\":false,\"userCount\":0}", await host.GetAsync("/core-status"));
        Assert.Contains("archipelago_stale_messages_total 6\n", await host.GetAsync("/metrics"), StringComparison.Ordinal);

        clock.Advance(TermFence.Memory);
        (string kind, JsonElement last) = await viewer.NextAsync();
        while (kind.Length == 0)
            (kind, last) = await viewer.NextAsync();
        Assert.Equal(JsonValueKind.Null, last.GetProperty("leader").ValueKind);
    }

    [Fact]
    public async Task The_whole_comes_at_once_and_then_each_change()
    {
        await using RunningHost host = await StartAsync();
        await HeartbeatAsync(host, "0xa", 1.239f, 2);
        await HeartbeatAsync(host, "0xb", -5, 0);
        await IslandsAsync(host, ("I1", 0, ["0xa", "0xstranger"]), ("I2", 0, ["0xb"]));
        using Viewer viewer = await Viewer.OpenAsync(host);
        Assert.Equal("text/event-stream", viewer.Response.Content.Headers.ContentType!.ToString());
        Assert.Equal("world", (await viewer.NextAsync()).Kind);
        Assert.Equal("0xa@1.24,2 0xb@-5,0 | I1:0xa I2:0xb", viewer.Picture);

        await HeartbeatAsync(host, "0xb", 7, 0);
        await HeartbeatAsync(host, "0xc", 8, 0);
        await host.Bus.PublishAsync(Subjects.Disconnect("0xa"), default);
        await IslandsAsync(host, ("I2", 7.5f, ["0xb", "0xc"]), ("I3", 0, []));
        await host.Bus.PublishAsync(Subjects.FlushReport, new FlushReport { Flush = 9, Merges = 2, FlushMs = 0.5 }.ToByteArray());
        clock.Advance(Period);
        (string kind, JsonElement changes) = await viewer.NextAsync();
        Assert.Equal(("changes", "0xb@7,0 0xc@8,0 | I2:0xb+0xc I3:"), (kind, viewer.Picture));
        Assert.Equal((9, 2, 0.5), (changes.GetProperty("flush").GetProperty("number").GetInt32(), changes.GetProperty("flush").GetProperty("merges").GetInt32(), changes.GetProperty("flush").GetProperty("flushMs").GetDouble()));
        Assert.Equal(4, changes.GetProperty("heartbeats").GetInt64());

        // The centre has moved, the members have not; who came back is another.
        await HeartbeatAsync(host, "0xa", 0, 0);
        await IslandsAsync(host, ("I2", 9, ["0xb", "0xc"]));
        clock.Advance(Period);
        changes = (await viewer.NextAsync()).Data;
        Assert.Equal("0xb@7,0 0xc@8,0 0xa@0,0 | I2:0xb+0xc", viewer.Picture);
        JsonElement moved = Assert.Single(changes.GetProperty("islands").EnumerateArray());
        Assert.Equal((9, false), (moved.GetProperty("x").GetDouble(), moved.TryGetProperty("peers", out _)));

        // Two viewers see the same, whenever they came.
        using Viewer second = await Viewer.OpenAsync(host);
        await second.NextAsync();
        Assert.Equal(viewer.Picture.Split(' ').Order(), second.Picture.Split(' ').Order());
    }

    [Fact]
    public async Task Figures_that_are_no_numbers_are_told_as_none()
    {
        await using RunningHost host = await StartAsync();
        using Viewer viewer = await Viewer.OpenAsync(host);
        await viewer.NextAsync();
        await host.Bus.PublishAsync(Subjects.FlushReport, new FlushReport { FlushMs = double.NaN, Seconds = double.PositiveInfinity, Splits = 3 }.ToByteArray());
        await HeartbeatAsync(host, "0xa", float.NaN, float.NegativeInfinity);
        clock.Advance(Period);
        JsonElement told = (await viewer.NextAsync()).Data;
        Assert.Equal((JsonValueKind.Null, 3), (told.GetProperty("flush").GetProperty("flushMs").ValueKind, told.GetProperty("flush").GetProperty("splits").GetInt32()));
        Assert.Equal(JsonValueKind.Null, told.GetProperty("came")[0][2].ValueKind);
        using Viewer second = await Viewer.OpenAsync(host);
        Assert.Equal("world", (await second.NextAsync()).Kind);
    }

    [Fact]
    public async Task Those_who_come_do_not_throw_others_out_of_step()
    {
        await using RunningHost host = await StartAsync();
        await HeartbeatAsync(host, "0xa", 0, 0);
        var viewers = new List<Viewer>();
        for (int i = 0; i < 30; i++)
        {
            // Nobody reads yet.
            await HeartbeatAsync(host, "0xa", i, 0);
            viewers.Add(await Viewer.OpenAsync(host));
        }
        clock.Advance(Period);
        foreach (Viewer viewer in viewers)
        {
            Assert.Equal("world", (await viewer.NextAsync()).Kind);
            Assert.Equal("changes", (await viewer.NextAsync()).Kind);
            Assert.Equal("0xa@29,0 | ", viewer.Picture);
            viewer.Dispose();
        }
        Assert.Contains("archipelago_stream_resyncs_total 0\n", await host.GetAsync("/metrics"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_world_that_stands_still_is_silent_but_for_a_sign_of_life()
    {
        await using RunningHost host = await StartAsync();
        using Viewer viewer = await Viewer.OpenAsync(host);
        await viewer.NextAsync();
        clock.Advance(TimeSpan.FromSeconds(16));
        Assert.Equal("", (await viewer.NextAsync()).Kind);
    }

    [Fact]
    public async Task Who_does_not_keep_up_is_told_the_whole_again()
    {
        await using RunningHost host = await StartAsync();
        for (int i = 0; i < 5000; i++)
            await HeartbeatAsync(host, $"0x{i:x40}", 0, 0);
        using Viewer slow = await Viewer.OpenAsync(host);
        // Nobody reads, so that what is on the way fills up.
        int round = 0;
        await Eventually.TrueAsync(async () =>
        {
            round++;
            for (int i = 0; i < 5000; i++)
                await HeartbeatAsync(host, $"0x{i:x40}", round, 0);
            clock.Advance(Period);
            return (await host.GetAsync("/metrics")).Contains("archipelago_stream_resyncs_total 1\n", StringComparison.Ordinal);
        }, seconds: 60);
        Assert.Equal("world", (await slow.NextAsync()).Kind);
        string kind;
        do
        {
            kind = (await slow.NextAsync()).Kind;
            await HeartbeatAsync(host, "0xsign", ++round, 0);
            clock.Advance(Period);
        }
        while (kind != "world");
        Assert.Contains(" 0xsign@", slow.Picture, StringComparison.Ordinal);
    }

    [Fact]
    public async Task There_are_no_more_streams_than_configured_and_they_end_with_the_host()
    {
        RunningHost host = await StartAsync(("MAX_STREAMS", "1"));
        Viewer viewer = await Viewer.OpenAsync(host);
        await viewer.NextAsync();
        using HttpResponseMessage refused = await host.SendAsync(HttpMethod.Get, "/stream");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Contains("raise MAX_STREAMS", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        viewer.Dispose();
        await Eventually.TrueAsync(async () => (await host.GetAsync("/metrics")).Contains("archipelago_streams 0\n", StringComparison.Ordinal));
        using Viewer last = await Viewer.OpenAsync(host);
        await last.NextAsync();
        using HttpResponseMessage head = await host.SendAsync(HttpMethod.Head, "/stream");
        Assert.Equal("text/event-stream", head.Content.Headers.ContentType!.ToString());
        await host.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(5));
        await Assert.ThrowsAnyAsync<IOException>(last.NextAsync);
    }
}
