using System.Diagnostics.Metrics;

namespace Archipelago.Nats;

/// <summary>Why a message was dropped.</summary>
public enum DropCause
{
    /// <summary>The server was out of reach, and the publisher did not want the message kept.</summary>
    Disconnected,

    /// <summary>The server was out of reach, and the buffer of what is kept was full.</summary>
    KeepBufferFull,

    /// <summary>The link ended while the message was being written. What the system had taken over before is not counted: nobody knows what became of it.</summary>
    LinkLost,

    /// <summary>The connection was disposed while the message waited.</summary>
    Closed,
}

/// <summary>What a connection has done so far. Numbers only grow, but for those named as gauges; any thread may read them.</summary>
public sealed class NatsStatistics
{
    private readonly long[] dropped = new long[4];
    private long messagesReceived;
    private long bytesReceived;
    private long messagesSent;
    private long bytesSent;
    private long reconnects;
    private long handlerErrors;
    private long serverErrors;
    private long roundTripTicks;

    /// <summary>Messages handed to subscriptions.</summary>
    public long MessagesReceived => Volatile.Read(ref messagesReceived);

    /// <summary>Bytes of their headers and payloads.</summary>
    public long BytesReceived => Volatile.Read(ref bytesReceived);

    /// <summary>Messages accepted for sending.</summary>
    public long MessagesSent => Volatile.Read(ref messagesSent);

    /// <summary>Bytes of their headers and payloads.</summary>
    public long BytesSent => Volatile.Read(ref bytesSent);

    /// <summary>Links made after the first.</summary>
    public long Reconnects => Volatile.Read(ref reconnects);

    /// <summary>Exceptions that handlers have thrown.</summary>
    public long HandlerErrors => Volatile.Read(ref handlerErrors);

    /// <summary>Refusals (<c>-ERR</c>) that the server has sent.</summary>
    public long ServerErrors => Volatile.Read(ref serverErrors);

    /// <summary>The last ping's time there and back; zero before the first.</summary>
    public TimeSpan RoundTrip => TimeSpan.FromTicks(Volatile.Read(ref roundTripTicks));

    /// <summary>Messages dropped for this cause.</summary>
    public long Dropped(DropCause cause) => Volatile.Read(ref dropped[(int)cause]);

    // Written by the read loop alone.
    internal void CountReceived(int bytes)
    {
        Volatile.Write(ref messagesReceived, messagesReceived + 1);
        Volatile.Write(ref bytesReceived, bytesReceived + bytes);
    }

    // Written under the outbox's gate.
    internal void CountSent(int bytes)
    {
        Volatile.Write(ref messagesSent, messagesSent + 1);
        Volatile.Write(ref bytesSent, bytesSent + bytes);
    }

    internal void CountDropped(DropCause cause, int messages = 1) => Interlocked.Add(ref dropped[(int)cause], messages);

    internal void CountReconnect() => Interlocked.Increment(ref reconnects);

    internal void CountHandlerError() => Interlocked.Increment(ref handlerErrors);

    internal void CountServerError() => Interlocked.Increment(ref serverErrors);

    internal void SetRoundTrip(TimeSpan time) => Volatile.Write(ref roundTripTicks, time.Ticks);

    /// <summary>Adds instruments that show these numbers; <paramref name="pendingBytes"/> tells how much waits to be sent.</summary>
    internal void AddInstruments(Meter meter, Func<long> pendingBytes)
    {
        meter.CreateObservableCounter("nats_messages_total", () => new[]
        {
            new Measurement<long>(MessagesReceived, new KeyValuePair<string, object?>("direction", "in")),
            new Measurement<long>(MessagesSent, new KeyValuePair<string, object?>("direction", "out")),
        }, description: "Messages received and sent");
        meter.CreateObservableCounter("nats_bytes_total", () => new[]
        {
            new Measurement<long>(BytesReceived, new KeyValuePair<string, object?>("direction", "in")),
            new Measurement<long>(BytesSent, new KeyValuePair<string, object?>("direction", "out")),
        }, description: "Bytes of headers and payloads received and sent");
        meter.CreateObservableCounter("nats_dropped_total", () => Enum.GetValues<DropCause>().Select(cause =>
            new Measurement<long>(Dropped(cause), new KeyValuePair<string, object?>("cause", cause.ToString()))), description: "Messages dropped, by cause");
        meter.CreateObservableCounter("nats_reconnects_total", () => Reconnects, description: "Links made after the first");
        meter.CreateObservableCounter("nats_server_errors_total", () => ServerErrors, description: "Refusals by the server");
        meter.CreateObservableCounter("nats_handler_errors_total", () => HandlerErrors, description: "Exceptions thrown by handlers");
        meter.CreateObservableGauge("nats_pending_bytes", pendingBytes, description: "Bytes that wait to be sent");
        meter.CreateObservableGauge("nats_round_trip_seconds", () => RoundTrip.TotalSeconds, description: "Time of the last ping there and back");
    }
}
