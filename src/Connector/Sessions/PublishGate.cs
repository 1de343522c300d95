namespace Archipelago.Connector;

/// <summary>
/// Lets a session's heartbeats through one at a time until it is closed; whoever closes it waits for the one that is on its way, since after the session's departure a
/// heartbeat would bring the peer back. Entering and leaving are one interlocked operation each.
/// </summary>
internal sealed class PublishGate
{
    private const int Free = 0, Held = 1, HeldAndClosing = 2, Closed = 3;

    private readonly TaskCompletionSource closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int state;

    /// <summary>False when somebody is inside, or it is closed.</summary>
    public bool TryEnter() => Interlocked.CompareExchange(ref state, Held, Free) == Free;

    public void Exit()
    {
        if (Interlocked.CompareExchange(ref state, Free, Held) == Held)
            return;
        Volatile.Write(ref state, Closed);
        closed.TrySetResult();
    }

    /// <summary>Lets nobody in any more; completes when nobody is inside.</summary>
    public Task CloseAsync()
    {
        while (true)
        {
            int seen = Interlocked.CompareExchange(ref state, Closed, Free);
            if (seen is Free or Closed)
                return Task.CompletedTask;
            if (seen == HeldAndClosing || Interlocked.CompareExchange(ref state, HeldAndClosing, Held) == Held)
                return closed.Task;
        }
    }
}
