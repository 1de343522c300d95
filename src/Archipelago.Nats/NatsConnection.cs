using System.Diagnostics.Metrics;
using Archipelago.Messaging;
using Archipelago.Nats.Internals;

namespace Archipelago.Nats;

/// <summary>How a connection stands.</summary>
public enum NatsState
{
    /// <summary>No server has been reached yet.</summary>
    Connecting,

    /// <summary>Messages get through.</summary>
    Connected,

    /// <summary>The server was lost; another, or the same, is being looked for.</summary>
    Reconnecting,

    /// <summary>Disposed.</summary>
    Closed,
}

/// <summary>What <see cref="NatsConnection.StateChanged"/> tells.</summary>
/// <param name="State">The new state.</param>
/// <param name="Server">The server that it is about; null when closed.</param>
/// <param name="Reason">Why, when something failed.</param>
public sealed record NatsStateChange(NatsState State, Uri? Server, Exception? Reason);

/// <summary>
/// A connection to a NATS server or cluster, which lasts until it is disposed: a server that is lost is looked for again, or another one, for ever, and
/// subscriptions go with it. Delivery is at most once. All members may be called from any thread.
/// </summary>
/// <remarks>Protocol: the NATS client protocol as documented at docs.nats.io, with headers (NATS ADR-4) and no-responders.</remarks>
public sealed partial class NatsConnection : IAsyncDisposable
{
    /// <summary>Characters of subject and reply, or subject and group: with the other words they must fit into a control line of 4,096 bytes.</summary>
    private const int LongestSubjects = 1000;

    private readonly NatsOptions options;
    private readonly Outbox outbox;
    private readonly ServerPool servers;
    private readonly SubscriptionTable subscriptions = new();
    private readonly Queue<Fence> fences = new();
    private readonly CancellationTokenSource stopping = new();
    private readonly TaskCompletionSource firstAttempt = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock disposing = new();
    private TaskCompletionSource connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task running = Task.CompletedTask;
    private Task? disposal;
    private volatile bool closed;
    private volatile int maxPayload = ServerInfo.DefaultMaxPayload;

    /// <summary>A PING that was sent, when, and who waits for its PONG.</summary>
    private readonly record struct Fence(long SentAt, TaskCompletionSource? Waiter);

    private NatsConnection(NatsOptions options)
    {
        this.options = options;
        Statistics = new NatsStatistics();
        outbox = new Outbox(options, Statistics);
        servers = new ServerPool(options, Random.Shared);
    }

    /// <summary>How it stands now.</summary>
    public NatsState State { get; private set; }

    /// <summary>The server that it is connected to, or was last; null before the first.</summary>
    public Uri? Server { get; private set; }

    /// <summary>Why the last attempt or connection ended; null when none has.</summary>
    public Exception? LastFailure { get; private set; }

    /// <summary>What it has done so far.</summary>
    public NatsStatistics Statistics { get; }

    /// <summary>Bytes that wait to be sent.</summary>
    public long PendingBytes => outbox.PendingBytes;

    /// <summary>The largest headers and payload together that the server takes.</summary>
    public int MaxPayload => maxPayload;

    /// <summary>Told of each change of state and of each failed attempt, on the connection's own task; it must return soon and not throw.</summary>
    public event Action<NatsStateChange>? StateChanged;

