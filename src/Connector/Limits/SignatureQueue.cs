using System.Collections.Concurrent;
using System.Diagnostics;
using Archipelago.Ethereum;

namespace Archipelago.Connector;

/// <summary>
/// Recovers signers on threads of its own, so that a crowd at the door takes no time from those who are in: with as many threads as half of the processors, the
/// other half is always theirs. Whoever wants to be verified takes a place first; there is a bounded number of them, and each waits for one
/// signature at a time. Any thread.
/// </summary>
internal sealed class SignatureQueue : IDisposable
{
    private sealed class Job(string text, ReadOnlyMemory<byte> signature, CancellationToken cancellationToken)
        : TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        /// <summary>True when nobody waits for it any more.</summary>
        public bool IsAbandoned => cancellationToken.IsCancellationRequested;

        public void Run()
        {
            try
            {
                TrySetResult(PersonalMessage.TryRecover(text, signature.Span, out string signer) ? signer : null);
            }
            catch (Exception e)
            {
                // For whoever waits; this thread is for everybody.
                TrySetException(e);
            }
        }
    }

    /// <summary>A place; disposing it gives it up.</summary>
    public readonly struct Place(SignatureQueue queue) : IDisposable
    {
        public void Dispose() => Interlocked.Decrement(ref queue.taken);
    }

    private readonly Limit places;
    private readonly SessionMetrics metrics;
    private readonly BlockingCollection<Job> jobs = [];
    private int taken;

    public SignatureQueue(ConnectorOptions options, SessionMetrics metrics)
    {
        places = options.SignatureQueue;
        this.metrics = metrics;
        metrics.ObserveSignatures(this);
        for (int i = 0; i < options.SignatureThreads; i++)
            new Thread(Work) { IsBackground = true, Name = "signatures" }.Start();
    }

    /// <summary>Who is being verified, in the queue or elsewhere.</summary>
    public int Taken => Volatile.Read(ref taken);

    /// <summary>Signatures that wait for a thread.</summary>
    public int Length => jobs.Count;

    /// <summary>Takes a place; false when all are taken.</summary>
    public bool TryEnter(out Place place)
    {
        place = new Place(this);
        if (Interlocked.Increment(ref taken) <= places.Threshold)
            return true;
        metrics.Refused(LimitKind.SignatureQueue);
        if (!places.IsEnforced)
            return true;
        place.Dispose();
        return false;
    }

    /// <summary>Recovers a signer when its turn comes; see <see cref="SignerRecovery"/>.</summary>
    public async ValueTask<string?> RecoverAsync(string text, ReadOnlyMemory<byte> signature, CancellationToken cancellationToken)
    {
        var job = new Job(text, signature, cancellationToken);
        jobs.Add(job, cancellationToken);
        return await job.Task.WaitAsync(cancellationToken);
    }

    public void Dispose() => jobs.CompleteAdding();

    private void Work()
    {
        foreach (Job job in jobs.GetConsumingEnumerable())
        {
            if (job.IsAbandoned)
                continue;
            long start = Stopwatch.GetTimestamp();
            job.Run();
            metrics.SignatureRecovered(Stopwatch.GetElapsedTime(start));
        }
    }
}
