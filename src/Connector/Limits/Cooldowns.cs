using System.Collections.Concurrent;

namespace Archipelago.Connector;

/// <summary>
/// Addresses of which a session has just been ended in favour of a newer one: until the newer has gone or a few seconds have passed, no third may come, so that two
/// clients of one person that both come back at once do not throw each other out for ever. Any thread.
/// </summary>
internal sealed class Cooldowns(ConnectorOptions options, TimeProvider clock)
{
    private readonly ConcurrentDictionary<string, long> since = new(StringComparer.Ordinal);
    private readonly Queue<(string Address, long Since)> oldest = [];

    /// <summary>How many addresses cool down, those included whose time is over but not yet noticed.</summary>
    public int Count => since.Count;

    /// <summary>An earlier session of the address was ended, here or elsewhere.</summary>
    public void Start(string address)
    {
        long now = clock.GetTimestamp();
        since[address] = now;
        // What is over is cleared away by whoever comes next, so the memory is that of a cool-down's worth.
        lock (oldest)
        {
            oldest.Enqueue((address, now));
            while (oldest.TryPeek(out (string Address, long Since) first) && clock.GetElapsedTime(first.Since) >= Length)
            {
                oldest.Dequeue();
                since.TryRemove(new KeyValuePair<string, long>(first.Address, first.Since));
            }
        }
    }

    /// <summary>The newer session has gone.</summary>
    public void End(string address) => since.TryRemove(address, out _);

    /// <summary>True while the address may not come.</summary>
    public bool Holds(string address) => since.TryGetValue(address, out long from) && clock.GetElapsedTime(from) < Length;

    /// <summary>How long a cool-down is; while switched off the default's worth is kept, to be counted.</summary>
    private TimeSpan Length => TimeSpan.FromMilliseconds(options.SupersedeCooldown.Threshold);
}
