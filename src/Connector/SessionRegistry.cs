using System.Collections.Concurrent;

namespace Archipelago.Connector;

/// <summary>Who is in: one session an address. Finding takes no lock; registering and leaving lock out one another.</summary>
internal sealed class SessionRegistry
{
    private readonly ConcurrentDictionary<string, Session> byAddress = new(StringComparer.Ordinal);
    private readonly Lock changing = new();

    public int Count => byAddress.Count;

    public IEnumerable<Session> All => byAddress.Select(s => s.Value);

    public bool IsConnected(string address) => byAddress.ContainsKey(address);

    public bool TryFind(string address, out Session? session) => byAddress.TryGetValue(address, out session);

    /// <summary>Gives the address to this session; returns the one that had it, which the caller must end.</summary>
    public Session? Register(string address, Session session)
    {
        lock (changing)
        {
            byAddress.TryGetValue(address, out Session? previous);
            byAddress[address] = session;
            return previous;
        }
    }

    /// <summary>Takes the address from this session, if it is still the one that has it.</summary>
    public bool Unregister(string address, Session session)
    {
        lock (changing)
            return byAddress.TryRemove(new KeyValuePair<string, Session>(address, session));
    }
}
