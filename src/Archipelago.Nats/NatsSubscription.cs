using System.Text;

namespace Archipelago.Nats;

/// <summary>An interest in subjects. It survives reconnects; dispose it to end it. Any thread may call its members.</summary>
public sealed class NatsSubscription : IDisposable
{
    private readonly NatsConnection connection;
    private readonly NatsMessageHandler handler;
    private readonly long most;
    private long delivered;

    internal NatsSubscription(NatsConnection connection, long id, string subject, string? queueGroup, NatsMessageHandler handler, long most)
    {
        this.connection = connection;
        this.handler = handler;
        this.most = most;
        Id = id;
        Subject = subject;
        QueueGroup = queueGroup;
    }

    /// <summary>What it listens to.</summary>
    public string Subject { get; }

    /// <summary>The group of which one member gets each message; null for none.</summary>
    public string? QueueGroup { get; }

    /// <summary>Messages handed to it so far.</summary>
    public long Delivered => Volatile.Read(ref delivered);

    internal long Id { get; }

    /// <summary>True when it is being ended, and does not go with a reconnect. Under the gate.</summary>
    internal bool IsDraining { get; set; }

    /// <summary>True when it has had as many messages as it was to have.</summary>
    internal bool IsComplete => most > 0 && delivered >= most;

    /// <summary>Ends it. A message that is being handed over still is.</summary>
    public void Dispose() => connection.Unsubscribe(this);

    /// <summary>Ends it, but lets everything that the server has already sent arrive first.</summary>
    public Task DrainAsync(CancellationToken cancellationToken = default) => connection.DrainAsync(this, cancellationToken);

    /// <summary>What to send to the server for it, now or after a reconnect.</summary>
    internal byte[] Command()
    {
        string group = QueueGroup is null ? "" : QueueGroup + " ";
        string end = most > 0 ? $"UNSUB {Id} {most - delivered}\r\n" : "";
        return Encoding.UTF8.GetBytes($"SUB {Subject} {group}{Id}\r\n{end}");
    }

    /// <summary>On the read loop.</summary>
    internal void Deliver(NatsMessage message)
    {
        if (IsComplete)
            return;
        Volatile.Write(ref delivered, delivered + 1);
        handler(message);
    }
}
