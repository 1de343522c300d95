using System.Runtime.CompilerServices;

namespace Archipelago.Core.Internals;

/// <summary>A list that keeps its memory when cleared and shows its content as a span. One thread at a time.</summary>
internal sealed class Pool<T>
{
    private const int WorthReleasing = 1024;

    private T[] items = new T[16];

    public int Count { get; private set; }

    public Span<T> Span => items.AsSpan(0, Count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(T item)
    {
        if (Count == items.Length)
            Array.Resize(ref items, Count * 2);
        items[Count++] = item;
    }

    /// <summary>Takes the last one off.</summary>
    public T Pop() => items[--Count];

    /// <summary>Makes the list this long; what new entries hold is undefined.</summary>
    public Span<T> Resize(int count)
    {
        Reserve(count - Count);
        Count = count;
        return Span;
    }

    /// <summary>Makes room for so many more, so that a list that is about to grow does so once.</summary>
    public void Reserve(int more)
    {
        if (Count + more > items.Length)
            Array.Resize(ref items, Math.Max(Count + more, items.Length * 2));
    }

    public void Clear() => Count = 0;

    /// <summary>Empties it and gives its memory back, where that is worth it.</summary>
    public void Release()
    {
        Count = 0;
        if (items.Length > WorthReleasing)
            items = new T[16];
    }
}
