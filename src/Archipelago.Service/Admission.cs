using System.Collections.Concurrent;
using Archipelago.Core;
using Archipelago.Hosting;

namespace Archipelago.Service;

/// <summary>
/// Lets newcomers into the engine: at once, or, where there is a gatekeeper, after it was asked whether they are banned. Newcomers are asked about
/// side by side, a bounded number at a time; the banned stay out and are asked about again after a while. Any thread.
/// </summary>
internal sealed class Admission(Gatekeeper gatekeeper, TimeProvider clock) : IDisposable
{
    private const int QuestionsAtOnce = 20;
    private static readonly TimeSpan BanRemembered = TimeSpan.FromSeconds(30);

    // Compared by identity, so that an update replaces exactly what was seen.
    private sealed class Waiting(Position position, IslandId preferred)
    {
        public Position Position => position;

        public IslandId Preferred => preferred;
    }

    private readonly ConcurrentDictionary<string, Waiting> waiting = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, long> banned = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim questions = new(QuestionsAtOnce);

    /// <summary>Called for each newcomer who may come in.</summary>
    public Action<string, Position, IslandId> Admitted { get; set; } = static (_, _, _) => { };

    /// <summary>Asks for admission; a later report of the same newcomer replaces the earlier one while the question is open.</summary>
    public void Ask(string address, in Position position, IslandId preferred)
    {
        if (!gatekeeper.IsEnabled)
        {
            Admitted(address, position, preferred);
            return;
        }
        if (banned.TryGetValue(address, out long since))
        {
            if (clock.GetElapsedTime(since) < BanRemembered)
                return;
            banned.TryRemove(address, out _);
        }
        var report = new Waiting(position, preferred);
        // The question may be decided, and its entry gone, at any moment; an entry without a question would never go.
        while (!waiting.TryAdd(address, report))
        {
            if (waiting.TryGetValue(address, out Waiting? earlier) && waiting.TryUpdate(address, report, earlier))
                return;
        }
        _ = DecideAsync(address);
    }

    /// <summary>Forgets an open question: the newcomer has left.</summary>
    public void Withdraw(string address) => waiting.TryRemove(address, out _);

    public void Dispose() => questions.Dispose();

    private async Task DecideAsync(string address)
    {
        await questions.WaitAsync();
        try
        {
            bool isBanned = await gatekeeper.IsBannedAsync(address);
            if (isBanned)
                banned[address] = clock.GetTimestamp();
            else if (waiting.TryRemove(address, out Waiting? report))
                Admitted(address, report.Position, report.Preferred);
        }
        finally
        {
            waiting.TryRemove(address, out _);
            questions.Release();
        }
    }
}
