namespace Archipelago.Hosting;

/// <summary>An answer with its age.</summary>
/// <param name="Value">The answer.</param>
/// <param name="Age">How long ago it was asked for.</param>
public readonly record struct Aged<T>(T Value, TimeSpan Age);

/// <summary>
/// Something that is slow or dear to ask for, asked for at most once in a period, whoever wants to know: callers share one question, and while there is no newer answer
/// they get the last good one. Any thread.
/// </summary>
/// <param name="ask">Asks; throws when there is no answer.</param>
/// <param name="period">How long an answer, or the lack of one, stands.</param>
/// <param name="timeLimit">How long a question may take; after that it has failed.</param>
/// <param name="patience">How long a caller waits for it; a second at most where there is an answer already.</param>
/// <param name="clock">Tells the time.</param>
/// <param name="failed">Hears of each question that failed.</param>
public sealed class SharedAnswer<T>(Func<CancellationToken, Task<T>> ask, TimeSpan period, TimeSpan timeLimit, TimeSpan patience, TimeProvider clock, Action<Exception> failed)
    where T : class
{
    private static readonly TimeSpan PatienceWithAnswer = TimeSpan.FromSeconds(1);

    private readonly Lock asking = new();
    private Task question = Task.CompletedTask;
    private long askedAt;
    private bool everAsked;
    private (T Value, long At)? last;

    /// <summary>The answer of this period, or else the last good one; null when there never was one.</summary>
    /// <param name="cancellationToken">Stops waiting; the question goes on for others.</param>
    public async Task<Aged<T>?> GetAsync(CancellationToken cancellationToken)
    {
        Task current;
        bool hasAnswer;
        lock (asking)
        {
            if (question.IsCompleted && (!everAsked || clock.GetElapsedTime(askedAt) >= period))
            {
                (everAsked, askedAt) = (true, clock.GetTimestamp());
                // On another thread, so that nobody asks under the lock.
                question = Task.Run(AskAsync, CancellationToken.None);
            }
            (current, hasAnswer) = (question, last is not null);
        }
        using (var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
        {
            limit.CancelAfter(hasAnswer && patience > PatienceWithAnswer ? PatienceWithAnswer : patience);
            await current.WaitAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        cancellationToken.ThrowIfCancellationRequested();
        lock (asking)
            return last is { } known ? new Aged<T>(known.Value, clock.GetElapsedTime(known.At)) : null;
    }

    private async Task AskAsync()
    {
        long at = Volatile.Read(ref askedAt);
        try
        {
            using var limit = new CancellationTokenSource(timeLimit, TimeProvider.System);
            T answer = await ask(limit.Token).WaitAsync(limit.Token);
            lock (asking)
                last = (answer, at);
        }
#pragma warning disable CA1031 // Whatever goes wrong, those who wait are to get the last good answer.
        catch (Exception e)
#pragma warning restore CA1031
        {
            failed(e);
        }
    }
}
