namespace Archipelago.Messaging;

/// <summary>A message as a handler sees it: views of the bus's own buffers, valid only until the handler returns.</summary>
/// <param name="subject">The subject it was published on.</param>
/// <param name="payload">The bytes; may be empty.</param>
public readonly ref struct BusMessage(ReadOnlySpan<byte> subject, ReadOnlySpan<byte> payload)
{
    /// <summary>The subject in UTF-8, tokens separated by dots.</summary>
    public ReadOnlySpan<byte> Subject { get; } = subject;

    /// <summary>The bytes; may be empty.</summary>
    public ReadOnlySpan<byte> Payload { get; } = payload;
}

/// <summary>
/// Takes one message. Runs on the bus's delivery thread, so it must not block; for one publisher messages come in the order in which they
/// were published. An exception is counted and reported by the bus and does not stop later messages.
/// </summary>
/// <param name="message">The message; copy what is needed later.</param>
public delegate void MessageHandler(BusMessage message);

/// <summary>
/// One participant's connection to the bus: publish to subjects, subscribe to patterns. Delivery is at most once, and nothing is kept for those
/// who subscribe later. All members may be called from any thread.
/// </summary>
public interface IMessageBus : IAsyncDisposable
{
    /// <summary>True while messages get through.</summary>
    bool IsConnected { get; }

    /// <summary>
    /// Publishes one message. The payload is read before the returned task completes, not later.
    /// </summary>
    /// <param name="subject">Tokens separated by dots, none empty, without wildcards or white space.</param>
    /// <param name="payload">The bytes.</param>
    /// <param name="cancellationToken">Gives up waiting when the bus pushes back.</param>
    /// <exception cref="ArgumentException">The subject is not one to publish on.</exception>
    /// <exception cref="ObjectDisposedException">This participant has left.</exception>
    ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, CancellationToken cancellationToken = default);

    /// <summary>
    /// Hands every later message whose subject matches to the handler, until the returned subscription is disposed. A call that
    /// has begun, or is about to begin on another thread, while it is disposed may still take place.
    /// </summary>
    /// <param name="pattern">A subject in which <c>*</c> stands for one token and a final <c>&gt;</c> for one or more.</param>
    /// <param name="handler">Called for each message.</param>
    /// <exception cref="ArgumentException">The pattern is malformed.</exception>
    /// <exception cref="ObjectDisposedException">This participant has left.</exception>
    IDisposable Subscribe(string pattern, MessageHandler handler);
}
