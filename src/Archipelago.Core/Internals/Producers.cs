using System.Runtime.CompilerServices;

namespace Archipelago.Core.Internals;

/// <summary>
/// Tells when no producer can still be in the middle of a report that it began before some moment, so that a slot is never handed to a new peer while
/// an old report may yet be written into it.
/// </summary>
/// <remarks>
/// <para>
/// Each thread has a record of its own, which is odd while the thread is inside a report. Entering costs two plain stores and no fence:
/// </para>
/// <list type="number">
/// <item>producer: make the record odd (<see cref="Enter"/>), read the slot's state, write the report, make the record even (<see cref="Leave"/>);</item>
/// <item>flush: see the slot removed, make the whole process fence (<see cref="Interlocked.MemoryBarrierProcessWide"/>), read all records;</item>
/// <item>whoever is odd now is waited for, that is: the slot is kept until that record has changed, be it at a later flush.</item>
/// </list>
/// <para>
/// Either the producer's odd record is visible after the fence, and is waited for, or its read of the state comes after the fence and finds the
/// removal. Flip the two steps of the producer, or drop the fence, and it may read "alive" unseen and write into the successor's slot. This is epoch
/// reclamation with an asymmetric fence (Hart et al., 2007; the membarrier system call). Nobody ever blocks: a producer that is stopped by the
/// operating system in the middle of a report (but for a thread's first, which registers it under a lock) delays only the reuse of the slots that were given up meanwhile.
/// </para>
/// </remarks>
internal static class Producers
{
    internal sealed class Record(Thread owner)
    {
        /// <summary>Written by its thread alone, read by flushes.</summary>
        public long Sequence;

        public Thread Owner = owner;
    }

    [ThreadStatic]
    private static Record? mine;

    private static readonly Lock Registering = new();
    private static Record[] all = [];

    /// <summary>Begins a report; the state of a slot must be read after it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Record Enter()
    {
        Record record = mine ?? Register();
        Interleaving.Step("begins a report");
        Volatile.Write(ref record.Sequence, record.Sequence + 1);
        return record;
    }

    /// <summary>Ends a report; all its writes come before.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Leave(Record record)
    {
        Interleaving.Step("ends the report");
        Volatile.Write(ref record.Sequence, record.Sequence + 1);
    }

    /// <summary>Notes who is inside a report right now; call <see cref="HaveLeft"/> until it is true.</summary>
    public static void Observe(Pool<(Record Record, long Sequence)> inside)
    {
        Interlocked.MemoryBarrierProcessWide();
        Interleaving.Step("looks who is inside a report");
        inside.Clear();
        foreach (Record record in Volatile.Read(ref all))
        {
            long sequence = Volatile.Read(ref record.Sequence);
            if ((sequence & 1) != 0)
                inside.Add((record, sequence));
        }
    }

    /// <summary>True when everybody who was inside has finished that report.</summary>
    public static bool HaveLeft(Pool<(Record Record, long Sequence)> inside)
    {
        Interleaving.Step("looks whether they have left");
        foreach ((Record record, long sequence) in inside.Span)
            if (Volatile.Read(ref record.Sequence) == sequence)
                return false;
        return true;
    }

    private static Record Register()
    {
        lock (Registering)
        {
            // Records of threads that have ended serve again.
            foreach (Record free in all)
            {
                if (free.Owner.IsAlive)
                    continue;
                free.Owner = Thread.CurrentThread;
                return mine = free;
            }
            var record = new Record(Thread.CurrentThread);
            Volatile.Write(ref all, [.. all, record]);
            return mine = record;
        }
    }
}
