using System.Collections.Concurrent;
using Archipelago.Core;
using Archipelago.Hosting;

namespace Archipelago.Service;

/// <summary>
/// Lets newcomers into the engine: at once, or, where there is a gatekeeper, after it was asked whether they are banned. The banned stay out; they
/// are asked about again when the gatekeeper's answer is no longer remembered. Any thread.
/// </summary>
internal sealed class Admission(Gatekeeper gatekeeper)
{
    // Compared by identity, so that an update replaces exactly what was seen.
    private sealed class Waiting(Position position, IslandId preferred)
    {
        public Position Position => position;

        public IslandId Preferred => preferred;
    }

    private readonly ConcurrentDictionary<string, Waiting> waiting = new(StringComparer.Ordinal);

    /// <summary>Held while a newcomer is let in, so that a departure or another arrival cannot fall in between.</summary>
    public Lock Deciding { get; } = new();

    /// <summary>Called for each newcomer who may come in, under <see cref="Deciding"/>.</summary>
    public Action<string, Position, IslandId> Admitted { get; set; } = static (_, _, _) => { };

    /// <summary>Asks for admission; a later report of the same newcomer replaces the earlier one while the question is open.</summary>
    public void Ask(string address, in Position position, IslandId preferred)
    {
        if (!gatekeeper.IsEnabled)
        {
            lock (Deciding)
                Admitted(address, position, preferred);
            return;
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

    /// <summary>Newcomers about whom the gatekeeper has been asked.</summary>
    public int AskedAbout => waiting.Count;

    /// <summary>Forgets an open question: the newcomer has left.</summary>
    public void Withdraw(string address) => waiting.TryRemove(address, out _);

    private async Task DecideAsync(string address)
    {
        try
        {
            BanStatus status = await gatekeeper.CheckAsync(address);
            bool mayEnter = status == BanStatus.NotBanned || (status == BanStatus.Unknown && !gatekeeper.FailsClosed);
            lock (Deciding)
                if (mayEnter && waiting.TryRemove(address, out Waiting? report))
                    Admitted(address, report.Position, report.Preferred);
        }
        finally
        {
            waiting.TryRemove(address, out _);
        }
    }
}
