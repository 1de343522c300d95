namespace Archipelago.Core.Internals;

/// <summary>
/// Brings newcomers together who arrive in numbers. Taken one by one, thousands at one place would make a pair each with all others; here squares are
/// joined, not people.
/// </summary>
/// <remarks>
/// <para>
/// Newcomers with the same preference who share a small square, when they are many, form groups of at most the cap in the order in which they were
/// added. When a flush brings a great many, the squares of those without a preference are then joined with those around them, wherever somebody of the
/// one is within the join distance of somebody of the other and both fit together: first within blocks of four squares, then of sixteen, so that
/// islands come out round rather than long, then all.
/// </para>
/// <para>Every newcomer is in an island of its own before; what stands when this ends is merged further by <see cref="MergePass"/>.</para>
/// </remarks>
internal sealed class Gathering(PeerTable peers, RadixSort sorting)
{
    /// <summary>Newcomers of one square and preference gather when there are at least this many; fewer choose one by one.</summary>
    private const int GatherFrom = 8;

    /// <summary>When a flush brings at least this many newcomers, they gather from two on, and their squares are joined.</summary>
    private const int MassArrival = 1000;

    private const int WholeWorld = 31;

    private readonly Pool<ulong> keys = new();
    private readonly Pool<int> people = new();
    private readonly Pool<int> undecided = new();
    private readonly Pool<ulong> ranks = new();
    private readonly SquareGrid grid = new();

    /// <summary>Gathers these bodies, given in the order in which they were added.</summary>
    public void Run(World world, IslandOptions rules, ReadOnlySpan<int> newcomers)
    {
        bool mass = newcomers.Length >= MassArrival;
        int threshold = mass ? 2 : GatherFrom, cap = rules.MaxIslandSize;
        if (newcomers.Length < threshold || cap == 1)
            return;
        var cells = new Cells(rules.JoinDistance);
        newcomers.CopyTo(people.Resize(newcomers.Length));
        if (peers.HasPreferences)
            GatherDecided(world, cells, cap, threshold);
        SortBySquare(world, cells, people.Span);
        ReadOnlySpan<int> sorted = people.Span;
        foreach (ref Square square in grid.Squares)
        {
            if (square.End - square.Start < threshold || !Cells.ProvesNearness(square.Key))
                continue;
            Group(world, cap, sorted[square.Start..square.End]);
            // All groups but the last are full and go with nobody.
            square = square with { Start = square.Start + ((square.End - square.Start - 1) / cap * cap) };
        }
        if (!mass)
            return;
        for (int block = 1; block <= 2; block++)
            Join(world, rules, block);
        Join(world, rules, WholeWorld);
    }

    /// <summary>
    /// Merges the islands that share a square, wherever they fit: for when so many have met at once that going through all pairs of them would take for
    /// ever. The larger, then the older, takes in the next that fits; squares go in the order of their place, so the outcome does not depend on the
    /// numbers of bodies.
    /// </summary>
    public void Condense(World world, IslandOptions rules)
    {
        people.Clear();
        for (int body = 0; body < world.Map.Top; body++)
            if (world.Bodies[body].Island is var island && island >= 0 && world.Islands[island].Count < rules.MaxIslandSize)
                people.Add(body);
        SortBySquare(world, new Cells(rules.JoinDistance), people.Span);
        foreach (ref readonly Square square in grid.Squares)
            if (square.End - square.Start > 1 && Cells.ProvesNearness(square.Key))
                CondenseSquare(world, rules.MaxIslandSize, people.Span[square.Start..square.End]);
    }

    private void CondenseSquare(World world, int cap, Span<int> inside)
    {
        Span<ulong> rank = ranks.Resize(inside.Length);
        for (int i = 0; i < inside.Length; i++)
            rank[i] = world.Rank(world.Bodies[inside[i]].Island);
        sorting.Sort(rank, inside);
        for (int i = 0; i < inside.Length; i++)
        {
            int target = world.Bodies[inside[i]].Island;
            for (int j = i + 1; j < inside.Length && world.Islands[target].Count < cap; j++)
            {
                int other = world.Bodies[inside[j]].Island;
                if (other != target && world.Islands[target].Count + world.Islands[other].Count <= cap)
                    world.Absorb(target, other, inside[i], inside[j]);
            }
        }
    }

