using System.Text.Json.Nodes;
using Archipelago.Cli.Load;

namespace Archipelago.Cli.Tests;

/// <summary>Short slices of the loads that read.</summary>
public class ReadLoadTests
{
    [Fact]
    public async Task Stats_listens_to_everybody_while_it_is_read()
    {
        await using var load = new StatsLoad(2_000, 10, 3);
        JsonObject result = await load.RunAsync();
        Assert.Equal((2_000, 20), ((int)result["peers"]!, (int)result["islands"]!));
        foreach (string part in (string[])["listening", "read"])
        {
            Assert.InRange((double)result[part]!["heartbeatsASecond"]!, 1_000, 2_100);
            Assert.Equal(0, (long)result[part]!["dropped"]!);
        }
        Assert.True((double)result["read"]!["answersASecond"]! > 1);
        Assert.InRange((double)result["wholePeers"]!["megabytes"]!, 0.2, 0.6);
    }

    [Fact]
    public async Task The_RealmProvider_answers_from_memory()
    {
        await using var load = new RealmLoad(4, 2);
        JsonObject result = await load.RunAsync();
        Assert.True((double)result["answersASecond"]! > 100 && (double)result["cpuMsAnAnswer"]! > 0);
    }
}
