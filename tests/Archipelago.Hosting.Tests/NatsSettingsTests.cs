using Archipelago.Messaging;
using Archipelago.Nats;

namespace Archipelago.Hosting.Tests;

public class NatsSettingsTests
{
    private static Settings Settings(params (string Name, string Value)[] values) => new("TEST", [values.ToDictionary(v => v.Name, v => v.Value)]);

    [Theory]
    [InlineData("NATS_URL", "http://a", "\"http://a\" is no address of a NATS server")]
    [InlineData("NATS_URL", "nats://me:word@", "no address")]
    [InlineData("NATS_CREDS_FILE", "/nowhere/at/all.creds", "/nowhere/at/all.creds")]
    [InlineData("NATS_NKEY_FILE", "/nowhere/at/all.nk", "/nowhere/at/all.nk")]
    [InlineData("NATS_TLS_CA_FILE", "/nowhere/at/all.pem", "/nowhere/at/all.pem")]
    [InlineData("NATS_PING_INTERVAL_MS", "soon", "must be a number")]
    public async Task What_cannot_work_is_told_with_what_to_check(string name, string value, string message)
    {
        Settings settings = Settings((name, value));
        await using IMessageBus bus = NatsSettings.Connect(settings, servers: null, TimeProvider.System);
        ConfigurationException e = Assert.Throws<ConfigurationException>(settings.ThrowIfFaulty);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("word", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Servers_named_on_the_command_line_go_before_the_environment_and_nobody_there_is_no_fault()
    {
        Settings settings = Settings(("NATS_URL", "nats://127.0.0.1:1"));
        await using IMessageBus bus = NatsSettings.Connect(settings, "nats://127.0.0.1:2", TimeProvider.System);
        settings.ThrowIfFaulty();
        Assert.False(bus.IsConnected);
        NatsConnection connection = Assert.IsType<NatsBus>(bus).Connection;
        while (connection.LastFailure is null)
            await Task.Yield();
        Assert.Contains("127.0.0.1:2", connection.LastFailure.Message, StringComparison.Ordinal);
    }
}
