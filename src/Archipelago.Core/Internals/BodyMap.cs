namespace Archipelago.Core.Internals;

/// <summary>
/// Which body a slot has. Handles name slots, which never change; bodies are what a flush works on, and are numbered anew now and then so that
/// neighbours on the ground are neighbours in memory. Touched by the flushing thread alone.
/// </summary>
internal sealed class BodyMap
{
    private readonly Pool<int> free = new();
    private int[] bodyOf = [];
    private int[] slotOf = [];

    /// <summary>Body numbers in use are below it.</summary>
    public int Top { get; private set; }

    /// <summary>Bodies that belong to somebody.</summary>
    public int Count => Top - free.Count;

    /// <summary>The body of a slot; -1 when it has none, which is so until its peer is placed.</summary>
    public int BodyOf(int slot) => (uint)slot < (uint)bodyOf.Length ? bodyOf[slot] : -1;

    public int SlotOf(int body) => slotOf[body];

    /// <summary>The body of this slot will be asked for soon.</summary>
    public void Expect(int slot) => Prefetch.Entry(bodyOf, slot);

    /// <summary>Slots by body; -1 where a body belongs to nobody.</summary>
    public ReadOnlySpan<int> Slots => slotOf.AsSpan(0, Top);

    /// <summary>True when the body belongs to somebody.</summary>
    public bool IsTaken(int body) => slotOf[body] >= 0;

    public void EnsureSlots(int slots)
    {
        int old = bodyOf.Length;
        if (slots <= old)
            return;
        Array.Resize(ref bodyOf, Growth.From(old, slots));
        bodyOf.AsSpan(old).Fill(-1);
    }

    public void EnsureBodies(int bodies)
    {
        if (bodies > slotOf.Length)
            Array.Resize(ref slotOf, Growth.From(slotOf.Length, bodies));
    }

    /// <summary>Numbers bodies from the first again; only while there are none.</summary>
    public void Restart()
    {
        System.Diagnostics.Debug.Assert(Count == 0, "there are bodies");
        free.Clear();
        Top = 0;
    }

    /// <summary>Gives a slot that has none a body.</summary>
    public int Embody(int slot)
    {
        int body = free.Count > 0 ? free.Pop() : Top++;
        slotOf[body] = slot;
        bodyOf[slot] = body;
        return body;
    }

    public void Disembody(int body)
    {
        bodyOf[slotOf[body]] = -1;
        slotOf[body] = -1;
        free.Add(body);
    }

    /// <summary>Numbers bodies anew: number <c>i</c> is what was <c>from[i]</c>, and those that belong to nobody come last and are given up.</summary>
    public void Renumber(ReadOnlySpan<int> from, ColumnPermuter permuter)
    {
        permuter.Apply(slotOf, from);
        Top = Count;
        free.Clear();
        for (int body = 0; body < Top; body++)
            bodyOf[slotOf[body]] = body;
    }
}
