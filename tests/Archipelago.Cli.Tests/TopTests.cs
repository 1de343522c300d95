using System.Text.Json;
using Archipelago.Cli.Top;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Archipelago.Cli.Tests;

/// <summary>Hosts and world on a terminal.</summary>
public class TopTests
{
    private static string Draw(IReadOnlyList<HostView> hosts, WorldFigures world)
    {
        using var text = new StringWriter();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(text) });
        console.Profile.Width = 160;
        console.Write(Dashboard.Draw(hosts, world));
        return text.ToString();
    }

    private static JsonElement Frame(string json) => JsonDocument.Parse(json).RootElement;

    [Fact]
    public void Figures_are_read_from_metrics_and_their_growth_from_two_of_them()
    {
        var before = new HostFigures("# HELP x y\nhttp_requests_total{code=\"200\"} 10\nhttp_requests_total{code=\"404\"} 5\narchipelago_stats_peers 3\n", 100);
        var now = new HostFigures("http_requests_total{code=\"200\"} 30\nhttp_requests_total{code=\"404\"} 5\narchipelago_stats_peers 4\nnonsense\n", 104);
        Assert.Equal(("Stats", 5.0, 4.0, 0.0), (now.Kind, now.Rate("http_requests_total", before), now["archipelago_stats_peers"], now["nobody_tells"]));
        Assert.Equal((0.0, 0.0), (before.Rate("http_requests_total", now), now.Rate("http_requests_total", null)));
    }

    [Fact]
    public void The_world_is_what_the_stream_tells()
    {
        var world = new WorldFigures();
        world.Take("changes", Frame("""{"time":1,"healthy":false,"heartbeats":9,"came":[[9,"0xold",1,2]],"moved":[],"left":[],"islands":[],"gone":[]}"""));
        world.Take("world", Frame("""{"time":1000,"healthy":true,"heartbeats":10,"peers":[[1,"0xa",1,2],[2,"0xb",1,2]],"islands":[{"id":"[red]I1[/]","max":2,"x":1,"z":2,"radius":1,"peers":[1,2]}]}"""));
        world.Take("changes", Frame("""
            {"time":3000,"healthy":true,"heartbeats":30,"came":[[3,"0xc",null,null]],"moved":[[1,2,2]],"left":[2],"islands":[{"id":"I2","max":5,"x":1,"z":2,"radius":1,"peers":[3]},{"id":"[red]I1[/]","max":2,"x":1,"z":2,"radius":1,"peers":[1]}],"gone":[],
             "flush":{"number":7,"seconds":2,"flushMs":1.5,"slowestNewcomerFlushMs":null,"newcomers":4,"splits":0,"merges":2,"left":1,"heartbeats":20}}
            """));
        world.Take("changes", Frame("""{"time":3250,"healthy":true,"heartbeats":31,"came":[],"moved":[],"left":[],"islands":[{"id":"[red]I1[/]","max":1,"x":3,"z":2,"radius":1}],"gone":[]}"""));
        Assert.Equal((2, 2, 1, 10.0), (world.People, world.Islands, world.Full, Math.Round(world.Heartbeats)));
        Assert.Equal((7, 1.5), (world.LastFlush!.Number, world.Slowest.Single().Milliseconds));
        string drawn = Draw([new HostView(new Uri("http://h:1"), "not there", null, null)], world);
        foreach (string text in (string[])["[red]I1[/]", "1/1", "1/5", "not there", "h:1", "#7", "alive"])
            Assert.Contains(text, drawn, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_realm_is_shown_with_all_its_hosts()
    {
        var values = new Dictionary<string, string> { ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "0.2" };
        foreach (string scope in (string[])["SERVICE", "CONNECTOR", "STATS", "REALM_PROVIDER"])
            values[scope + "__HTTP_SERVER_PORT"] = "0";
        await using Realm realm = await Realm.StartAsync([values]);
        await using IMessageBus bus = realm.Connect();
        for (int i = 0; i < 5; i++)
            await bus.PublishAsync(Subjects.Heartbeat($"0x{i}"), new Heartbeat { Position = new Position { X = i } }.ToByteArray());
        using var watch = new Watch([realm.Service, realm.Connector, realm.Stats, realm.RealmProvider]);
        using var end = new CancellationTokenSource();
        Task watching = watch.RunAsync(() => { }, end.Token);
        string drawn = "";
        await Eventually.TrueAsync(() => (drawn = watch.Show(Draw)).Contains("5/100", StringComparison.Ordinal) && drawn.Contains("5 peers", StringComparison.Ordinal));
        foreach (string text in (string[])["Service", "Connector", "Stats", "RealmProvider", "catalysts offered: 1"])
            Assert.Contains(text, drawn, StringComparison.Ordinal);
        Assert.DoesNotContain("not ready", drawn, StringComparison.Ordinal);
        await end.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => watching);
    }
}
