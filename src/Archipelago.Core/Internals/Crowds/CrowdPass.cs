namespace Archipelago.Core.Internals.Crowds;

/// <summary>
/// The coherent crowd policy: in crowds larger than an island, who stands together is together. One run a flush of everybody, after the merges.
/// </summary>
internal sealed class CrowdPass(PeerTable peers, NeighbourIndex neighbours)
{
    private readonly CrowdFinder finder = new(neighbours);
    private readonly CrowdGrid grid = new();
    private readonly CrowdOverflow overflow = new(peers, neighbours);
    private readonly CrowdRepair repair = new(peers, neighbours);

    /// <summary>What is remembered from flush to flush.</summary>
    public CrowdState State { get; } = new();

    /// <summary>Members of crowds in the last run.</summary>
    public int Members { get; private set; }

    /// <summary>Islands of crowds in the last run.</summary>
    public int Islands => finder.Islands.Length;

    /// <summary>People whom the last run has moved.</summary>
    public int Moves => repair.Moved.Length;

    /// <summary>True when this body was moved by the last run.</summary>
    public bool WasMoved(int body) => repair.WasMoved(body);

    /// <summary>Finds the crowds and moves those who gain by it. Who was moved is to look around then: merge once more.</summary>
    public void Run(World world, IslandOptions rules)
    {
        State.Turn++;
        finder.Run(world, rules, State.Turn);
        Members = 0;
        if (finder.Islands.Length > 1)
        {
            grid.Build(world, finder.Islands, rules.JoinDistance);
            Members = grid.Count;
            repair.Prepare(world);
            if (overflow.Run(world, grid, finder.Islands, rules))
                repair.Note(overflow.Moved);
            else
                repair.Run(world, grid, finder, State, rules);
        }
        State.Govern(Moves, Members, rules.CrowdMovesPerFlush);
    }

    /// <summary>Forgets what the last run did; before each flush's.</summary>
    public void Clear()
    {
        repair.Clear();
        Members = 0;
    }
}
