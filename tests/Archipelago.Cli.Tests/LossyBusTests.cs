using System.Collections.Concurrent;
using Archipelago.Cli.Bots;
using Archipelago.Connector;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Service;
using Archipelago.Testing;
using Decentraland.Kernel.Comms.V3;
using Microsoft.AspNetCore.Builder;

namespace Archipelago.Cli.Tests;

/// <summary>A bus that loses a fifth of its messages: everybody still comes to know the island that they are in.</summary>
public class LossyBusTests
{
    /// <summary>Loses messages by the throw of seeded dice, but for the list of islands, by which the test knows the truth.</summary>
    private sealed class LossyBus(IMessageBus inner, Func<double> dice) : IMessageBus
    {
        public bool IsConnected => inner.IsConnected;

        public int MaxPayload => inner.MaxPayload;

        public ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers) =>
            subject != Subjects.Islands && dice() < 0.2 ? ValueTask.CompletedTask : inner.PublishAsync(subject, payload, whenDisconnected, cancellationToken, headers);

        public IDisposable Subscribe(string pattern, MessageHandler handler) => inner.Subscribe(pattern, handler);

        public Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    [Fact]
    public async Task Everybody_comes_to_know_their_island_within_a_few_periods()
    {
        var clock = new ManualClock();
        var broker = new InProcessBroker();
        var random = new Random(1);
        var throwing = new Lock();
        double Dice()
        {
            lock (throwing)
                return random.NextDouble();
        }
        var truth = new ConcurrentDictionary<string, string>();
        await using IMessageBus listener = broker.Connect();
        listener.Subscribe(Subjects.Islands, m =>
        {
            truth.Clear();
            foreach (IslandData island in IslandStatusMessage.Parser.ParseFrom(m.Payload).Data)
                foreach (string peer in island.Peers)
                    truth[peer] = island.Id;
        });
        HostContext Context(string scope) => new(
            new Settings(scope, [new Dictionary<string, string>
            {
                ["HTTP_SERVER_HOST"] = "127.0.0.1", ["HTTP_SERVER_PORT"] = "0", ["DENYLIST_URL"] = "", ["LIVEKIT_HOST"] = "wss://x",
                ["LIVEKIT_API_KEY"] = "key", ["LIVEKIT_API_SECRET"] = "a-secret-of-at-least-thirty-two-characters",
            }]),
            new LossyBus(broker.Connect(), Dice),
            clock);
        await using WebApplication service = ServiceHost.Build(Context("SERVICE")), connector = ConnectorHost.Build(Context("CONNECTOR"));
        await service.StartAsync();
        await connector.StartAsync();

        // Bots check what they are told: the same island twice in succession is an error of theirs.
        using var ending = new CancellationTokenSource();
        Bot[] bots = [.. Enumerable.Range(0, 40).Select(i => new Bot(i, clock, hearsAll: false))];
        Task living = Swarm.RunAsync(bots, new Uri($"ws://{HostRunner.AddressOf(connector).Authority}/ws"), ending.Token);
        await Eventually.TrueAsync(() => bots.All(b => b.Welcomed));
        double seconds = 0;
        await Eventually.TrueAsync(() =>
        {
            clock.Advance(TimeSpan.FromMilliseconds(100));
            seconds += 0.1;
            Assert.Empty(bots.Select(b => b.Error).OfType<string>());
            return bots.All(b => b.Island is not null && truth.TryGetValue(b.Address, out string? island) && island == b.Island);
        }, seconds: 60);
        // Ten times as often as every 30 s while nothing was heard; a question or its answer is lost now and then. The test's own waiting adds to it.
        Assert.InRange(seconds, 0, 600);
        Assert.Empty(bots.Select(b => b.Error).OfType<string>());
        await ending.CancelAsync();
        await living;
        await connector.StopAsync();
        await service.StopAsync();
    }
}
