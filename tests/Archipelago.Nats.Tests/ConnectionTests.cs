using System.Diagnostics.Metrics;
using System.Text;
using Archipelago.Testing;

namespace Archipelago.Nats.Tests;

public class ConnectionTests(SharedServer shared) : IClassFixture<SharedServer>
{
    private Task<NatsConnection> ConnectAsync(Func<NatsOptions, NatsOptions>? change = null)
    {
        var options = new NatsOptions { Servers = [shared.Server.Url] };
        return NatsConnection.ConnectAsync(change is null ? options : change(options));
    }

    [Fact]
    public async Task A_request_gets_its_answer_with_headers()
    {
        await using NatsConnection asking = await ConnectAsync(), answering = await ConnectAsync();
        answering.Subscribe("double", m =>
        {
            Assert.True(Archipelago.Messaging.BusHeaders.TryGet(m.Headers, "Kind"u8, out ReadOnlySpan<byte> kind));
            int number = int.Parse(Encoding.UTF8.GetString(m.Payload), System.Globalization.CultureInfo.InvariantCulture);
            string answer = $"{2 * number} {Encoding.UTF8.GetString(kind)}";
            ValueTask sent = answering.PublishAsync(Encoding.UTF8.GetString(m.ReplyTo), Encoding.UTF8.GetBytes(answer), headers: Archipelago.Messaging.BusHeaders.Of("Answer", "yes"));
            Assert.True(sent.IsCompletedSuccessfully);
        });
        await answering.FlushAsync();
        NatsReply[] replies = await Task.WhenAll(Enumerable.Range(0, 100).Select(i =>
            asking.RequestAsync("double", Encoding.UTF8.GetBytes($"{i}"), TimeSpan.FromSeconds(10), Archipelago.Messaging.BusHeaders.Of("Kind", "number"))));
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"{2 * i} number"), replies.Select(r => Encoding.UTF8.GetString(r.Payload)));
        Assert.All(replies, r => Assert.True(Archipelago.Messaging.BusHeaders.TryGet(r.Headers, "Answer"u8, out _)));
    }

    [Fact]
    public async Task A_request_to_nobody_fails_at_once_and_one_without_answer_in_time()
    {
        await using NatsConnection asking = await ConnectAsync();
        await Assert.ThrowsAsync<NatsNoRespondersException>(() => asking.RequestAsync("nobody.there", default, TimeSpan.FromSeconds(20)));
        asking.Subscribe("silent", _ => { });
        await Assert.ThrowsAsync<TimeoutException>(() => asking.RequestAsync("silent", default, TimeSpan.FromMilliseconds(50)));
    }

    [Fact]
    public async Task A_subscription_of_three_messages_gets_three()
    {
        await using NatsConnection connection = await ConnectAsync();
        NatsSubscription three = connection.Subscribe("three", _ => { }, maxMessages: 3);
        for (int i = 0; i < 10; i++)
            await connection.PublishAsync("three", default);
        await connection.FlushAsync();
        Assert.Equal(3, three.Delivered);
        Assert.Equal(3, connection.Statistics.MessagesReceived);
    }

    [Fact]
    public async Task Members_of_a_queue_group_share_messages()
    {
        await using NatsConnection connection = await ConnectAsync();
        NatsSubscription one = connection.Subscribe("shared", _ => { }, "group"), two = connection.Subscribe("shared", _ => { }, "group");
        for (int i = 0; i < 200; i++)
            await connection.PublishAsync("shared", default);
        await connection.FlushAsync();
        Assert.Equal(200, one.Delivered + two.Delivered);
        Assert.NotEqual(0, one.Delivered);
        Assert.NotEqual(0, two.Delivered);
    }

    [Fact]
    public async Task Draining_a_subscription_lets_what_was_sent_arrive()
    {
        await using NatsConnection a = await ConnectAsync(), b = await ConnectAsync();
        NatsSubscription subscription = b.Subscribe("drain", _ => { });
        await b.FlushAsync();
        for (int i = 0; i < 1000; i++)
            await a.PublishAsync("drain", default);
        await a.FlushAsync();
        await subscription.DrainAsync();
        Assert.Equal(1000, subscription.Delivered);
        await a.PublishAsync("drain", default);
        await a.FlushAsync();
        await b.FlushAsync();
        Assert.Equal(1000, subscription.Delivered);
    }

    [Fact]
    public async Task Draining_the_connection_handles_everything_and_closes()
    {
        await using NatsConnection a = await ConnectAsync();
        NatsConnection b = await ConnectAsync();
        NatsSubscription subscription = b.Subscribe("drained", _ => { });
        await b.FlushAsync();
        for (int i = 0; i < 1000; i++)
            await a.PublishAsync("drained", default);
        await a.FlushAsync();
        await b.DrainAsync();
        Assert.Equal(1000, subscription.Delivered);
        Assert.Equal(NatsState.Closed, b.State);
    }

    [Fact]
    public async Task A_message_too_large_for_the_server_is_refused_before_it_is_sent()
    {
        await using NatsConnection connection = await ConnectAsync();
        Assert.Equal(1 << 20, connection.MaxPayload);
        await connection.PublishAsync("large", new byte[1 << 20]);
        ArgumentException e = await Assert.ThrowsAsync<ArgumentException>(async () => await connection.PublishAsync("large", new byte[(1 << 20) + 1]));
        Assert.Contains("1048577", e.Message, StringComparison.Ordinal);
        await connection.FlushAsync();
        Assert.Equal(0, connection.Statistics.Reconnects);
    }

    [Fact]
    public async Task Instruments_show_what_happened()
    {
        await using NatsConnection connection = await ConnectAsync();
        using var meter = new Meter("test");
        connection.AddInstruments(meter);
        var seen = new Dictionary<string, double>();
        using var listener = new MeterListener { InstrumentPublished = (i, l) => { if (i.Meter == meter) l.EnableMeasurementEvents(i); } };
        listener.SetMeasurementEventCallback<long>((i, value, tags, _) => seen[$"{i.Name}{(tags.Length > 0 ? ":" + tags[0].Value : "")}"] = value);
        listener.SetMeasurementEventCallback<double>((i, value, _, _) => seen[i.Name] = value);
        listener.Start();
        connection.Subscribe("m", _ => throw new InvalidOperationException("on purpose"));
        await connection.PublishAsync("m", new byte[10]);
        await connection.FlushAsync();
        listener.RecordObservableInstruments();
        Assert.Equal(1, seen["nats_messages_total:in"]);
        Assert.Equal(1, seen["nats_messages_total:out"]);
        Assert.Equal(10, seen["nats_bytes_total:in"]);
        Assert.Equal(1, seen["nats_handler_errors_total"]);
        Assert.Equal(0, seen["nats_dropped_total:Disconnected"]);
        Assert.InRange(seen["nats_pending_bytes"], 0, 100);
        Assert.InRange(seen["nats_round_trip_seconds"], 1e-7, 5);
    }

    [Fact]
    public async Task A_subject_that_the_server_would_end_the_connection_for_is_refused()
    {
        await using NatsConnection connection = await ConnectAsync();
        string subject = new('a', 5000);
        await Assert.ThrowsAsync<ArgumentException>(async () => await connection.PublishAsync(subject, default));
        Assert.Throws<ArgumentException>(() => connection.Subscribe(subject, _ => { }));
        string longest = new('a', 1000);
        connection.Subscribe(longest, _ => { });
        await connection.PublishAsync(longest, default);
        await connection.FlushAsync();
        Assert.Equal(1, connection.Statistics.MessagesReceived);
    }

    [Theory]
    [InlineData("nats://a:1,nats://b", "nats://a:1/ nats://b:4222/")]
    [InlineData("a", "nats://a:4222/")]
    [InlineData(" tls://user:word@c:5 , ", "tls://user:word@c:5/")]
    public void Lists_of_servers_are_read(string list, string expected) =>
        Assert.Equal(expected, string.Join(' ', NatsOptions.ParseServers(list)));

    [Theory]
    [InlineData("")]
    [InlineData("http://a")]
    [InlineData("nats://")]
    [InlineData("nats://a:port")]
    public void What_is_no_list_of_servers_is_refused(string list) => Assert.Throws<FormatException>(() => NatsOptions.ParseServers(list));

    [Fact]
    public void A_refused_address_does_not_tell_the_password() =>
        Assert.DoesNotContain("word", Assert.Throws<FormatException>(() => NatsOptions.ParseServers("http://me:word@a")).Message, StringComparison.Ordinal);
}
