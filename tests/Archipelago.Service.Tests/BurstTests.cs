using Archipelago.Core;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Nats;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Archipelago.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Service.Tests;

/// <summary>Everybody moves at once, and the bus is a real server with limits for those who read slowly.</summary>
public class BurstTests
{
    [Fact]
    public async Task Ten_thousand_changes_of_islands_of_a_hundred_go_through_a_real_server_and_nobody_loses_one()
    {
        const int Islands = 100, Members = 100;
        await using NatsServer server = await NatsServer.StartAsync();
        await using NatsConnection listener = await NatsConnection.ConnectAsync(new NatsOptions { Servers = [server.Url] });
        int heard = 0;
        long bytes = 0;
        var again = new HashSet<string>();
        listener.Subscribe(Subjects.AllIslandChanges, message =>
        {
            bytes += message.Payload.Length;
            lock (again)
                Assert.True(again.Add(System.Text.Encoding.ASCII.GetString(message.Subject)));
            Interlocked.Increment(ref heard);
        });
        await listener.FlushAsync();

        Settings settings = RunningHost.Settings(Fixture.Values);
        ServiceOptions options = ServiceOptions.Read(settings);
        var clock = new ManualClock();
        IslandWorld world = IslandWorld.Of(new IslandEngine(options.Islands), new IslandNames("I"), clock);
        for (int i = 0; i < Islands * Members; i++)
            world.Peers.Add($"0x{i:x40}", null, new Position(1000f * (i / Members), 0, i % Members / 2f), IslandId.None, 0, 0, out _);
        var changes = new List<IslandChange>();
        changes.AddRange(world.Engine.Flush().Changes);
        Assert.Equal(Islands * Members, changes.Count);

        await using IMessageBus bus = new NatsBus(await NatsConnection.ConnectAsync(new NatsOptions { Servers = [server.Url] }));
        using var alone = new Leadership(options.Standby.Leadership, null, clock, NullLogger<Leadership>.Instance);
        var publisher = new IslandPublisher(
            bus, new Worlds(world), alone, new LiveKitTokens(options.LiveKit), options, clock, new LogThrottle(clock, TimeSpan.FromSeconds(1)), NullLogger<IslandPublisher>.Instance);
        await publisher.PublishChangesAsync(changes, default);
        await bus.FlushAsync();
        await Eventually.TrueAsync(() => Volatile.Read(ref heard) == Islands * Members);
        Assert.InRange(bytes, 60_000_000, 90_000_000);
        Assert.Empty(changes);
        Assert.DoesNotContain("Slow Consumer", await File.ReadAllTextAsync(Path.Combine(server.Folder, "log")), StringComparison.Ordinal);
    }
}
