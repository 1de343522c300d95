using System.Text.Json.Nodes;
using Archipelago.Cli.Load;

namespace Archipelago.Cli.Tests;

/// <summary>Short slices of the loads that a Connector is put under.</summary>
public class ConnectorLoadTests
{
    private static async Task<JsonObject> RunAsync(ConnectorLoadOptions options)
    {
        await using var load = new ConnectorLoad(options);
        return await load.RunAsync();
    }

    [Fact]
    public async Task Nobody_is_dropped_and_a_heartbeat_costs_no_memory_to_speak_of()
    {
        JsonObject result = await RunAsync(new ConnectorLoadOptions(Clients: 300, Rate: 5, Seconds: 5, Sink: true));
        Assert.Equal(0, (int)result["dropped"]!);
        Assert.InRange((double)result["heartbeatsASecond"]!, 500, 1600);
        // The process's own timers and the like, over some seven thousand heartbeats.
        Assert.InRange((double)result["allocatedBytesAHeartbeat"]!, 0, 64);
        Assert.True((double)result["forwardedMs"]!["max"]! > 0);
        Assert.True((double)result["sink"]!["cpuOfACore"]! > 0);
    }

    [Fact]
    public async Task After_a_storm_everybody_is_in_again_and_the_others_were_not_dropped()
    {
        JsonObject result = await RunAsync(new ConnectorLoadOptions(Clients: 100, Rate: 2, Seconds: 3, Storm: 300));
        Assert.Equal((0, 300), ((int)result["dropped"]!, (int)result["storm"]!));
        Assert.True((double)result["stormAllInAfterSeconds"]! > 0.9);
    }

    [Fact]
    public async Task Strangers_drop_nobody_and_keep_no_newcomer_out()
    {
        JsonObject result = await RunAsync(new ConnectorLoadOptions(Clients: 100, Rate: 2, Seconds: 4, Strangers: 100));
        Assert.Equal(0, (int)result["dropped"]!);
        Assert.True((double)result["strangersASecond"]! > 10);
        Assert.True((double)result["newcomerMs"]!["max"]! > 0);
    }
}
