using System.Runtime.CompilerServices;

namespace Archipelago.Messaging;

/// <summary>
/// Wakes one waiting loop, from any thread, without allocating: <see cref="Set"/> before or during the wait ends it once. The loop goes on on the thread
/// pool, never on the thread that sets.
/// </summary>
/// <remarks>
/// <c>state</c> goes Idle → Waiting (the loop), Waiting → Idle (who sets, and only that one queues the loop), Idle → Set (who sets while nobody waits), Set →
/// Idle (the loop, without waiting). Each step is one compare-and-set; the continuation is written before Waiting is published.
/// </remarks>
internal sealed class WakeUp : ICriticalNotifyCompletion, IThreadPoolWorkItem
{
    private const int Idle = 0, Waiting = 1, IsSet = 2;

    private int state;
    private Action? continuation;

    public WakeUp GetAwaiter() => this;

    public bool IsCompleted => Interlocked.CompareExchange(ref state, Idle, IsSet) == IsSet;

    public void GetResult()
    {
    }

    public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

    public void UnsafeOnCompleted(Action continuation)
    {
        this.continuation = continuation;
        if (Interlocked.CompareExchange(ref state, Waiting, Idle) == Idle)
            return;
        // Set in the meantime: go on at once, but not on this stack.
        Volatile.Write(ref state, Idle);
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Wakes the loop, or keeps its next wait from waiting.</summary>
    public void Set()
    {
        if (Interlocked.CompareExchange(ref state, IsSet, Idle) != Waiting)
            return;
        if (Interlocked.CompareExchange(ref state, Idle, Waiting) == Waiting)
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    void IThreadPoolWorkItem.Execute() => continuation!();
}
