using System.Text;
using Archipelago.Messaging;

namespace Archipelago.Testing;

/// <summary>What every bus must do, whatever carries it. Each implementation inherits the suite.</summary>
public abstract class BusContract
{
    /// <summary>Connects one more participant to the same bus.</summary>
    protected abstract Task<IMessageBus> ConnectAsync(bool echo = true);

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    /// <summary>Collects messages and lets a test await the n-th.</summary>
    private sealed class Inbox
    {
        private readonly List<(string Subject, byte[] Payload)> messages = [];
        private readonly SemaphoreSlim arrived = new(0);

        public void Take(BusMessage message)
        {
            lock (messages)
                messages.Add((Encoding.UTF8.GetString(message.Subject), message.Payload.ToArray()));
            arrived.Release();
        }

        public async Task<List<(string Subject, byte[] Payload)>> AwaitAsync(int count)
        {
            for (int i = 0; i < count; i++)
                Assert.True(await arrived.WaitAsync(TimeSpan.FromSeconds(20)), $"only {i} of {count} messages arrived");
            lock (messages)
                return [.. messages];
        }
    }

    /// <summary>Passes once everything published before by the same participant has been delivered.</summary>
    private static async Task FenceAsync(IMessageBus from, IMessageBus to)
    {
        var inbox = new Inbox();
        string subject = $"fence.{Guid.NewGuid():N}";
        using IDisposable subscription = to.Subscribe(subject, inbox.Take);
        await to.FlushAsync();
        await from.PublishAsync(subject, default);
        await inbox.AwaitAsync(1);
    }

    [Fact]
    public async Task A_message_reaches_who_subscribed_with_its_subject_and_bytes()
    {
        await using IMessageBus a = await ConnectAsync(), b = await ConnectAsync();
        var inbox = new Inbox();
        using IDisposable _ = b.Subscribe("peer.*.heartbeat", inbox.Take);
        await b.FlushAsync();
        await a.PublishAsync("peer.0xab.heartbeat", Bytes("hello"));
        (string subject, byte[] payload) = Assert.Single(await inbox.AwaitAsync(1));
        Assert.Equal("peer.0xab.heartbeat", subject);
        Assert.Equal("hello", Encoding.UTF8.GetString(payload));
    }

    [Fact]
    public async Task Messages_of_one_publisher_keep_their_order()
    {
        await using IMessageBus a = await ConnectAsync(), b = await ConnectAsync();
        var inbox = new Inbox();
        using IDisposable _ = b.Subscribe("order.>", inbox.Take);
        await b.FlushAsync();
        for (int i = 0; i < 1000; i++)
            await a.PublishAsync($"order.{i % 3}", BitConverter.GetBytes(i));
        List<(string Subject, byte[] Payload)> got = await inbox.AwaitAsync(1000);
        Assert.Equal(Enumerable.Range(0, 1000), got.Select(m => BitConverter.ToInt32(m.Payload)));
    }

    [Fact]
    public async Task Every_subscriber_gets_its_own_copy()
    {
        await using IMessageBus a = await ConnectAsync(), b = await ConnectAsync(), c = await ConnectAsync();
        Inbox one = new(), two = new(), three = new();
        using IDisposable x = b.Subscribe("news", one.Take), y = b.Subscribe("*", two.Take), z = c.Subscribe("news", three.Take);
        await b.FlushAsync();
        await c.FlushAsync();
        await a.PublishAsync("news", Bytes("!"));
        foreach (Inbox inbox in (Inbox[])[one, two, three])
            Assert.Single(await inbox.AwaitAsync(1));
    }

    [Theory]
    [InlineData(true, 1)]
    [InlineData(false, 0)]
    public async Task A_participant_hears_itself_only_with_echo(bool echo, int heard)
    {
        await using IMessageBus a = await ConnectAsync(echo), b = await ConnectAsync();
        Inbox own = new(), other = new();
        using IDisposable x = a.Subscribe("self", own.Take), y = b.Subscribe("self", other.Take);
        await a.FlushAsync();
        await b.FlushAsync();
        await a.PublishAsync("self", Bytes("1"));
        await other.AwaitAsync(1);
        await FenceAsync(b, a);
        Assert.Equal(heard, (await own.AwaitAsync(0)).Count);
    }

    [Fact]
    public async Task Nothing_comes_after_unsubscribing()
    {
        await using IMessageBus a = await ConnectAsync(), b = await ConnectAsync();
        Inbox inbox = new();
        IDisposable subscription = b.Subscribe("x.*", inbox.Take);
        await b.FlushAsync();
        await a.PublishAsync("x.1", default);
        await inbox.AwaitAsync(1);
        subscription.Dispose();
        subscription.Dispose();
        await b.FlushAsync();
        await a.PublishAsync("x.2", default);
        await FenceAsync(a, b);
        Assert.Single(await inbox.AwaitAsync(0));
    }

