using Archipelago.Testing;

namespace Archipelago.Nats.Tests;

/// <summary>Counted for the whole process, so nothing else may run meanwhile.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;

[Collection(nameof(Alone))]
public class AllocationTests
{
    /// <summary>Bytes a message that the runtime and the test's own surroundings may make: far below the smallest object a message.</summary>
    private const double Noise = 0.5;

    [Fact]
    public async Task Sending_and_receiving_allocate_nothing()
    {
        await using NatsServer server = await NatsServer.StartAsync();
        await using NatsConnection connection = await NatsConnection.ConnectAsync(new NatsOptions { Servers = [server.Url] });
        int heard = 0;
        connection.Subscribe("peer.*.heartbeat", _ => Volatile.Write(ref heard, heard + 1));
        byte[] payload = new byte[34];
        const string Subject = "peer.0x1b4c4f0a5c1f8f5d8b5b3f1e2d3c4b5a69788796.heartbeat";
        double perMessage = double.MaxValue;
        // What the runtime does beside it is not the connection's; the least of some rounds is.
        for (int round = 0; round < 8 && perMessage > Noise; round++)
        {
            int before = Volatile.Read(ref heard);
            long allocated = GC.GetTotalAllocatedBytes(precise: true);
            const int Messages = 50_000;
            for (int i = 0; i < Messages; i++)
                while (!connection.TryPublish(Subject, payload))
                    Thread.Yield();
            while (Volatile.Read(ref heard) < before + Messages)
                Thread.Yield();
            perMessage = Math.Min(perMessage, (GC.GetTotalAllocatedBytes(precise: true) - allocated) / (double)Messages);
        }
        Assert.InRange(perMessage, 0, Noise);
    }
}
