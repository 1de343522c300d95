using System.Collections.Concurrent;

namespace Archipelago.Connector;

/// <summary>All WebSockets of a Connector, whatever their stage.</summary>
internal sealed class SocketSet
{
    private readonly ConcurrentDictionary<WebSocketConnection, Session> all = new();
    private readonly ConcurrentQueue<(WebSocketConnection Connection, long Since)> lingering = new();

    public int Count => all.Count;

    public IEnumerable<KeyValuePair<WebSocketConnection, Session>> All => all;

    public void Add(WebSocketConnection connection, Session session) => all[connection] = session;

    /// <summary>
    /// The session is over. The web server still waits for the client to take the last bytes, for ever if it does not, so the connection is cut when its time is over.
    /// </summary>
    public void Remove(WebSocketConnection connection, long now)
    {
        all.TryRemove(connection, out _);
        lingering.Enqueue((connection, now));
    }

    /// <summary>Cuts the connections whose sessions were over by then; for most of them there is nothing left to cut.</summary>
    public void CutLingering(long before)
    {
        while (lingering.TryPeek(out (WebSocketConnection Connection, long Since) oldest) && oldest.Since <= before && lingering.TryDequeue(out oldest))
            oldest.Connection.Abort();
    }
}