    public void ReleaseScratch()
    {
        keys.Release();
        people.Release();
        undecided.Release();
        ranks.Release();
        grid.Release();
    }

    /// <summary>Groups those who prefer an island, and leaves the others listed.</summary>
    private void GatherDecided(World world, Cells cells, int cap, int threshold)
    {
        undecided.Clear();
        int decided = 0;
        Span<int> all = people.Span;
        foreach (int body in all)
        {
            if (Preference(world, body) == 0)
                undecided.Add(body);
            else
                all[decided++] = body;
        }
        Span<int> some = all[..decided];
        Span<ulong> key = keys.Resize(decided);
        for (int i = 0; i < decided; i++)
            key[i] = (ulong)Preference(world, some[i]);
        sorting.Sort(key, some);
        SortBySquare(world, cells, some);
        foreach (ref readonly Square square in grid.Squares)
        {
            for (int start = square.Start, end; start < square.End; start = end)
            {
                end = start + 1;
                while (end < square.End && Preference(world, some[end]) == Preference(world, some[start]))
                    end++;
                if (end - start >= threshold && Cells.ProvesNearness(square.Key))
                    Group(world, cap, some[start..end]);
            }
        }
        undecided.Span.CopyTo(people.Resize(undecided.Count));
    }

    private long Preference(World world, int body) => peers.Preference(world.Map.SlotOf(body));

    /// <summary>Sorts bodies by square; those of one square keep their order.</summary>
    private void SortBySquare(World world, Cells cells, Span<int> bodies)
    {
        Span<ulong> key = keys.Resize(bodies.Length);
        for (int i = 0; i < bodies.Length; i++)
            key[i] = cells.Key(world.At(bodies[i]).X, world.At(bodies[i]).Z);
        sorting.Sort(key, bodies);
        grid.Cut(key);
    }

    private static void Group(World world, int cap, ReadOnlySpan<int> inside)
    {
        for (int i = 0; i < inside.Length; i++)
        {
            int leader = inside[i - (i % cap)];
            if (leader != inside[i])
                world.Absorb(world.Bodies[leader].Island, world.Bodies[inside[i]].Island, leader, inside[i]);
        }
    }

    private void Join(World world, IslandOptions rules, int block)
    {
        var joiner = new Joiner(world, people, rules, block);
        grid.VisitPairs(ref joiner);
    }

    private readonly struct Joiner(World world, Pool<int> people, IslandOptions rules, int block) : ISquarePairVisitor
    {
        private readonly double squared = rules.JoinDistance * rules.JoinDistance;
        private readonly int cap = rules.MaxIslandSize;

        public void Visit(in Square a, in Square b)
        {
            if ((((Cells.Column(a.Key) ^ Cells.Column(b.Key)) | (Cells.Row(a.Key) ^ Cells.Row(b.Key))) >> block) != 0 && block < WholeWorld)
                return;
            ReadOnlySpan<int> inA = people.Span[a.Start..a.End], inB = people.Span[b.Start..b.End];
            bool whole = Cells.ProvesNearness(a.Key) && Cells.ProvesNearness(b.Key);
            // Both squares are in one island each, so that the first pair that is near decides.
            if (whole && !MayJoin(world.Bodies[inA[0]].Island, world.Bodies[inB[0]].Island))
                return;
            foreach (int one in inA)
            {
                foreach (int other in inB)
                {
                    if (world.At(one).SquaredDistance(world.At(other)) > squared
                        || !MayJoin(world.Bodies[one].Island, world.Bodies[other].Island))
                        continue;
                    Join(one, other);
                    if (whole)
                        return;
                }
            }
        }

        private bool MayJoin(int a, int b) => a != b && world.Islands[a].Count + world.Islands[b].Count <= cap;

        private void Join(int one, int other)
        {
            int a = world.Bodies[one].Island, b = world.Bodies[other].Island;
            if (world.Yields(a, b))
                world.Absorb(b, a, other, one);
            else
                world.Absorb(a, b, one, other);
        }
    }
}
