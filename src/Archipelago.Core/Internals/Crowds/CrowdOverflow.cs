namespace Archipelago.Core.Internals.Crowds;

/// <summary>
/// Makes room where a crowd grows: a small island whose people have found no room in the island around them is taken together with that one, and both are cut in half across the
/// longer way, as a k-d tree would. At most one cut a flush.
/// </summary>
internal sealed class CrowdOverflow(PeerTable peers, NeighbourIndex neighbours, RadixSort sorting)
{
    /// <summary>Of the cap: who is larger is no leftover.</summary>
    private const double LeftoverUpTo = 0.3;

    /// <summary>Of the cap: with only one island around, so many have to wait; cutting at once would cut again and again while people come and go at the cap.</summary>
    private const double EnoughForOne = 0.1;

    /// <summary>Flushes after which a leftover that nobody came to is left to the repair.</summary>
    private const int Recent = 30;

    private readonly TreeBuilder trees = new();
    private readonly Pool<int> bodies = new();
    private readonly Pool<ulong> keys = new();
    private readonly Pool<long> weights = new();
    private readonly Pool<int> met = new();
    private readonly Pool<int> along = new();
    private readonly Pool<int> moved = new();

    /// <summary>Bodies that the last cut has moved.</summary>
    public ReadOnlySpan<int> Moved => moved.Span;

    /// <summary>Cuts once, where there is a reason to. The grid is out of date then.</summary>
    public bool Run(World world, CrowdGrid grid, ReadOnlySpan<int> islands, IslandOptions rules)
    {
        moved.Clear();
        weights.Resize(islands.Length).Clear();
        met.Clear();
        for (int local = 0; local < islands.Length; local++)
        {
            ref readonly Island leftover = ref world.Islands[islands[local]];
            if (leftover.Count > LeftoverUpTo * rules.MaxIslandSize || leftover.FedAt < world.Turn - Recent)
                continue;
            int host = FindHost(world, grid, islands, local, out int hosts);
            if (host < 0 || (hosts == 1 && leftover.Count < EnoughForOne * rules.MaxIslandSize)
                || leftover.Count + world.Islands[islands[host]].Count <= rules.MaxIslandSize || world.Islands[islands[host]].Count > rules.MaxIslandSize)
                continue;
            if (TryCut(world, islands[host], islands[local], rules))
                return true;
        }
        return false;
    }

    /// <summary>The island that most binds the members of another, and more than they bind one another; on a draw the oldest. -1 when they are best off together.</summary>
    private int FindHost(World world, CrowdGrid grid, ReadOnlySpan<int> islands, int local, out int hosts)
    {
        Span<long> weight = weights.Span;
        foreach (int other in met.Span)
            weight[other] = 0;
        met.Clear();
        int first = world.Islands[islands[local]].First, body = first;
        do
        {
            grid.Weigh(grid.Find(body));
            foreach (int other in grid.Met)
            {
                if (weight[other] == 0)
                    met.Add(other);
                weight[other] += grid.WeightOf(other);
            }
            body = world.Bodies[body].Next;
        }
        while (body != first);
        int host = -1;
        hosts = 0;
        foreach (int other in met.Span)
        {
            if (other == local)
                continue;
            hosts++;
            if (host < 0 || weight[other] > weight[host] || (weight[other] == weight[host] && other < host))
                host = other;
        }
        return host >= 0 && weight[host] > weight[local] ? host : -1;
    }

    private bool TryCut(World world, int host, int leftover, IslandOptions rules)
    {
        bodies.Clear();
        world.AddMembers(host, bodies);
        int ofHost = bodies.Count;
        world.AddMembers(leftover, bodies);
        SortByAge(world);
        (double x, double z) = Axis(world);
        int before = world.Islands[host].Count, beforeLeftover = world.Islands[leftover].Count;
        if (!TryHalves(world, x, z, rules.LeaveDistance) && !TryHalves(world, -z, x, rules.LeaveDistance))
        {
            // As it was. Both were connected, so both are again.
            bodies.Clear();
            world.AddMembers(host, bodies);
            world.AddMembers(leftover, bodies);
            trees.Build(world, bodies.Span[..ofHost], rules.LeaveDistance);
            trees.Build(world, bodies.Span[ofHost..], rules.LeaveDistance);
            Touch(world, host, leftover);
            return false;
        }
        Divide(world, host, leftover);
        Touch(world, host, leftover);
        TellIndex(world, host, before);
        TellIndex(world, leftover, beforeLeftover);
        foreach (int body in moved.Span)
            neighbours.Reassigned(world, body);
        return true;
    }