    /// <summary>Connects. With <see cref="NatsOptions.RetryFirstConnect"/> it returns at once and goes on trying; see <see cref="WaitUntilConnectedAsync"/>.</summary>
    /// <exception cref="NatsException">No server could be reached, or the one reached refused; not with <see cref="NatsOptions.RetryFirstConnect"/>.</exception>
    public static async Task<NatsConnection> ConnectAsync(NatsOptions options, CancellationToken cancellationToken = default)
    {
        NatsConnection connection = Start(options);
        if (options.RetryFirstConnect)
            return connection;
        try
        {
            await connection.firstAttempt.Task.WaitAsync(cancellationToken);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    /// <summary>Begins to connect and goes on trying; returns at once. Subscriptions and kept messages wait for the server.</summary>
    /// <param name="options">How.</param>
    /// <param name="stateChanged">Added to <see cref="StateChanged"/> before the first attempt, so that it misses nothing.</param>
    public static NatsConnection Start(NatsOptions options, Action<NatsStateChange>? stateChanged = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Servers.Count == 0)
            throw new ArgumentException("At least one server is needed.", nameof(options));
        var connection = new NatsConnection(options);
        connection.StateChanged += stateChanged;
        connection.running = Task.Run(connection.RunAsync, CancellationToken.None);
        return connection;
    }

    /// <summary>Completes when messages get through.</summary>
    /// <exception cref="ObjectDisposedException">It is disposed meanwhile.</exception>
    public Task WaitUntilConnectedAsync(CancellationToken cancellationToken = default)
    {
        lock (outbox.Gate)
            return connected.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Publishes; when the server is slow it waits until there is room. While disconnected it never waits.</summary>
    /// <param name="subject">Without wildcards, white space or empty tokens.</param>
    /// <param name="payload">Read before the returned task completes.</param>
    /// <param name="replyTo">Where an answer is to go.</param>
    /// <param name="headers">A header block (<see cref="BusHeaders"/>), or empty.</param>
    /// <param name="whenDisconnected">What becomes of it while the server is out of reach.</param>
    /// <param name="cancellationToken">Gives up waiting.</param>
    /// <exception cref="ArgumentException">The subject is none to publish on, or the message is larger than the server takes.</exception>
    public ValueTask PublishAsync(
        string subject,
        ReadOnlyMemory<byte> payload,
        string? replyTo = null,
        ReadOnlyMemory<byte> headers = default,
        WhenDisconnected whenDisconnected = WhenDisconnected.Keep,
        CancellationToken cancellationToken = default)
    {
        CheckMessage(subject, replyTo, payload.Length + headers.Length);
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled(cancellationToken);
        return outbox.Publish(subject, replyTo, headers.Span, payload.Span, whenDisconnected) != Appended.Full
            ? ValueTask.CompletedTask
            : PublishWhenThereIsRoomAsync(subject, payload, replyTo, headers, whenDisconnected, cancellationToken);
    }

    /// <summary>Publishes without ever waiting: false when it was neither sent nor kept.</summary>
    /// <param name="subject">Without wildcards, white space or empty tokens.</param>
    /// <param name="payload">The bytes.</param>
    /// <param name="whenDisconnected">What becomes of it while the server is out of reach.</param>
    /// <exception cref="ArgumentException">The subject is none to publish on, or the message is larger than the server takes.</exception>
    public bool TryPublish(string subject, ReadOnlySpan<byte> payload, WhenDisconnected whenDisconnected = WhenDisconnected.Drop)
    {
        CheckMessage(subject, null, payload.Length);
        return outbox.Publish(subject, null, default, payload, whenDisconnected) == Appended.Yes;
    }

    /// <summary>Hands every later message on matching subjects to the handler. Lasts across reconnects.</summary>
    /// <param name="subject">May hold wildcards: <c>*</c> for a token, a final <c>&gt;</c> for one or more.</param>
    /// <param name="handler">Called on the read loop.</param>
    /// <param name="queueGroup">Of all members of a group one gets each message; null for none.</param>
    /// <param name="maxMessages">It ends by itself after so many; 0 for never.</param>
    /// <exception cref="ArgumentException">The subject is malformed.</exception>
    public NatsSubscription Subscribe(string subject, NatsMessageHandler handler, string? queueGroup = null, long maxMessages = 0)
    {
        ArgumentNullException.ThrowIfNull(handler);
        ArgumentOutOfRangeException.ThrowIfNegative(maxMessages);
        _ = new SubjectPattern(subject);
        if (queueGroup is not null)
            SubjectPattern.CheckSubject(queueGroup);
        CheckLength(subject, queueGroup);
        lock (outbox.Gate)
        {
            ObjectDisposedException.ThrowIf(closed, this);
            NatsSubscription subscription = subscriptions.Add(id => new NatsSubscription(this, id, subject, queueGroup, handler, maxMessages));
            if (outbox.IsOpen)
                outbox.Command(subscription.Command());
            return subscription;
        }
    }

    /// <summary>Completes when the server has taken everything published and subscribed so far; waits for a server where there is none.</summary>
    /// <exception cref="ObjectDisposedException">It is disposed meanwhile.</exception>
    public async Task FlushAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            await WaitUntilConnectedAsync(cancellationToken);
            TaskCompletionSource? waiter = null;
            lock (outbox.Gate)
            {
                if (outbox.IsOpen)
                    SendFence(waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
            }
            try
            {
                await (waiter?.Task ?? Task.CompletedTask).WaitAsync(cancellationToken);
                if (waiter is not null)
                    return;
            }
            catch (NatsException)
            {
                // The link was lost; the next one carries what was kept.
            }
        }
    }

    /// <summary>Ends all subscriptions but lets everything already sent to them arrive, sends what waits, and disposes.</summary>
    public async Task DrainAsync(CancellationToken cancellationToken = default)
    {
        NatsSubscription[] all;
        lock (outbox.Gate)
            all = [.. subscriptions.All];
        foreach (NatsSubscription subscription in all)
            SendUnsubscribe(subscription);
        await FlushAsync(cancellationToken);
        await DisposeAsync();
    }

    /// <summary>Sends what waits, for at most two seconds, and closes.</summary>
    public ValueTask DisposeAsync()
    {
        lock (disposing)
            return new ValueTask(disposal ??= CloseAsync());
    }

    /// <summary>Adds instruments that show <see cref="Statistics"/>.</summary>
    public void AddInstruments(Meter meter)
    {
        ArgumentNullException.ThrowIfNull(meter);
        Statistics.AddInstruments(meter, () => PendingBytes);
    }

    internal void Unsubscribe(NatsSubscription subscription)
    {
        lock (outbox.Gate)
        {
            // Without a link there is nothing to end, unless the command that began it still waits to be sent.
            if (subscriptions.Remove(subscription) && (outbox.IsOpen || outbox.PendingBytes > 0))
                outbox.Command(UnsubscribeCommand(subscription));
        }
    }

    internal async Task DrainAsync(NatsSubscription subscription, CancellationToken cancellationToken)
    {
        SendUnsubscribe(subscription);
        try
        {
            // What the server had sent before it took the UNSUB comes before the PONG.
            await FlushAsync(cancellationToken);
        }
        finally
        {
            Unsubscribe(subscription);
        }
    }

    private void SendUnsubscribe(NatsSubscription subscription)
    {
        lock (outbox.Gate)
        {
            subscription.IsDraining = true;
            if (outbox.IsOpen)
                outbox.Command(UnsubscribeCommand(subscription));
        }
    }

    private static byte[] UnsubscribeCommand(NatsSubscription subscription) => System.Text.Encoding.ASCII.GetBytes($"UNSUB {subscription.Id}\r\n");

    private void CheckMessage(string subject, string? replyTo, int length)
    {
        SubjectPattern.CheckSubject(subject);
        if (replyTo is not null)
            SubjectPattern.CheckSubject(replyTo);
        CheckLength(subject, replyTo);
        if (length > maxPayload)
            throw new ArgumentException($"A message of {length} bytes is larger than the {maxPayload} that the server takes; send less, or raise its max_payload.", nameof(length));
        ObjectDisposedException.ThrowIf(closed, this);
    }

    /// <summary>A longer command makes the server end the connection, and a subscription would do so after each reconnect.</summary>
    private static void CheckLength(string subject, string? more)
    {
        if (subject.Length + (more?.Length ?? 0) > LongestSubjects)
            throw new ArgumentException($"A subject of {subject.Length} characters is longer than servers take; use at most {LongestSubjects}.", nameof(subject));
    }

    private async ValueTask PublishWhenThereIsRoomAsync(
        string subject, ReadOnlyMemory<byte> payload, string? replyTo, ReadOnlyMemory<byte> headers, WhenDisconnected whenDisconnected, CancellationToken cancellationToken)
    {
        do
        {
            await outbox.WaitForRoomAsync().WaitAsync(cancellationToken);
            ObjectDisposedException.ThrowIf(closed, this);
        }
        while (outbox.Publish(subject, replyTo, headers.Span, payload.Span, whenDisconnected) == Appended.Full);
    }
}
