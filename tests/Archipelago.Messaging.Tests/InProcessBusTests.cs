using Archipelago.Testing;

namespace Archipelago.Messaging.Tests;

public class InProcessBusTests : BusContract
{
    private readonly InProcessBroker broker = new();

    protected override Task<IMessageBus> ConnectAsync(bool echo = true) => Task.FromResult(broker.Connect(echo));

    [Fact]
    public async Task Errors_of_handlers_are_counted_and_told()
    {
        var told = new List<string>();
        var loud = new InProcessBroker((pattern, e) => told.Add($"{pattern}: {e.Message}"));
        await using IMessageBus bus = loud.Connect();
        bus.Subscribe("a.*", _ => throw new InvalidOperationException("broken"));
        await bus.PublishAsync("a.b", default);
        Assert.Equal(1, loud.HandlerErrors);
        Assert.Equal(["a.*: broken"], told);
    }

    [Fact]
    public async Task Publishing_allocates_nothing()
    {
        await using IMessageBus bus = broker.Connect();
        int heard = 0;
        bus.Subscribe("peer.*.heartbeat", _ => heard++);
        byte[] payload = new byte[34];
        for (int i = 0; i < 1000; i++)
            await bus.PublishAsync("peer.0x1b4c4f0a5c1f8f5d8b5b3f1e2d3c4b5a69788796.heartbeat", payload);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            ValueTask published = bus.PublishAsync("peer.0x1b4c4f0a5c1f8f5d8b5b3f1e2d3c4b5a69788796.heartbeat", payload);
            Assert.True(published.IsCompletedSuccessfully);
        }
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(2000, heard);
    }
}

public class SubjectPatternTests
{
    [Theory]
    [InlineData("a", "a", true)]
    [InlineData("a", "b", false)]
    [InlineData("a.*", "a.b", true)]
    [InlineData("a.*", "a", false)]
    [InlineData("a.*", "a.b.c", false)]
    [InlineData("a.>", "a", false)]
    [InlineData("a.>", "a.b.c", true)]
    [InlineData(">", "a.b.c", true)]
    [InlineData("peer.*.heartbeat", "peer.0x1.heartbeat", true)]
    [InlineData("peer.*.heartbeat", "peer.0x1.disconnect", false)]
    [InlineData("*.*", "a.b", true)]
    public void Matches_as_NATS_does(string pattern, string subject, bool expected) =>
        Assert.Equal(expected, new SubjectPattern(pattern).Matches(System.Text.Encoding.UTF8.GetBytes(subject)));
}
