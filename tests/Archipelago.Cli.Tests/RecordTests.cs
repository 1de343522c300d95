using System.Text;
using Archipelago.Cli.Replay;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Cli.Tests;

/// <summary>A day is recorded, replayed, and set beside what it would have been.</summary>
public class RecordTests
{
    private static async Task<string> RecordAsync(bool plain, Func<IMessageBus, Func<Task>, Task> day)
    {
        var clock = new ManualClock();
        await using IMessageBus bus = new InProcessBroker().Connect();
        using var output = new MemoryStream();
        var recorder = new Recorder(output, plain, clock);
        recorder.Listen(bus);
        await day(bus, async () =>
        {
            clock.Advance(TimeSpan.FromSeconds(2));
            await recorder.FlushAsync();
        });
        return Encoding.UTF8.GetString(output.ToArray());
    }

    private static ValueTask BeatAsync(IMessageBus bus, string id, float x, string room = "") =>
        bus.PublishAsync(Subjects.Heartbeat(id), new Heartbeat { Position = new Position { X = x, Y = 1.5f, Z = -2 }, DesiredRoom = room }.ToByteArray());

    [Fact]
    public async Task What_the_bus_tells_of_people_becomes_lines_that_replay_reads()
    {
        string lines = await RecordAsync(plain: true, async (bus, flush) =>
        {
            await BeatAsync(bus, "0xa", 1);
            await BeatAsync(bus, "0xb", 2, "I7");
            await BeatAsync(bus, "0xnowhere", float.NaN);
            await bus.PublishAsync(Subjects.Heartbeat("0xbad"), new byte[] { 0xFF });
            await flush();
            await BeatAsync(bus, "0xb", 3);
            await BeatAsync(bus, "0xb", 4);
            await bus.PublishAsync(Subjects.Disconnect("0xa"), default);
            await flush();
        });
        Assert.Equal(
            """
            {"op":"move","peer":"0xa","position":[1,1.5,-2]}
            {"op":"move","peer":"0xb","position":[2,1.5,-2],"prefer":"I7"}
            {"op":"flush","time":1768478402000}
            {"op":"move","peer":"0xb","position":[3,1.5,-2],"prefer":null}
            {"op":"move","peer":"0xb","position":[4,1.5,-2]}
            {"op":"leave","peer":"0xa"}
            {"op":"flush","time":1768478404000}

            """,
            lines);
        using var output = new MemoryStream();
        await ReplayReader.RunAsync(new MemoryStream(Encoding.UTF8.GetBytes(lines)), [new ReplayWorld(output)]);
        Assert.Contains("""{"flush":2,"islands":[{"id":"I1","peers":["0xb"]""", Encoding.UTF8.GetString(output.ToArray()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Addresses_are_not_to_be_told_from_a_recording_and_stay_the_same_within_it()
    {
        async Task Day(IMessageBus bus, Func<Task> flush)
        {
            await BeatAsync(bus, "0xa", 1);
            await BeatAsync(bus, "0xb", 1);
            await BeatAsync(bus, "0xa", 1);
            await flush();
        }
        string[] first = (await RecordAsync(plain: false, Day)).Split('\n'), second = (await RecordAsync(plain: false, Day)).Split('\n');
        Assert.DoesNotContain("0xa", first[0], StringComparison.Ordinal);
        Assert.Equal(first[0], first[2]);
        Assert.NotEqual(first[0], first[1]);
        Assert.NotEqual(first[0], second[0]);
    }

    /// <summary>Two pairs 100 m apart; one of the left pair walks over to the right and back, twice, with 30 s between flushes.</summary>
    private static string Day()
    {
        var lines = new StringBuilder();
        long time = 0;
        void Move(string peer, float x) => lines.Append(System.Globalization.CultureInfo.InvariantCulture, $"{{\"op\":\"move\",\"peer\":\"{peer}\",\"position\":[{x},0,0]}}\n");
        void Flush() => lines.Append(System.Globalization.CultureInfo.InvariantCulture, $"{{\"op\":\"flush\",\"time\":{time += 30_000}}}\n");
        Move("a", 0);
        Move("b", 5);
        Move("c", 100);
        Move("d", 105);
        Flush();
        for (int i = 0; i < 2; i++)
        {
            Move("b", 104);
            Flush();
            Move("b", 5);
            Flush();
        }
        return lines.ToString();
    }

    private static async Task<ReplayMeasures> MeasureAsync(string lines, string? options)
    {
        var measures = new ReplayMeasures(TimeSpan.FromSeconds(2));
        ReplayOverrides? overrides = options is null ? null : ReplayComparison.Parse(options).Options;
        await ReplayReader.RunAsync(new MemoryStream(Encoding.UTF8.GetBytes(lines)), [new ReplayWorld(null, measures, overrides)]);
        return measures;
    }

    [Fact]
    public async Task A_summary_says_what_people_noticed_and_would_have_noticed()
    {
        ReplayMeasures recorded = await MeasureAsync(Day(), null), wide = await MeasureAsync(Day(), "join=110,leave=120"), small = await MeasureAsync(Day(), "cap=1");
        // The first flush has no time before it: 2 s, then four times 30 s, for four people; b moves four times.
        Assert.Equal(4 / (4 * 122.0 / 3600), recorded.MovesAPersonAnHour, 9);
        Assert.Equal((5, 4.0, 2.0, 3), (recorded.Flushes, recorded.People, recorded.Islands, recorded.BiggestIsland));
        Assert.Equal(1, recorded.Together);
        Assert.Equal((0.0, 1.0, 4), (wide.MovesAPersonAnHour, wide.Islands, wide.BiggestIsland));
        Assert.Equal((0.0, 4.0, 0.0), (small.MovesAPersonAnHour, small.Islands, small.Together));
        string table = ReplayComparison.Table([("as recorded", recorded), ("cap=1", small)]);
        Assert.Contains("100.0 %", table, StringComparison.Ordinal);
        Assert.Contains(" cap=1", table, StringComparison.Ordinal);
        Assert.True(double.IsNaN((await MeasureAsync("", null)).Together));
    }

    [Fact]
    public async Task A_crowd_is_compared_under_another_policy()
    {
        var lines = new StringBuilder();
        for (int i = 0; i < 30; i++)
            lines.Append(System.Globalization.CultureInfo.InvariantCulture, $"{{\"op\":\"move\",\"peer\":\"p{i}\",\"position\":[{i * 7 % 30 * 4},0,0]}}\n{{\"op\":\"flush\"}}\n");
        for (int i = 0; i < 91; i++)
            lines.Append("{\"op\":\"flush\"}\n");
        ReplayMeasures plain = await MeasureAsync(lines.ToString(), "cap=10"), coherent = await MeasureAsync(lines.ToString(), "cap=10,crowds=coherent");
        Assert.InRange(coherent.Together, plain.Together + 0.1, 1);
        Assert.InRange(coherent.LowestTenth, plain.LowestTenth, coherent.Together);
        // A recording may say which policy its day had.
        ReplayMeasures told = await MeasureAsync("""{"op":"options","maxIslandSize":10,"crowds":"coherent"}""" + "\n" + lines, null);
        Assert.Equal((coherent.Together, coherent.MovesAPersonAnHour), (told.Together, told.MovesAPersonAnHour));
        BadLineException e = await Assert.ThrowsAsync<BadLineException>(() => MeasureAsync("""{"op":"options","crowds":"tidy"}""", null));
        Assert.Contains("\"crowds\" must be", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("crowds=tidy")]
    [InlineData("join")]
    [InlineData("join=x")]
    [InlineData("join=-1")]
    [InlineData("cap=1.5")]
    [InlineData("cap=0")]
    [InlineData("size=3")]
    [InlineData("")]
    public void Options_that_are_none_are_refused_in_words(string text) => Assert.Contains("join=METRES", ReplayComparison.Parse(text).Fault, StringComparison.Ordinal);
}
