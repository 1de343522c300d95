using System.Text;

namespace Archipelago.Messaging;

/// <summary>
/// The bus inside one process. <see cref="Connect"/> gives each participant its own <see cref="IMessageBus"/>; a message runs through the handlers of
/// all participants on the publisher's thread, before <see cref="IMessageBus.PublishAsync"/> returns, so there is no queue to overflow and the
/// publisher feels the load that it makes. Keep handlers short.
/// </summary>
/// <param name="onHandlerError">Told of exceptions that handlers throw; the subject's pattern comes with them. Must not throw.</param>
public sealed class InProcessBroker(Action<string, Exception>? onHandlerError = null)
{
    // Replaced as a whole under the lock, read without it: publishing takes no lock.
    private Subscription[] subscriptions = [];
    private readonly Lock changing = new();
    private long handlerErrors;

    /// <summary>Exceptions that handlers have thrown so far.</summary>
    public long HandlerErrors => Interlocked.Read(ref handlerErrors);

    /// <summary>Lets one more participant in.</summary>
    /// <param name="echo">Whether it hears its own messages where it subscribes to them.</param>
    public IMessageBus Connect(bool echo = true) => new Participant(this, echo);

    private void Deliver(Participant from, string subject, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> headers)
    {
        int length = Encoding.UTF8.GetByteCount(subject);
        Span<byte> bytes = length <= 256 ? stackalloc byte[length] : new byte[length];
        Encoding.UTF8.GetBytes(subject, bytes);
        foreach (Subscription subscription in Volatile.Read(ref subscriptions))
            if ((from.Echo || subscription.Owner != from) && subscription.Pattern.Matches(bytes))
                subscription.Hand(new BusMessage(bytes, payload, headers));
    }

    private void Add(Subscription subscription)
    {
        lock (changing)
            Volatile.Write(ref subscriptions, [.. subscriptions, subscription]);
    }

    private void Remove(Predicate<Subscription> which)
    {
        lock (changing)
            Volatile.Write(ref subscriptions, [.. subscriptions.Where(s => !which(s))]);
    }

    private sealed class Participant(InProcessBroker broker, bool echo) : IMessageBus
    {
        private volatile bool gone;

        public bool Echo => echo;

        public bool IsConnected => !gone;

        public int MaxPayload => int.MaxValue;

        public ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers)
        {
            ObjectDisposedException.ThrowIf(gone, typeof(IMessageBus));
            SubjectPattern.CheckSubject(subject);
            if (cancellationToken.IsCancellationRequested)
                return ValueTask.FromCanceled(cancellationToken);
            broker.Deliver(this, subject, payload.Span, headers.Span);
            return ValueTask.CompletedTask;
        }

        public IDisposable Subscribe(string pattern, MessageHandler handler)
        {
            ObjectDisposedException.ThrowIf(gone, typeof(IMessageBus));
            ArgumentNullException.ThrowIfNull(handler);
            var subscription = new Subscription(broker, this, new SubjectPattern(pattern), handler);
            broker.Add(subscription);
            // It may have left meanwhile, and what it took back then did not have this one.
            if (gone)
                subscription.Dispose();
            return subscription;
        }

        public Task FlushAsync(CancellationToken cancellationToken)
        {
            ObjectDisposedException.ThrowIf(gone, typeof(IMessageBus));
            return cancellationToken.IsCancellationRequested ? Task.FromCanceled(cancellationToken) : Task.CompletedTask;
        }

        public ValueTask DisposeAsync()
        {
            gone = true;
            broker.Remove(s =>
            {
                if (s.Owner != this)
                    return false;
                s.Stop();
                return true;
            });
            return ValueTask.CompletedTask;
        }
    }

    private sealed class Subscription(InProcessBroker broker, Participant owner, SubjectPattern pattern, MessageHandler handler) : IDisposable
    {
        private volatile bool stopped;

        public Participant Owner => owner;

        public SubjectPattern Pattern => pattern;

        public void Stop() => stopped = true;

        public void Dispose()
        {
            Stop();
            broker.Remove(s => s == this);
        }

        public void Hand(BusMessage message)
        {
            if (stopped)
                return;
            try
            {
                handler(message);
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                Interlocked.Increment(ref broker.handlerErrors);
                broker.Report(pattern.Text, e);
            }
        }
    }

    private void Report(string pattern, Exception e) => onHandlerError?.Invoke(pattern, e);
}
