using System.Collections.Concurrent;

namespace Archipelago.Connector;

/// <summary>All WebSockets of a Connector, whatever their stage.</summary>
internal sealed class SocketSet
{
    private readonly ConcurrentDictionary<WebSocketConnection, Session> all = new();

    public int Count => all.Count;

    public IEnumerable<KeyValuePair<WebSocketConnection, Session>> All => all;

    public void Add(WebSocketConnection connection, Session session) => all[connection] = session;

    public void Remove(WebSocketConnection connection) => all.TryRemove(connection, out _);
}
