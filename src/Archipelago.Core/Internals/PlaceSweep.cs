namespace Archipelago.Core.Internals;

/// <summary>
/// Reads where everybody is, in the order of bodies, which is that of memory and of space: for when many have reported. Whoever has left a circle is dealt with afterwards, in the same
/// order.
/// </summary>
internal sealed class PlaceSweep(World world, PeerTable peers, NeighbourIndex neighbours, Crew crew) : IChunkedWork
{
    private readonly BodyMarks outside = new();

    /// <summary>Takes the flags of all, and reads the places of all.</summary>
    public void Run()
    {
        peers.ClearMoved();
        outside.Reset(world.Map.Top);
        crew.Do(this, outside.Chunks);
        for (int body = outside.Next(-1); body >= 0; body = outside.Next(body))
            Leave(body);
    }

    public void ReleaseScratch() => outside.Release();

    /// <summary>Somebody may be outside one of its circles.</summary>
    public void Leave(int body)
    {
        Point at = world.At(body);
        // A newcomer is in no island yet; its circles hold everything.
        if (world.TiesDrawn && !world.Bonds[body].Tie.Holds(at))
            world.Touch(world.Bodies[body].Island, Pending.Measure);
        neighbours.Moved(world, body, at);
    }

    void IChunkedWork.Do(int chunk, int lane)
    {
        ReadOnlySpan<int> slots = world.Map.Slots;
        Span<Point> places = world.Places;
        Span<ulong> words = outside.Words;
        bool ties = world.TiesDrawn;
        (int word, int end) = outside.WordsOf(chunk);
        for (; word < end; word++)
        {
            (int body, int last) = outside.BodiesOf(word);
            ulong marks = 0;
            for (; body < last; body++)
            {
                if (body + Prefetch.Distance < slots.Length && slots[body + Prefetch.Distance] >= 0)
                    peers.ExpectGround(slots[body + Prefetch.Distance]);
                if (slots[body] < 0)
                    continue;
                Point at = peers.Ground(slots[body]);
                places[body + 1] = at;
                if (!neighbours.IsInside(body, at) || (ties && !world.Bonds[body].Tie.Holds(at)))
                    marks |= 1UL << body;
            }
            words[word] = marks;
        }
    }
}