    /// <summary>The direction in which these people are spread the farthest: the main axis of their covariance.</summary>
    private (double X, double Z) Axis(World world)
    {
        double meanX = 0, meanZ = 0, xx = 0, zz = 0, xz = 0;
        foreach (int body in bodies.Span)
        {
            meanX += world.At(body).X;
            meanZ += world.At(body).Z;
        }
        meanX /= bodies.Count;
        meanZ /= bodies.Count;
        foreach (int body in bodies.Span)
        {
            double dx = world.At(body).X - meanX, dz = world.At(body).Z - meanZ;
            xx += dx * dx;
            zz += dz * dz;
            xz += dx * dz;
        }
        double angle = 0.5 * Math.Atan2(2 * xz, xx - zz);
        return (Math.Cos(angle), Math.Sin(angle));
    }

    private void SortByAge(World world)
    {
        Span<ulong> key = keys.Resize(bodies.Count);
        for (int i = 0; i < key.Length; i++)
            key[i] = (ulong)peers.AddOrder(world.Map.SlotOf(bodies.Span[i]));
        sorting.Sort(key, bodies.Span);
    }

    /// <summary>Sorts along an axis and grows the trees of both halves; false when one of them is not connected. Who is equally far along stays in the order of adding.</summary>
    private bool TryHalves(World world, double x, double z, double leaveDistance)
    {
        Span<int> all = along.Resize(bodies.Count);
        bodies.Span.CopyTo(all);
        Span<ulong> key = keys.Resize(all.Length);
        for (int i = 0; i < all.Length; i++)
            key[i] = Ascending((world.At(all[i]).X * x) + (world.At(all[i]).Z * z));
        sorting.Sort(key, all);
        int half = all.Length / 2;
        return trees.Build(world, all[..half], leaveDistance) == 1 && trees.Build(world, all[half..], leaveDistance) == 1;
    }

    /// <summary>A number that is larger for a larger value, and the same for both zeros.</summary>
    private static ulong Ascending(double value)
    {
        long bits = BitConverter.DoubleToInt64Bits(value + 0.0);
        return (ulong)bits ^ (bits < 0 ? ulong.MaxValue : 1UL << 63);
    }

    /// <summary>The half with more of the host's people stays the host.</summary>
    private void Divide(World world, int host, int leftover)
    {
        ReadOnlySpan<int> all = along.Span;
        int half = all.Length / 2, inFirst = 0, inSecond = 0;
        for (int i = 0; i < all.Length; i++)
        {
            int of = world.Bodies[all[i]].Island == host ? 1 : 0;
            (inFirst, inSecond) = i < half ? (inFirst + of, inSecond) : (inFirst, inSecond + of);
        }
        ReadOnlySpan<int> stays = inFirst >= inSecond ? all[..half] : all[half..], goes = inFirst >= inSecond ? all[half..] : all[..half];
        // First those who come to the leftover, so that it is never empty.
        Take(world, goes, leftover);
        Take(world, stays, host);
    }

    private void Take(World world, ReadOnlySpan<int> people, int island)
    {
        foreach (int body in people)
        {
            if (world.Bodies[body].Island == island)
                continue;
            world.Detach(body);
            world.Append(island, body);
            moved.Add(body);
        }
    }

    private static void Touch(World world, int host, int leftover)
    {
        world.Touch(host, Pending.Measure);
        world.Touch(leftover, Pending.Measure);
    }

    private void TellIndex(World world, int island, int before)
    {
        if (world.Islands[island].Count >= before)
            return;
        neighbours.Shrunk(world, island, before, world.BoxOf(island));
    }
}
