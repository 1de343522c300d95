using System.Collections.Concurrent;

namespace Archipelago.Core;

/// <summary>
/// An <see cref="IslandEngine"/> for those who have ids of their own: it knows each peer by a key, and gives keys back with changes. Reporting a known
/// key takes no lock and allocates nothing, also by an alternate form of the key such as a <see cref="ReadOnlySpan{T}"/> of characters or bytes; adding
/// and removing lock out one another.
/// </summary>
/// <typeparam name="TKey">The embedder's ids.</typeparam>
public sealed class IslandEngine<TKey> : IDisposable
    where TKey : notnull
{
    private readonly ConcurrentDictionary<TKey, PeerHandle> handles;
    private readonly Lock changing = new();
    private KeyValuePair<PeerHandle, TKey>[] bySlot = new KeyValuePair<PeerHandle, TKey>[64];

    /// <summary>Makes an empty world under these rules.</summary>
    /// <param name="options">The rules.</param>
    /// <param name="comparer">Compares keys; for look-ups by an alternate form it must be an <see cref="IAlternateEqualityComparer{TAlternate, T}"/>.</param>
    /// <exception cref="ArgumentException">A rule is out of range.</exception>
    public IslandEngine(IslandOptions? options = null, IEqualityComparer<TKey>? comparer = null)
    {
        Engine = new IslandEngine(options);
        handles = new ConcurrentDictionary<TKey, PeerHandle>(comparer);
    }

    /// <summary>The engine behind it: for flushes, snapshots and rules. Add and remove peers through this class only.</summary>
    public IslandEngine Engine { get; }

    /// <summary>Keys known.</summary>
    public int Count => handles.Count;

    /// <summary>Reports where a peer is; an unknown key becomes a new peer. Any thread.</summary>
    /// <returns>False, and nothing is stored, when the position is not finite.</returns>
    public bool Report(TKey key, in Position position)
    {
        if (!position.IsFinite)
            return false;
        if (handles.TryGetValue(key, out PeerHandle handle) && Engine.Move(handle, position))
            return true;
        Add(key, position);
        return true;
    }

    /// <summary>Reports where a known peer is, by an alternate form of its key. Any thread; takes no lock and allocates nothing.</summary>
    /// <returns>False when the key is unknown (then <see cref="Report(TKey, in Position)"/> it) or the position is not finite.</returns>
    /// <exception cref="InvalidOperationException">The comparer knows no such alternate form.</exception>
    public bool TryReport<TAlternate>(TAlternate key, in Position position)
        where TAlternate : notnull, allows ref struct =>
        handles.GetAlternateLookup<TAlternate>().TryGetValue(key, out PeerHandle handle) && Engine.Move(handle, position);

    /// <summary>Finds the handle of a key. Any thread.</summary>
    public bool TryGetHandle(TKey key, out PeerHandle handle) => handles.TryGetValue(key, out handle);

    /// <summary>Finds the key of a handle; false when that peer has been removed. Any thread.</summary>
    public bool TryGetKey(PeerHandle handle, out TKey key)
    {
        lock (changing)
        {
            if (handle.Generation != 0 && handle.Slot < bySlot.Length && bySlot[handle.Slot].Key == handle)
            {
                key = bySlot[handle.Slot].Value;
                return true;
            }
        }
        key = default!;
        return false;
    }

    /// <summary>Removes a peer. Any thread.</summary>
    /// <returns>False when the key is unknown.</returns>
    public bool Remove(TKey key)
    {
        lock (changing)
        {
            if (!handles.TryRemove(key, out PeerHandle handle))
                return false;
            bySlot[handle.Slot] = default;
            return Engine.Remove(handle);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Engine.Dispose();

    private void Add(TKey key, in Position position)
    {
        lock (changing)
        {
            if (handles.TryGetValue(key, out PeerHandle known) && Engine.Move(known, position))
                return;
            PeerHandle handle = Engine.Add(position);
            if (handle.Slot >= bySlot.Length)
                Array.Resize(ref bySlot, Math.Max(handle.Slot + 1, bySlot.Length * 2));
            bySlot[handle.Slot] = new KeyValuePair<PeerHandle, TKey>(handle, key);
            handles[key] = handle;
        }
    }
}
