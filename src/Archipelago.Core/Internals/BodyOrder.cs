namespace Archipelago.Core.Internals;

/// <summary>
/// Numbers bodies, and islands with them, in the order of space, so that looking around and following rings and trees stays in the caches. People walk, so the order decays;
/// it is made anew when enough have left their circles or arrived, which costs little against what they cost themselves.
/// </summary>
internal sealed class BodyOrder(RadixSort sorting)
{
    /// <summary>Smaller worlds fit into the caches in any order. Debug builds number anew in small ones too, so that every test sees it.</summary>
#if DEBUG
    private const int Smallest = 8;
#else
    private const int Smallest = 2048;
#endif

    /// <summary>Who left a circle is a few steps from its place in the order; who arrived is anywhere.</summary>
    private const int ArrivalWeight = 16;

    private const int Patience = 4;

    private readonly Pool<ulong> keys = new();
    private readonly Pool<int> from = new();
    private readonly Pool<int> to = new();
    private readonly ColumnPermuter permuter = new();
    private long arrivals;

    /// <summary>Numbers anew when it pays. Call it between flushes, or in one before anybody has moved; the newcomers have bodies but no islands yet.</summary>
    public void Keep(World world, NeighbourIndex neighbours, Span<int> newcomers)
    {
        int bodies = world.Map.Count;
        if (bodies < Smallest || neighbours.CirclesLeft + (ArrivalWeight * arrivals) < (long)Patience * bodies)
            return;
        arrivals = 0;
        Sort(world);
        world.Renumber(from.Span, to.Span, permuter);
        neighbours.Renumber(from.Span, to.Span, permuter);
        foreach (ref int newcomer in newcomers)
            newcomer = to.Span[newcomer];
        world.RenumberIslands(from, to, permuter);
    }

    /// <summary>Gives slots bodies, in the order of space: all there is to it for those who come to a world that has none. They are listed by their bodies afterwards.</summary>
    public void Embody(World world, PeerTable peers, Span<int> slots)
    {
        Span<ulong> key = keys.Resize(slots.Length);
        Span<int> sorted = from.Resize(slots.Length);
        for (int i = 0; i < slots.Length; i++)
        {
            key[i] = SpatialOrder.Key(peers.Ground(slots[i]));
            sorted[i] = i;
        }
        sorting.Sort(key, sorted);
        if (world.Map.Count > 0)
        {
            arrivals += slots.Length;
        }
        else
        {
            world.Map.Restart();
            // Room for when they have to be numbered anew, so that nothing grows then.
            to.Resize(slots.Length);
            permuter.Reserve(slots.Length);
        }
        foreach (int i in sorted)
            slots[i] = world.Embody(slots[i], peers.Ground(slots[i]));
    }

    /// <summary>Gives back what an arrival of many has left behind in the tables of islands.</summary>
    public void ReleaseScratch(World world) => world.ReleaseScratch(permuter);

    private void Sort(World world)
    {
        int top = world.Map.Top;
        Span<ulong> key = keys.Resize(top);
        Span<int> order = from.Resize(top), inverse = to.Resize(top);
        for (int body = 0; body < top; body++)
        {
            key[body] = world.Map.IsTaken(body) ? SpatialOrder.Key(world.At(body)) : ulong.MaxValue;
            order[body] = body;
        }
        sorting.Sort(key, order);
        for (int body = 0; body < top; body++)
            inverse[order[body]] = body;
    }
}
