namespace Archipelago.Messaging;

/// <summary>A message as a handler sees it: views of the bus's own buffers, valid only until the handler returns.</summary>
/// <param name="subject">The subject it was published on.</param>
/// <param name="payload">The bytes; may be empty.</param>
/// <param name="headers">The header block; empty when there is none.</param>
public readonly ref struct BusMessage(ReadOnlySpan<byte> subject, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> headers = default)
{
    /// <summary>The subject in UTF-8, tokens separated by dots.</summary>
    public ReadOnlySpan<byte> Subject { get; } = subject;

    /// <summary>The bytes; may be empty.</summary>
    public ReadOnlySpan<byte> Payload { get; } = payload;

    /// <summary>The header block; empty when there is none. See <see cref="BusHeaders"/>.</summary>
    public ReadOnlySpan<byte> Headers { get; } = headers;
}

/// <summary>
/// Takes one message. Runs on the bus's delivery thread, so it must not block; for one publisher messages come in the order in which they
/// were published. An exception is counted and reported by the bus and does not stop later messages. Who is slower than its messages puts a
/// <see cref="MessageQueue"/> in between.
/// </summary>
/// <param name="message">The message; copy what is needed later.</param>
public delegate void MessageHandler(BusMessage message);

/// <summary>What becomes of a message that is published while the bus is out of reach.</summary>
public enum WhenDisconnected
{
    /// <summary>It waits in a bounded buffer and is sent when the bus is back; what no longer fits is dropped and counted.</summary>
    Keep,

    /// <summary>It is dropped and counted at once: for what is stale by the time the bus is back.</summary>
    Drop,
}

/// <summary>
/// One participant's connection to the bus: publish to subjects, subscribe to patterns. Delivery is at most once, and nothing is kept for those
/// who subscribe later. All members may be called from any thread.
/// </summary>
public interface IMessageBus : IAsyncDisposable
{
    /// <summary>True while messages get through.</summary>
    bool IsConnected { get; }

    /// <summary>The largest payload, in bytes, that the bus carries now.</summary>
    int MaxPayload { get; }

    /// <summary>
    /// Publishes one message. The payload is read before the returned task completes, not later.
    /// </summary>
    /// <param name="subject">Tokens separated by dots, none empty, without wildcards or white space.</param>
    /// <param name="payload">The bytes.</param>
    /// <param name="whenDisconnected">What becomes of it while the bus is out of reach.</param>
    /// <param name="cancellationToken">Gives up waiting when the bus pushes back.</param>
    /// <param name="headers">A header block (<see cref="BusHeaders"/>), which those who know nothing of it ignore; empty for none. Counts towards the size of the message.</param>
    /// <exception cref="ArgumentException">The subject is not one to publish on, or the message is larger than the bus carries.</exception>
    /// <exception cref="ObjectDisposedException">This participant has left.</exception>
    ValueTask PublishAsync(
        string subject,
        ReadOnlyMemory<byte> payload,
        WhenDisconnected whenDisconnected = WhenDisconnected.Keep,
        CancellationToken cancellationToken = default,
        ReadOnlyMemory<byte> headers = default);

    /// <summary>
    /// Hands every later message whose subject matches to the handler, until the returned subscription is disposed. Others hear of the subscription in a
    /// moment; <see cref="FlushAsync"/> waits for it. A call that has begun, or is about to begin on another thread, while it is disposed may still
    /// take place.
    /// </summary>
    /// <param name="pattern">A subject in which <c>*</c> stands for one token and a final <c>&gt;</c> for one or more.</param>
    /// <param name="handler">Called for each message.</param>
    /// <exception cref="ArgumentException">The pattern is malformed.</exception>
    /// <exception cref="ObjectDisposedException">This participant has left.</exception>
    IDisposable Subscribe(string pattern, MessageHandler handler);

    /// <summary>Completes when everything that this participant has published and subscribed to so far has reached the bus; waits for the bus where it is out of reach.</summary>
    /// <exception cref="ObjectDisposedException">This participant has left, or leaves meanwhile.</exception>
    Task FlushAsync(CancellationToken cancellationToken = default);
}

/// <summary>A bus that can be measured.</summary>
public interface IMeteredBus
{
    /// <summary>Adds the bus's instruments to a meter.</summary>
    void AddInstruments(System.Diagnostics.Metrics.Meter meter);
}
