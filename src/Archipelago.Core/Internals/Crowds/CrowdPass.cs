namespace Archipelago.Core.Internals.Crowds;

/// <summary>
/// The coherent crowd policy: in crowds larger than an island, who stands together is together. One run a flush of everybody, after the merges.
/// </summary>
internal sealed class CrowdPass(PeerTable peers, NeighbourIndex neighbours, RadixSort sorting)
{
    private readonly CrowdFinder finder = new(neighbours);
    private readonly CrowdGrid grid = new();
    private readonly CrowdOverflow overflow = new(peers, neighbours, sorting);
    private readonly CrowdRepair repair = new(peers, neighbours);

    /// <summary>Which islands are in crowds.</summary>
    public CrowdFinder Finder => finder;

    /// <summary>What is remembered from flush to flush.</summary>
    public CrowdState State { get; } = new();

    /// <summary>Members of crowds in the last run.</summary>
    public int Members { get; private set; }

    /// <summary>Members that the last run has looked at.</summary>
    public int Looks => repair.Looks;

    /// <summary>What the last run did.</summary>
    public CrowdSummary Summary => Members == 0 ? default : new CrowdSummary(Members, finder.Islands.Length, repair.Moved.Length);

    /// <summary>True when this body was moved by the last run.</summary>
    public bool WasMoved(int body) => repair.WasMoved(body);

    /// <summary>Somebody has left; whoever gets the slot next begins anew.</summary>
    public void Forget(int slot)
    {
        if (slot < State.Uneasy.Length)
            State.Uneasy[slot] = false;
    }

    /// <summary>Finds the crowds and moves those who gain by it. Who was moved is to look around then: merge once more.</summary>
    /// <param name="world">The world.</param>
    /// <param name="rules">The rules.</param>
    /// <param name="repairs">Whether to move anybody.</param>
    public void Run(World world, IslandOptions rules, bool repairs)
    {
        finder.Run(world, rules, State.Turn);
        Members = finder.Islands.Length > 1 ? Count(world) : 0;
        if (repairs && Members > 0 && rules.CrowdMovesPerFlush > 0)
        {
            grid.Build(world, finder.Islands, rules.JoinDistance);
            repair.Prepare(world);
            if (overflow.Run(world, grid, finder.Islands, rules))
                repair.Note(overflow.Moved);
            else
                repair.Run(world, grid, finder, State, rules);
        }
        State.Govern(repair.Moved.Length, Members, rules.CrowdMovesPerFlush);
    }

    /// <summary>
    /// Φ: the bonds within the islands of crowds, less what their sizes cost. While nobody moves on the ground, no move of the repair lowers it.
    /// </summary>
    public double Potential(World world, IslandOptions rules)
    {
        int[] islands = [.. finder.Islands.ToArray().Where(i => world.Islands[i].Count > 0)];
        var whole = new CrowdGrid();
        whole.Build(world, islands, rules.JoinDistance);
        double bonds = 0, sizes = 0;
        for (int member = 0; member < whole.Count; member++)
        {
            whole.Weigh(member);
            bonds += whole.WeightOf(whole.IslandOf(member));
        }
        foreach (int island in islands)
            sizes += Math.Pow(world.Islands[island].Count, 2);
        return (bonds / 2) - (CrowdRepair.PerMember(rules) / 2 * sizes);
    }

    /// <summary>Gives back what an arrival of many has left behind.</summary>
    public void ReleaseScratch() => finder.ReleaseScratch();

    private int Count(World world)
    {
        int members = 0;
        foreach (int island in finder.Islands)
            members += world.Islands[island].Count;
        return members;
    }

    /// <summary>Forgets what the last run did; before each flush's.</summary>
    public void Clear()
    {
        repair.Clear();
        Members = 0;
    }
}
