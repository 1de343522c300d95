using System.Text.Json.Nodes;
using Archipelago.Cli;
using Archipelago.Connector;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Testing;
using Microsoft.AspNetCore.Builder;

namespace Interop.Tests;

/// <summary>A realm with two Connectors on a real NATS server, where clients and listeners that are not ours look at it from both sides.</summary>
public sealed class BusFixture : IAsyncLifetime
{
    private NatsServer nats = null!;
    private Realm realm = null!;
    private IMessageBus bus = null!;
    private WebApplication second = null!;

    public async Task InitializeAsync()
    {
        nats = await NatsServer.StartAsync();
        var values = new Dictionary<string, string>
        {
            ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "0.2", ["ARCHIPELAGO_STATUS_UPDATE_INTERVAL"] = "200", ["SUPERSEDE_COOLDOWN_MS"] = "500", ["COMMIT_HASH"] = "abc",
        };
        foreach (string scope in (string[])["SERVICE", "CONNECTOR", "STATS", "REALM_PROVIDER"])
            values[scope + "__HTTP_SERVER_PORT"] = "0";
        realm = await Realm.StartAsync([values], nats.Url.ToString());

        // The second one has little patience.
        values["HANDSHAKE_TIMEOUT"] = "2000";
        var settings = new Settings("CONNECTOR", [values], new Dictionary<string, string> { ["HTTP_SERVER_HOST"] = "127.0.0.1", ["DENYLIST_URL"] = "", ["ETH_RPC_URL"] = "", ["DRAIN_WINDOW_MS"] = "0" });
        bus = NatsSettings.Connect(settings, nats.Url.ToString(), TimeProvider.System);
        second = ConnectorHost.Build(new HostContext(settings, bus, TimeProvider.System));
        await HostRunner.StartAsync(second, "CONNECTOR");
        await bus.FlushAsync();
    }

    public async Task DisposeAsync()
    {
        await second.StopAsync();
        await second.DisposeAsync();
        await realm.DisposeAsync();
        await nats.DisposeAsync();
    }

    /// <summary>Plays one scenario of <c>js/bus.mjs</c>.</summary>
    public Task PlayAsync(string scenario) => Scenario.PlayAsync("bus.mjs", scenario, new JsonObject
    {
        ["ws"] = realm.WebSocket.ToString(),
        ["ws2"] = $"ws://{HostRunner.AddressOf(second).Authority}/ws",
        ["connector"] = realm.Connector.ToString(),
        ["nats"] = nats.Url.ToString(),
    });
}

public class BusTests(BusFixture realm) : IClassFixture<BusFixture>
{
    [Theory]
    [InlineData("silence is closed after the handshake timeout, and nobody after the welcome")]
    [InlineData("what does not belong to the handshake closes")]
    [InlineData("a text frame is read like a binary one, and other packets after the welcome are ignored")]
    [InlineData("the status counts who is in, and not who waits")]
    [InlineData("a session is told with exactly one disconnect, and who never came in leaves no trace")]
    [InlineData("an island change reaches its addressee alone")]
    [InlineData("a session at another Connector ends the earlier one, and the address lives on")]
    [InlineData("twins who both come back at once are held off")]
    [InlineData("every message on the bus is what the reference decoder knows")]
    public Task Clients_and_listeners_find_what_they_know(string scenario) => realm.PlayAsync(scenario);
}