    [Fact]
    public async Task Large_and_empty_payloads_arrive_whole()
    {
        await using IMessageBus a = await ConnectAsync(), b = await ConnectAsync();
        Inbox inbox = new();
        using IDisposable _ = b.Subscribe("size", inbox.Take);
        await b.FlushAsync();
        byte[] large = new byte[1_000_000];
        new Random(1).NextBytes(large);
        await a.PublishAsync("size", large);
        await a.PublishAsync("size", default);
        List<(string Subject, byte[] Payload)> got = await inbox.AwaitAsync(2);
        Assert.Equal(large, got[0].Payload);
        Assert.Empty(got[1].Payload);
    }

    [Fact]
    public async Task Headers_arrive_beside_the_payload_and_their_absence_is_empty()
    {
        await using IMessageBus a = await ConnectAsync(), b = await ConnectAsync();
        Inbox inbox = new();
        using IDisposable _ = b.Subscribe("head", m => inbox.Take(new BusMessage(BusHeaders.TryGet(m.Headers, "Kind"u8, out ReadOnlySpan<byte> kind) ? kind : "none"u8, m.Payload)));
        await b.FlushAsync();
        await a.PublishAsync("head", Bytes("x"), headers: BusHeaders.Of("Kind", "large one"));
        await a.PublishAsync("head", Bytes("y"));
        Assert.Equal([("large one", "x"), ("none", "y")], (await inbox.AwaitAsync(2)).Select(m => (m.Subject, System.Text.Encoding.UTF8.GetString(m.Payload))));
    }

    [Theory]
    [InlineData("", "x")]
    [InlineData("a b", "x")]
    [InlineData("a", "x\r\ny")]
    public void A_header_that_would_break_the_block_is_refused(string name, string value) => Assert.ThrowsAny<ArgumentException>(() => BusHeaders.Of(name, value));

    [Fact]
    public async Task A_handler_that_throws_stops_nobody()
    {
        await using IMessageBus a = await ConnectAsync(), b = await ConnectAsync();
        Inbox inbox = new();
        using IDisposable x = b.Subscribe("t", _ => throw new InvalidOperationException("on purpose")), y = b.Subscribe("t", inbox.Take);
        await b.FlushAsync();
        await a.PublishAsync("t", default);
        await a.PublishAsync("t", default);
        Assert.Equal(2, (await inbox.AwaitAsync(2)).Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a..b")]
    [InlineData(".a")]
    [InlineData("a.")]
    [InlineData("a b")]
    [InlineData("a\r\nPUB x 0")]
    [InlineData("a.*")]
    [InlineData("a.>")]
    public async Task Subjects_that_are_none_are_refused(string subject)
    {
        await using IMessageBus a = await ConnectAsync();
        await Assert.ThrowsAnyAsync<ArgumentException>(async () => await a.PublishAsync(subject, default));
    }

    [Theory]
    [InlineData("a.>.b")]
    [InlineData("a*")]
    [InlineData("a..*")]
    [InlineData(" ")]
    public async Task Malformed_patterns_are_refused(string pattern)
    {
        await using IMessageBus a = await ConnectAsync();
        Assert.ThrowsAny<ArgumentException>(() => a.Subscribe(pattern, _ => { }));
    }

    [Fact]
    public async Task Who_has_left_neither_speaks_nor_hears()
    {
        await using IMessageBus a = await ConnectAsync();
        IMessageBus b = await ConnectAsync();
        Inbox inbox = new();
        b.Subscribe("gone", inbox.Take);
        await b.FlushAsync();
        Assert.True(b.IsConnected);
        await b.DisposeAsync();
        await b.DisposeAsync();
        Assert.False(b.IsConnected);
        await a.PublishAsync("gone", default);
        await FenceAsync(a, a);
        Assert.Empty(await inbox.AwaitAsync(0));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await b.PublishAsync("x", default));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => b.FlushAsync());
        Assert.Throws<ObjectDisposedException>(() => b.Subscribe("x", _ => { }));
    }

    [Fact]
    public async Task Subscribing_and_leaving_during_traffic_harms_nobody()
    {
        await using IMessageBus a = await ConnectAsync(), b = await ConnectAsync();
        Inbox inbox = new();
        using IDisposable _ = b.Subscribe("busy", inbox.Take);
        await b.FlushAsync();
        Task traffic = Task.Run(async () =>
        {
            for (int i = 0; i < 2000; i++)
                await a.PublishAsync("busy", BitConverter.GetBytes(i));
        });
        for (int i = 0; i < 50; i++)
        {
            await using IMessageBus passing = await ConnectAsync();
            passing.Subscribe("busy", _ => { });
        }
        await traffic;
        Assert.Equal(2000, (await inbox.AwaitAsync(2000)).Count);
    }
}
