using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;

namespace Archipelago.Stats.Tests;

/// <summary>What is written of the interface is what it does.</summary>
public class DescriptionTests
{
    private const string Ann = "0xa11ce00000000000000000000000000000000001", Bob = "0xb0b0000000000000000000000000000000000002";

    [Fact]
    public async Task The_description_and_the_examples_are_true()
    {
        await using StubServer content = await StubServer.StartAsync(c => c.Response.WriteAsync("""
            [{"id":"bafy1","metadata":{"display":{"title":"Plaza","description":"A square","navmapThumbnail":"https://example.org/plaza.png"},"contact":{"name":"Ann"},
              "scene":{"base":"0,0","parcels":["0,0","0,1"]}}}]
            """));
        var clock = new ManualClock();
        await using RunningHost host = await RunningHost.StartAsync(
            StatsHost.Build, new() { ["CONTENT_URL"] = content.Url, ["CURRENT_VERSION"] = "1.2.3", ["COMMIT_HASH"] = "0c0ffee" }, clock);
        await host.Bus.PublishAsync(Subjects.Heartbeat(Ann), new Heartbeat { Position = new Position { X = 1, Z = 2 } }.ToByteArray());
        await host.Bus.PublishAsync(Subjects.Heartbeat(Bob), new Heartbeat { Position = new Position { X = -0.5f, Y = 1.75f, Z = 30 } }.ToByteArray());
        var island = new IslandData { Id = "I1", MaxPeers = 100, Center = new Position { X = 0.25f, Z = 16 }, Radius = 14.0200748, Peers = { Ann, Bob } };
        await host.Bus.PublishAsync(Subjects.Islands, new IslandStatusMessage { Data = { island } }.ToByteArray());
        var status = new ServiceStatus { CurrentTime = (ulong)clock.GetUtcNow().ToUnixTimeMilliseconds(), UserCount = 2 };
        await host.Bus.PublishAsync(Subjects.Discovery, new ServiceDiscoveryMessage { ServerName = "archipelago", Status = status }.ToByteArray());

        await Description.AssertExamplesAsync(host, "Stats", answer => answer);
        // The stream's first frame stands in the page as it is.
        using HttpResponseMessage stream = await host.Http.GetAsync(new Uri("/stream", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await stream.Content.ReadAsStreamAsync());
        string frame = $"{await reader.ReadLineAsync()}\n{await reader.ReadLineAsync()}\n";
        Assert.Contains(frame, await File.ReadAllTextAsync(Description.PathOf("http.md")), StringComparison.Ordinal);
        await Description.AssertOpenApiAsync(host, "stats.json");
    }
}
