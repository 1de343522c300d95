using System.Runtime.ExceptionServices;

namespace Archipelago.Core.Internals;

/// <summary>Work in chunks that may be done in any order and on several threads at once. Long-lived, so that handing it out allocates nothing.</summary>
internal interface IChunkedWork
{
    /// <summary>Does one chunk. No two threads that work at the same time have the same lane, so scratch is kept by lane.</summary>
    void Do(int chunk, int lane);
}

/// <summary>
/// The threads of a flush: the one that called it, and helpers of the thread pool, if they come. Whoever is free takes the next chunk; where no helper comes, the caller does everything
/// itself and waits for nobody. What fails in a chunk, on whichever thread, is thrown to the caller as it is, when all chunks are done.
/// </summary>
/// <remarks>
/// <para>
/// Shared fields and what orders them. <c>next</c> is one word, of the number of the running job above and of its next chunk below: written by the caller, with release, once
/// <c>work</c>, <c>chunks</c>, <c>lanes</c> and <c>unfinished</c> are those of the job; then counted up by whoever claims a chunk, by compare-and-set. A helper reads <c>next</c> (acquire), then the
/// other fields, then claims: if these were of a later job, the number above has changed and the claim fails; if the claim succeeds they cannot change, for the caller waits until each
/// claimed chunk is done. Between jobs the word has a number of its own and a chunk that no job has, so that the fields of the next may be written while somebody still reads the last
/// job's. <c>unfinished</c> is counted down with a full fence after each chunk, and the caller reads zero with acquire, so it sees everything that was done.
/// </para>
/// <para>
/// A helper that finds nothing to claim for some microseconds goes back to the pool, whose threads have other things to do; the next job asks for it again. The only wait is the caller's,
/// for chunks that were claimed and are being worked on: they are small, but where the system takes the processor from a helper in the middle of one, the caller waits for that, too.
/// </para>
/// </remarks>
/// <param name="summon">How a helper is asked to come; through the thread pool, unless a test does otherwise.</param>
internal sealed class Crew(Action<IThreadPoolWorkItem> summon)
{
    /// <summary>How often a helper looks for a chunk in vain, yielding its processor the last few times, before it leaves: long enough for the next job of the same flush.</summary>
    private const int Patience = 20;

    /// <summary>Beyond the last chunk of any job.</summary>
    private const long NoChunk = int.MaxValue;

    /// <summary>Fewer chunks than this are done before anybody comes. Debug builds call helpers for small worlds too, so that every test sees them.</summary>
#if DEBUG
    private const int FewestChunks = 2;
#else
    private const int FewestChunks = 8;
#endif

    private Helper[] helpers = [];
    private IChunkedWork work = NoWork.Instance;
    private int lanes = 1;
    private int chunks;
    private int unfinished;
    private long next = NoChunk;
    private ExceptionDispatchInfo? failure;

    public Crew()
        : this(static helper => ThreadPool.UnsafeQueueUserWorkItem(helper, preferLocal: false))
    {
    }

    /// <summary>Threads that may take part, the caller included: lanes are below it. Set between flushes.</summary>
    public int Size
    {
        get => lanes;
        set
        {
            lanes = value;
            // Helpers are kept for good, since those of a larger crew may still be looking for work, and a lane must not have two.
            for (int i = helpers.Length; i < value - 1; i++)
            {
                Array.Resize(ref helpers, i + 1);
                helpers[i] = new Helper(this, lane: i + 1);
            }
        }
    }

    /// <summary>True when so many chunks are worth asking anybody else to come for.</summary>
    public bool Shares(int count) => lanes > 1 && count >= FewestChunks;

    /// <summary>Does all chunks, and returns when they are done. One caller at a time.</summary>
    public void Do(IChunkedWork job, int count)
    {
        if (!Shares(count))
        {
            for (int chunk = 0; chunk < count; chunk++)
                job.Do(chunk, 0);
            return;
        }
        Interleaving.Step("writes the job");
        work = job;
        Interleaving.Step("writes how many chunks there are");
        chunks = count;
        unfinished = count;
        Interleaving.Step("opens the job");
        Volatile.Write(ref next, ((next >> 32) + 1) << 32);
        // The job is there before anybody is found to be gone; partner: the exchange by which a helper leaves.
        Interlocked.MemoryBarrier();
        foreach (Helper helper in helpers.AsSpan(0, lanes - 1))
            helper.Call();
        while (TryDoOne(lane: 0))
        {
        }
        var patience = default(SpinWait);
        while (Volatile.Read(ref unfinished) > 0)
        {
            Interleaving.Step(Interleaving.Waits);
            patience.SpinOnce(sleep1Threshold: -1);
        }
        Interleaving.Step("closes the job");
        Volatile.Write(ref next, (((next >> 32) + 1) << 32) | NoChunk);
        work = NoWork.Instance;
        Interlocked.Exchange(ref failure, null)?.Throw();
    }

    private void Summon(Helper helper) => summon(helper);

    /// <summary>Does the next chunk. False when there is none, or none for this lane.</summary>
    internal bool TryDoOne(int lane)
    {
        while (true)
        {
            Interleaving.Step("reads which chunk is next");
            long claimed = Volatile.Read(ref next);
            int chunk = (int)claimed;
            Interleaving.Step("reads the job");
            IChunkedWork job = Volatile.Read(ref work);
            Interleaving.Step("reads how many chunks there are");
            if (chunk >= Volatile.Read(ref chunks) || lane >= Volatile.Read(ref lanes))
                return false;
            Interleaving.Step("claims the chunk");
            if (Interlocked.CompareExchange(ref next, claimed + 1, claimed) != claimed)
                continue;
            try
            {
                job.Do(chunk, lane);
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
            }
            Interleaving.Step("has finished the chunk");
            Interlocked.Decrement(ref unfinished);
            return true;
        }
    }

    /// <summary>True when there may be a chunk to do.</summary>
    private bool IsOpen => (int)Volatile.Read(ref next) < Volatile.Read(ref chunks);

    private sealed class NoWork : IChunkedWork
    {
        public static readonly NoWork Instance = new();

        public void Do(int chunk, int lane) => throw new InvalidOperationException("There is nothing to do.");
    }

    /// <summary>One place for a thread of the pool.</summary>
    private sealed class Helper(Crew crew, int lane) : IThreadPoolWorkItem
    {
        /// <summary>1 from the call until the thread has left.</summary>
        private int called;

        public void Call()
        {
            if (Volatile.Read(ref called) != 0 || Interlocked.Exchange(ref called, 1) != 0)
                return;
            try
            {
                crew.Summon(this);
            }
            catch (OutOfMemoryException)
            {
                // It does without; the job is open already, and must be done.
                Volatile.Write(ref called, 0);
            }
        }

        public void Execute()
        {
            do
            {
                var patience = default(SpinWait);
                while (patience.Count < Patience)
                {
                    if (crew.TryDoOne(lane))
                        patience.Reset();
                    else
                        patience.SpinOnce(sleep1Threshold: -1);
                }
                Interlocked.Exchange(ref called, 0);
                // A job that was opened just before did not call it, since it was still here.
            }
            while (crew.IsOpen && Interlocked.Exchange(ref called, 1) == 0);
        }
    }
}
