using Archipelago.Messaging;
using Archipelago.Testing;

namespace Archipelago.Nats.Tests;

/// <summary>One server for tests that do it no harm.</summary>
public sealed class SharedServer : IAsyncLifetime
{
    internal NatsServer Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await NatsServer.StartAsync();

    public async Task DisposeAsync() => await Server.DisposeAsync();
}

/// <summary>The contract of every bus, over a real server.</summary>
public class NatsBusTests(SharedServer shared) : BusContract, IClassFixture<SharedServer>
{
    protected override async Task<IMessageBus> ConnectAsync(bool echo = true) =>
        new NatsBus(await NatsConnection.ConnectAsync(new NatsOptions { Servers = [shared.Server.Url], Echo = echo }));
}
