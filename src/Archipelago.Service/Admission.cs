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

    private sealed record Waiting(Position Position, IslandId Preferred);

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
        if (waiting.TryAdd(address, report))
            _ = DecideAsync(address);
        else
            waiting[address] = report;
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
            if (waiting.TryRemove(address, out Waiting? report) && !isBanned)
                Admitted(address, report.Position, report.Preferred);
        }
        finally
        {
            questions.Release();
        }
    }
}
