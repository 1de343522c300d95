using System.Diagnostics.Metrics;
using Archipelago.Messaging;

namespace Archipelago.Nats;

/// <summary>The message bus over a NATS connection, which it owns.</summary>
/// <param name="connection">Disposed with the bus.</param>
public sealed class NatsBus(NatsConnection connection) : IMessageBus, IMeteredBus
{
    /// <summary>The connection beneath.</summary>
    public NatsConnection Connection => connection;

    /// <inheritdoc/>
    public bool IsConnected => connection.State == NatsState.Connected;

    /// <inheritdoc/>
    public int MaxPayload => connection.MaxPayload;

    /// <inheritdoc/>
    public ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers) =>
        connection.PublishAsync(subject, payload, null, headers, whenDisconnected, cancellationToken);

    /// <inheritdoc/>
    public IDisposable Subscribe(string pattern, MessageHandler handler)
    {
        ArgumentNullException.ThrowIfNull(handler);
        return connection.Subscribe(pattern, message => handler(new BusMessage(message.Subject, message.Payload, message.Headers)));
    }

    /// <inheritdoc/>
    public Task FlushAsync(CancellationToken cancellationToken) => connection.FlushAsync(cancellationToken);

    /// <inheritdoc/>
    public void AddInstruments(Meter meter) => connection.AddInstruments(meter);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => connection.DisposeAsync();
}
