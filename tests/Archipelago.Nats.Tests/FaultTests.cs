using System.Text;
using System.Threading.Channels;
using Archipelago.Messaging;
using Archipelago.Testing;

namespace Archipelago.Nats.Tests;

/// <summary>What a network and a server can do to a client, most of it with a real server; afterwards everything goes on.</summary>
public class FaultTests
{
    private static NatsOptions Options(params Uri[] servers) => new()
    {
        Servers = servers,
        PingInterval = TimeSpan.FromMilliseconds(200),
        // A busy machine is no silent server.
        SilentIntervals = 100,
        LongestPause = TimeSpan.FromMilliseconds(200),
    };

    /// <summary>A subscriber whose messages a test can await.</summary>
    private static (NatsSubscription Subscription, ChannelReader<string> Messages) Listen(NatsConnection connection, string subject)
    {
        var channel = Channel.CreateUnbounded<string>();
        return (connection.Subscribe(subject, m => channel.Writer.TryWrite(Encoding.UTF8.GetString(m.Payload))), channel.Reader);
    }

    private static async Task<string> NextAsync(ChannelReader<string> messages)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        return await messages.ReadAsync(limit.Token);
    }

    private static Task ConnectedAsync(NatsConnection connection, NatsServer to) =>
        Eventually.TrueAsync(() => connection.State == NatsState.Connected && connection.Server!.Port == to.Port);

    [Fact]
    public async Task A_server_that_is_killed_and_started_again_finds_everything_as_before()
    {
        await using NatsServer server = await NatsServer.StartAsync();
        await using NatsConnection a = await NatsConnection.ConnectAsync(Options(server.Url)), b = await NatsConnection.ConnectAsync(Options(server.Url));
        (_, ChannelReader<string> messages) = Listen(b, "news.*");
        await b.FlushAsync();
        await a.PublishAsync("news.1", "before"u8.ToArray());
        Assert.Equal("before", await NextAsync(messages));

        await server.KillAsync();
        await Eventually.TrueAsync(() => a.State == NatsState.Reconnecting && b.State == NatsState.Reconnecting);
        Assert.NotNull(a.LastFailure);
        await a.PublishAsync("news.2", "stale"u8.ToArray(), whenDisconnected: WhenDisconnected.Drop);
        (_, ChannelReader<string> later) = Listen(b, "later");
        await server.StartAgainAsync();
        await b.FlushAsync();
        await a.PublishAsync("news.3", "after"u8.ToArray());
        Assert.Equal("after", await NextAsync(messages));
        await a.PublishAsync("later", "too"u8.ToArray());
        Assert.Equal("too", await NextAsync(later));

        Assert.Equal(1, a.Statistics.Dropped(DropCause.Disconnected));
        Assert.Equal(1, a.Statistics.Reconnects);
        Assert.Equal(1, b.Statistics.Reconnects);
    }

    [Fact]
    public async Task What_is_kept_while_the_server_is_away_arrives_after_the_subscriptions_are_back()
    {
        await using NatsServer server = await NatsServer.StartAsync();
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url));
        (_, ChannelReader<string> messages) = Listen(connection, "kept");
        await connection.FlushAsync();
        await server.KillAsync();
        await Eventually.TrueAsync(() => connection.State == NatsState.Reconnecting);
        for (int i = 0; i < 100; i++)
            await connection.PublishAsync("kept", Encoding.UTF8.GetBytes(i.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        await server.StartAgainAsync();
        // Its own messages come back to it only if it is subscribed again before they are sent.
        for (int i = 0; i < 100; i++)
            Assert.Equal(i.ToString(System.Globalization.CultureInfo.InvariantCulture), await NextAsync(messages));
        Assert.Equal(0, connection.Statistics.Dropped(DropCause.KeepBufferFull));
    }

    [Fact]
    public async Task What_does_not_fit_into_the_buffer_of_what_is_kept_is_dropped_and_counted()
    {
        await using NatsConnection connection = NatsConnection.Start(Options(new Uri("nats://127.0.0.1:9")) with { KeepBuffer = 10_000 });
        for (int i = 0; i < 20; i++)
            await connection.PublishAsync("a", new byte[1000]);
        Assert.InRange(connection.Statistics.Dropped(DropCause.KeepBufferFull), 10, 12);
        Assert.InRange(connection.PendingBytes, 8000, 10_000);
        Assert.False(connection.TryPublish("a", new byte[1000], WhenDisconnected.Keep));
        Assert.False(connection.TryPublish("a", new byte[1], WhenDisconnected.Drop));
        Assert.Equal(1, connection.Statistics.Dropped(DropCause.Disconnected));
    }

    [Fact]
    public async Task Another_server_of_the_pool_takes_over()
    {
        await using NatsServer first = await NatsServer.StartAsync(), second = await NatsServer.StartAsync();
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(first.Url, second.Url));
        Assert.Equal(first.Port, connection.Server!.Port);
        (_, ChannelReader<string> messages) = Listen(connection, "x");
        await first.KillAsync();
        await ConnectedAsync(connection, second);
        await connection.PublishAsync("x", "here"u8.ToArray());
        Assert.Equal("here", await NextAsync(messages));
    }

    [Fact]
    public async Task A_first_server_that_is_down_does_not_keep_from_the_second()
    {
        await using NatsServer second = await NatsServer.StartAsync();
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(new Uri($"nats://127.0.0.1:{NatsServer.FreePort()}"), second.Url));
        Assert.Equal(second.Port, connection.Server!.Port);
    }

    [Fact]
    public async Task What_a_subscription_was_promised_holds_across_a_reconnect()
    {
        await using NatsServer server = await NatsServer.StartAsync();
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url));
        NatsSubscription three = connection.Subscribe("three", _ => { }, maxMessages: 3), ended = connection.Subscribe("ended", _ => { }), drained = connection.Subscribe("drained", _ => { });
        await connection.PublishAsync("three", default);
        await connection.FlushAsync();
        await server.KillAsync();
        await Eventually.TrueAsync(() => connection.State == NatsState.Reconnecting);
        ended.Dispose();
        Task draining = drained.DrainAsync();
        await server.StartAgainAsync();
        await draining;
        for (int i = 0; i < 5; i++)
            foreach (string subject in (string[])["three", "ended", "drained"])
                await connection.PublishAsync(subject, default);
        await connection.FlushAsync();
        Assert.Equal((3, 0, 0), (three.Delivered, ended.Delivered, drained.Delivered));
        // Not even sent by the server: what it sends for nothing would be counted by nobody.
        Assert.Equal(3, connection.Statistics.MessagesReceived);
    }

    [Fact]
    public async Task A_handler_may_take_its_time_without_the_server_being_thought_silent()
    {
        await using NatsServer server = await NatsServer.StartAsync();
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url) with { PingInterval = TimeSpan.FromMilliseconds(20), SilentIntervals = 5 });
        var entered = new TaskCompletionSource();
        using var release = new ManualResetEventSlim();
        connection.Subscribe("slow", _ =>
        {
            entered.TrySetResult();
            release.Wait(TimeSpan.FromSeconds(20));
        });
        await connection.PublishAsync("slow", default);
        await entered.Task;
        using (var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(400)))
            await timer.WaitForNextTickAsync();
        Assert.Equal(NatsState.Connected, connection.State);
        release.Set();
        await connection.FlushAsync();
        Assert.Equal(0, connection.Statistics.Reconnects);
    }

    [Fact]
    public async Task A_handler_that_waits_for_room_is_freed_when_the_link_is_lost()
    {
        var cut = new TaskCompletionSource();
        await using var server = new FakeServer(async (n, client) =>
        {
            await client.WelcomeAsync();
            string id = (await client.UntilAsync("SUB"))[^1].Split(' ')[^1];
            if (n == 0)
            {
                // Says one thing and then neither reads nor speaks any more.
                await client.SayAsync($"MSG go {id} 0\r\n\r\n");
                await cut.Task;
                return;
            }
            await client.IdleAsync();
        });
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url) with { SilentIntervals = 3, SendBuffer = 10_000 });
        var blocked = new TaskCompletionSource();
        connection.Subscribe("go", _ =>
        {
            // More than the system's buffers hold: sooner or later there is no room.
            byte[] payload = new byte[500_000];
            for (int i = 0; i < 100; i++)
                connection.PublishAsync("much", payload, whenDisconnected: WhenDisconnected.Drop).AsTask().Wait();
            blocked.TrySetResult();
        });
        // The watch measures silence only while no handler runs, so the loss is brought about from outside.
        await Eventually.TrueAsync(() => connection.PendingBytes > 400_000);
        server.Cut();
        cut.SetResult();
        await blocked.Task.WaitAsync(TimeSpan.FromSeconds(20));
        await Eventually.TrueAsync(() => connection.Statistics.Reconnects >= 1);
    }

    [Fact]
    public async Task A_server_that_lets_in_and_throws_out_is_not_stormed()
    {
        int connections = 0;
        await using var server = new FakeServer(async (_, client) =>
        {
            Interlocked.Increment(ref connections);
            await client.WelcomeAsync();
        });
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url) with { FirstPause = TimeSpan.FromSeconds(30), LongestPause = TimeSpan.FromSeconds(30) });
        await Eventually.TrueAsync(() => connection.State == NatsState.Reconnecting);
        using (var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(300)))
            await timer.WaitForNextTickAsync();
        Assert.Equal(1, Volatile.Read(ref connections));
    }

    [Fact]
    public async Task A_handler_may_end_its_subscription_and_the_connection()
    {
        await using NatsServer server = await NatsServer.StartAsync();
        NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url));
        NatsSubscription once = null!;
        Task disposal = Task.CompletedTask;
        once = connection.Subscribe("once", _ => once.Dispose());
        connection.Subscribe("end", _ => disposal = connection.DisposeAsync().AsTask());
        await connection.PublishAsync("once", default);
        await connection.PublishAsync("once", default);
        await connection.FlushAsync();
        Assert.Equal(1, once.Delivered);
        await connection.PublishAsync("end", default);
        await Eventually.TrueAsync(() => connection.State == NatsState.Closed);
        await disposal;
    }

    [Fact]
    public async Task Disposing_while_connecting_ends_at_once_and_counts_what_waited()
    {
        NatsConnection connection = NatsConnection.Start(Options(new Uri("nats://127.0.0.1:9")));
        await connection.PublishAsync("a", default);
        await connection.DisposeAsync();
        Assert.Equal(1, connection.Statistics.Dropped(DropCause.Closed));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => connection.WaitUntilConnectedAsync());
    }

    [Fact]
    public async Task Servers_of_a_cluster_are_learned_and_used()
    {
        int routes = NatsServer.FreePort();
        await using NatsServer first = await NatsServer.StartAsync(arguments: $"--cluster nats://127.0.0.1:{routes} --cluster_name c");
        await using NatsServer second = await NatsServer.StartAsync(arguments: $"--cluster nats://127.0.0.1:{NatsServer.FreePort()} --cluster_name c --routes nats://127.0.0.1:{routes}");
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(first.Url));
        await using NatsConnection other = await NatsConnection.ConnectAsync(Options(second.Url));
        (_, ChannelReader<string> messages) = Listen(other, "across");
        await other.FlushAsync();
        // Interest crosses the route a moment after the server has taken the subscription.
        await Eventually.TrueAsync(async () =>
        {
            await connection.PublishAsync("across", "1"u8.ToArray());
            await connection.FlushAsync();
            return messages.Count > 0;
        });
        await Eventually.TrueAsync(() => first.Log.Contains("Route connection created", StringComparison.Ordinal) || second.Log.Contains("Route connection created", StringComparison.Ordinal));
        await first.KillAsync();
        await ConnectedAsync(connection, second);
    }

    [Fact]
    public async Task A_server_that_stops_in_its_tracks_is_given_up_within_the_ping_limit()
    {
        await using NatsServer first = await NatsServer.StartAsync(), second = await NatsServer.StartAsync();
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(first.Url, second.Url) with { SilentIntervals = 3 });
        first.Freeze();
        await ConnectedAsync(connection, second);
        Assert.Contains("silent", connection.LastFailure!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_announces_its_end_is_left_before()
    {
        await using NatsServer first = await NatsServer.StartAsync("lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"10s\"\n"), second = await NatsServer.StartAsync();
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(first.Url, second.Url));
        first.BeginShutdown();
        await ConnectedAsync(connection, second);
        Assert.Contains("shutting down", connection.LastFailure!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_connection_cut_in_the_middle_of_a_message_is_made_again_and_the_message_is_not_told()
    {
        await using var server = new FakeServer(async (n, client) =>
        {
            await client.WelcomeAsync();
            string id = (await client.UntilAsync("SUB"))[^1].Split(' ')[^1];
            if (n == 0)
            {
                await client.SayAsync($"MSG a {id} 5\r\nwhole\r\nMSG a {id} 100\r\ncut");
                return;
            }
            await client.SayAsync($"MSG a {id} 4\r\nback\r\n");
            await client.IdleAsync();
        });
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url));
        (_, ChannelReader<string> messages) = Listen(connection, "a");
        Assert.Equal("whole", await NextAsync(messages));
        Assert.Equal("back", await NextAsync(messages));
        Assert.Equal(2, connection.Statistics.MessagesReceived);
    }

    [Theory]
    [InlineData("\u00ff\u00fe garbage\r\n")]
    [InlineData("MSG a 1 nonsense\r\n")]
    [InlineData("INFO not json\r\n")]
    public async Task Garbage_ends_the_connection_with_a_reason_and_the_next_one_works(string garbage)
    {
        var reasons = new List<Exception>();
        await using var server = new FakeServer(async (n, client) =>
        {
            await client.WelcomeAsync();
            if (n == 0)
                await client.SayAsync(garbage);
            await client.IdleAsync();
        });
        await using NatsConnection connection = NatsConnection.Start(Options(server.Url), change =>
        {
            if (change.Reason is not null)
                reasons.Add(change.Reason);
        });
        await Eventually.TrueAsync(() => connection.Statistics.Reconnects == 1);
        Assert.IsType<NatsProtocolException>(Assert.Single(reasons));
    }

    [Theory]
    [InlineData("Unknown Protocol Operation", true)]
    [InlineData("Stale Connection", true)]
    [InlineData("Slow Consumer", true)]
    [InlineData("Maximum Connections Exceeded", true)]
    [InlineData("Maximum Payload Violation", true)]
    [InlineData("Maximum Control Line Exceeded", true)]
    [InlineData("User Authentication Expired", true)]
    [InlineData("Permissions Violation for Publish to \"secret\"", false)]
    [InlineData("Permissions Violation for Subscription to \"secret\"", false)]
    [InlineData("Invalid Subject", false)]
    public async Task Each_refusal_is_told_and_survived(string error, bool closes)
    {
        await using var server = new FakeServer(async (n, client) =>
        {
            await client.WelcomeAsync();
            if (n == 0)
                await client.SayAsync($"-ERR '{error}'\r\n");
            if (n > 0 || !closes)
                await client.IdleAsync();
        });
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url));
        await Eventually.TrueAsync(() => connection.Statistics.ServerErrors == 1 && connection.Statistics.Reconnects == (closes ? 1 : 0) && connection.State == NatsState.Connected);
        await connection.FlushAsync();
        Assert.Equal(closes ? 1 : 0, connection.Statistics.Reconnects);
        Assert.Equal(error, Assert.IsType<NatsServerException>(connection.LastFailure).Error);
    }

    [Fact]
    public async Task Who_is_not_let_in_is_told_so()
    {
        await using NatsServer server = await NatsServer.StartAsync(arguments: "--user u --pass p");
        NatsServerException e = await Assert.ThrowsAsync<NatsServerException>(() => NatsConnection.ConnectAsync(Options(server.Url)));
        Assert.Equal("Authorization Violation", e.Error);
    }

    [Fact]
    public async Task Who_tries_the_first_connection_again_gets_in_when_the_server_comes()
    {
        int port = NatsServer.FreePort();
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(new Uri($"nats://127.0.0.1:{port}")) with { RetryFirstConnect = true });
        (_, ChannelReader<string> messages) = Listen(connection, "early");
        await connection.PublishAsync("early", "bird"u8.ToArray());
        await Eventually.TrueAsync(() => connection.LastFailure is not null);
        Assert.Equal(NatsState.Connecting, connection.State);
        await using NatsServer server = await NatsServer.StartAsync(port: port);
        Assert.Equal("bird", await NextAsync(messages));
        Assert.Equal(0, connection.Statistics.Reconnects);
    }

    [Fact]
    public async Task A_first_connection_to_nobody_fails_with_a_reason()
    {
        NatsException e = await Assert.ThrowsAsync<NatsException>(() => NatsConnection.ConnectAsync(Options(new Uri($"nats://127.0.0.1:{NatsServer.FreePort()}"))));
        Assert.Contains("cannot be reached", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_never_greets_is_given_up()
    {
        await using var server = new FakeServer(async (_, client) => await client.ReadLineAsync());
        NatsException e = await Assert.ThrowsAsync<NatsException>(() =>
            NatsConnection.ConnectAsync(Options(server.Url) with { ConnectTimeout = TimeSpan.FromMilliseconds(200) }));
        Assert.Contains("did not answer", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_burst_of_eight_mebibytes_arrives_whole()
    {
        await using NatsServer server = await NatsServer.StartAsync();
        await using NatsConnection a = await NatsConnection.ConnectAsync(Options(server.Url)), b = await NatsConnection.ConnectAsync(Options(server.Url));
        int heard = 0;
        long bytes = 0;
        b.Subscribe("burst", m =>
        {
            bytes += m.Payload.Length;
            Interlocked.Increment(ref heard);
        });
        await b.FlushAsync();
        byte[] payload = new byte[8192];
        for (int i = 0; i < 1024; i++)
            await a.PublishAsync("burst", payload);
        await Eventually.TrueAsync(() => Volatile.Read(ref heard) == 1024);
        Assert.Equal(8 << 20, bytes);
        await a.FlushAsync();
        Assert.Equal(0, a.Statistics.Dropped(DropCause.LinkLost));
    }

    [Fact]
    public async Task A_subscriber_that_the_server_finds_too_slow_comes_back()
    {
        // The server gives a client up that leaves more than this unread.
        await using NatsServer server = await NatsServer.StartAsync("max_pending: 1048576\nwrite_deadline: \"200ms\"\n");
        await using NatsConnection slow = await NatsConnection.ConnectAsync(Options(server.Url)), fast = await NatsConnection.ConnectAsync(Options(server.Url));
        using var release = new ManualResetEventSlim();
        int heard = 0;
        slow.Subscribe("flood", _ =>
        {
            Interlocked.Increment(ref heard);
            release.Wait(TimeSpan.FromSeconds(20));
        });
        await slow.FlushAsync();
        byte[] payload = new byte[100_000];
        using (var stop = new CancellationTokenSource(TimeSpan.FromSeconds(20)))
        {
            while (!server.Log.Contains("Slow Consumer", StringComparison.Ordinal))
            {
                await fast.PublishAsync("flood", payload, cancellationToken: stop.Token);
                await fast.FlushAsync(stop.Token);
            }
        }
        release.Set();
        await Eventually.TrueAsync(() => slow.Statistics.Reconnects == 1);
        await slow.FlushAsync();
        int before = Volatile.Read(ref heard);
        await fast.PublishAsync("flood", default);
        await Eventually.TrueAsync(() => Volatile.Read(ref heard) > before);
    }

    [Fact]
    public async Task A_publisher_waits_for_a_slow_server_or_is_told_at_once_that_there_is_no_room()
    {
        var proceed = new TaskCompletionSource();
        await using var server = new FakeServer(async (_, client) =>
        {
            await client.WelcomeAsync();
            await proceed.Task;
            await client.IdleAsync();
        });
        await using NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url) with { SendBuffer = 100_000 });
        byte[] payload = new byte[10_000];
        // Full for good only when the system's buffers are, too.
        int timesFull = 0;
        await Eventually.TrueAsync(() =>
        {
            for (timesFull++; connection.TryPublish("a", payload);)
                timesFull = 0;
            return timesFull == 20;
        });
        ValueTask waiting = connection.PublishAsync("a", payload);
        Assert.False(waiting.IsCompleted);
        using var impatient = new CancellationTokenSource(50);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await connection.PublishAsync("a", payload, cancellationToken: impatient.Token));
        proceed.SetResult();
        await waiting;
        Assert.Equal(0, connection.Statistics.Dropped(DropCause.LinkLost));
    }

    [Fact]
    public async Task Disposing_while_reconnecting_ends_at_once()
    {
        NatsServer server = await NatsServer.StartAsync();
        NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url));
        Task flushing = Task.CompletedTask;
        await server.KillAsync();
        await Eventually.TrueAsync(() => connection.State == NatsState.Reconnecting);
        flushing = connection.FlushAsync();
        await connection.DisposeAsync();
        Assert.Equal(NatsState.Closed, connection.State);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => flushing);
        await connection.DisposeAsync();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task Disposing_sends_what_waits()
    {
        await using NatsServer server = await NatsServer.StartAsync();
        await using NatsConnection b = await NatsConnection.ConnectAsync(Options(server.Url));
        (_, ChannelReader<string> messages) = Listen(b, "last");
        await b.FlushAsync();
        NatsConnection a = await NatsConnection.ConnectAsync(Options(server.Url));
        for (int i = 0; i < 1000; i++)
            await a.PublishAsync("last", "word"u8.ToArray());
        await a.DisposeAsync();
        for (int i = 0; i < 1000; i++)
            Assert.Equal("word", await NextAsync(messages));
    }

    [Fact]
    public async Task A_hundred_reconnects_leave_no_socket_behind()
    {
        await using var server = new FakeServer(async (_, client) =>
        {
            await client.WelcomeAsync();
            await client.SayAsync("garbage\r\n");
        });
        static int Descriptors() => Directory.GetFiles("/proc/self/fd").Length;
        int before = Descriptors();
        await using (NatsConnection connection = await NatsConnection.ConnectAsync(Options(server.Url) with { FirstPause = TimeSpan.FromMilliseconds(1), LongestPause = TimeSpan.FromMilliseconds(1) }))
        {
            await Eventually.TrueAsync(() => connection.Statistics.Reconnects >= 100);
        }
        // Other tests run beside this one; a leak would be a hundred and more.
        await Eventually.TrueAsync(() => Descriptors() < before + 50);
    }
}
