using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Archipelago.Connector;

/// <summary>Who is in: one session an address. Finding takes no lock; registering and leaving lock out one another.</summary>
internal sealed class SessionRegistry
{
    private const int LongestAddress = 64;

    private readonly ConcurrentDictionary<string, Session> byAddress = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Session>.AlternateLookup<ReadOnlySpan<char>> byText;
    private readonly Lock changing = new();

    public SessionRegistry() => byText = byAddress.GetAlternateLookup<ReadOnlySpan<char>>();

    public int Count => byAddress.Count;

    public IEnumerable<Session> All => byAddress.Select(s => s.Value);

    public bool IsConnected(string address) => byAddress.ContainsKey(address);

    /// <summary>Finds a session by the bytes of its address, as they stand in a subject. Allocates nothing.</summary>
    public bool TryFind(ReadOnlySpan<byte> address, [NotNullWhen(true)] out Session? session)
    {
        session = null;
        if (address.Length > LongestAddress)
            return false;
        Span<char> text = stackalloc char[LongestAddress];
        return Ascii.ToUtf16(address, text, out int length) == System.Buffers.OperationStatus.Done && byText.TryGetValue(text[..length], out session);
    }

    /// <summary>Gives the address to this session; the one that had it becomes its predecessor, which it must end.</summary>
    public void Register(string address, Session session)
    {
        lock (changing)
        {
            if (byAddress.TryGetValue(address, out Session? previous))
                session.Predecessor = previous;
            byAddress[address] = session;
        }
    }

    /// <summary>Takes the address from this session, if it is still the one that has it.</summary>
    public bool Unregister(string address, Session session)
    {
        lock (changing)
            return byAddress.TryRemove(new KeyValuePair<string, Session>(address, session));
    }
}
