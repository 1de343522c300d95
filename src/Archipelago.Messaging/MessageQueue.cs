namespace Archipelago.Messaging;

/// <summary>What a full <see cref="MessageQueue"/> does with one message more.</summary>
public enum FullQueue
{
    /// <summary>Blocks the bus's delivery thread until there is room: nothing is lost here, and everybody behind waits.</summary>
    Block,

    /// <summary>Forgets the message that has waited longest.</summary>
    DropOldest,

    /// <summary>Forgets the new message.</summary>
    DropNewest,

    /// <summary>A message replaces an earlier one of the same subject that still waits, also while there is room; when full of different subjects, the oldest is forgotten.</summary>
    KeepLatestBySubject,
}

/// <summary>
/// Stands between a bus and a consumer that may be slower than its messages: a bounded queue with a named policy, whose losses are counted.
/// <see cref="Post"/> is the handler to subscribe; the consumer runs on a task of its own, one message at a time. Copies go into buffers that are used
/// again, so that the steady state allocates nothing.
/// </summary>
public sealed class MessageQueue : IAsyncDisposable
{
    private readonly Lock gate = new();
    private readonly MessageHandler consumer;
    private readonly FullQueue policy;
    private readonly Action<Exception>? onError;
    private readonly Entry[] ring;

    /// <summary>Where a subject waits, by the hash of its bytes: two that share one are merely not replaced.</summary>
    private readonly Dictionary<int, int>? bySubject;

    private readonly WakeUp filled = new();
    private readonly SemaphoreSlim emptied;
    private readonly CancellationTokenSource stopping = new();
    private readonly Task running;
    private int head;
    private int count;
    private long dropped;
    private long replaced;
    private long consumerErrors;

    private sealed class Entry
    {
        public byte[] Bytes = [];
        public int SubjectLength;
        public int Length;
    }

    /// <summary>Starts the consumer.</summary>
    /// <param name="capacity">Messages that may wait; at least 1.</param>
    /// <param name="policy">What happens when it is full.</param>
    /// <param name="consumer">Called for each message, one at a time.</param>
    /// <param name="onError">Told of exceptions of the consumer; must not throw.</param>
    public MessageQueue(int capacity, FullQueue policy, MessageHandler consumer, Action<Exception>? onError = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentNullException.ThrowIfNull(consumer);
        this.consumer = consumer;
        this.policy = policy;
        this.onError = onError;
        ring = new Entry[capacity];
        for (int i = 0; i < capacity; i++)
            ring[i] = new Entry();
        emptied = new SemaphoreSlim(capacity);
        if (policy == FullQueue.KeepLatestBySubject)
            bySubject = [];
        running = Task.Run(ConsumeAsync);
    }

    /// <summary>Messages forgotten because the queue was full, or disposed.</summary>
    public long Dropped => Interlocked.Read(ref dropped);

    /// <summary>Messages that a later one of their subject has replaced.</summary>
    public long Replaced => Interlocked.Read(ref replaced);

    /// <summary>Exceptions that the consumer has thrown.</summary>
    public long ConsumerErrors => Interlocked.Read(ref consumerErrors);

    /// <summary>Messages that wait.</summary>
    public int Count
    {
        get
        {
            lock (gate)
                return count;
        }
    }

    /// <summary>Takes a message in; subscribe this.</summary>
    public void Post(BusMessage message)
    {
        if (policy == FullQueue.Block && !WaitForRoom())
        {
            Interlocked.Increment(ref dropped);
            return;
        }
        lock (gate)
        {
            if (stopping.IsCancellationRequested)
            {
                Interlocked.Increment(ref dropped);
                return;
            }
            if (bySubject is not null && bySubject.TryGetValue(KeyOf(message.Subject), out int waiting) && SubjectOf(ring[waiting]).SequenceEqual(message.Subject))
            {
                Fill(ring[waiting], message);
                Interlocked.Increment(ref replaced);
                return;
            }
            if (count == ring.Length)
            {
                Interlocked.Increment(ref dropped);
                if (policy == FullQueue.DropNewest)
                    return;
                ForgetOldest();
            }
            int tail = (head + count) % ring.Length;
            Fill(ring[tail], message);
            bySubject?[KeyOf(message.Subject)] = tail;
            if (count++ == 0)
                filled.Set();
        }
    }

    /// <summary>False when the queue is disposed.</summary>
    private bool WaitForRoom()
    {
        try
        {
            emptied.Wait(stopping.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Ends the consumer; what still waits is forgotten.</summary>
    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        filled.Set();
        await running;
        lock (gate)
        {
            Interlocked.Add(ref dropped, count);
            count = 0;
        }
    }

    private void ForgetOldest()
    {
        bySubject?.Remove(KeyOf(SubjectOf(ring[head])));
        head = (head + 1) % ring.Length;
        count--;
    }

    private static ReadOnlySpan<byte> SubjectOf(Entry entry) => entry.Bytes.AsSpan(0, entry.SubjectLength);

    private static void Fill(Entry entry, BusMessage message)
    {
        int length = message.Subject.Length + message.Payload.Length;
        if (entry.Bytes.Length < length)
            entry.Bytes = new byte[Math.Max(128, length * 2)];
        message.Subject.CopyTo(entry.Bytes);
        message.Payload.CopyTo(entry.Bytes.AsSpan(message.Subject.Length));
        (entry.SubjectLength, entry.Length) = (message.Subject.Length, length);
    }

    private static int KeyOf(ReadOnlySpan<byte> subject)
    {
        var hash = new HashCode();
        hash.AddBytes(subject);
        return hash.ToHashCode();
    }

    private async Task ConsumeAsync()
    {
        byte[] copy = new byte[1024];
        while (!stopping.IsCancellationRequested)
        {
            if (TakeOldest(ref copy, out int subjectLength, out int length))
                Consume(copy, subjectLength, length);
            else
                await filled;
        }
    }

    /// <summary>Copies the oldest out, so that a new message may be written while the consumer works; false when nothing waits.</summary>
    private bool TakeOldest(ref byte[] copy, out int subjectLength, out int length)
    {
        lock (gate)
        {
            subjectLength = length = 0;
            if (count == 0)
                return false;
            Entry oldest = ring[head];
            (subjectLength, length) = (oldest.SubjectLength, oldest.Length);
            // Buffers change places rather than bytes.
            (oldest.Bytes, copy) = (copy, oldest.Bytes);
            bySubject?.Remove(KeyOf(copy.AsSpan(0, subjectLength)));
            head = (head + 1) % ring.Length;
            count--;
        }
        if (policy == FullQueue.Block)
            emptied.Release();
        return true;
    }

    private void Consume(byte[] bytes, int subjectLength, int length)
    {
        try
        {
            consumer(new BusMessage(bytes.AsSpan(0, subjectLength), bytes.AsSpan(subjectLength, length - subjectLength)));
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Interlocked.Increment(ref consumerErrors);
            onError?.Invoke(e);
        }
    }
}
