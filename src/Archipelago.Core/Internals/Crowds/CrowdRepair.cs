namespace Archipelago.Core.Internals.Crowds;

/// <summary>
/// Moves members of a crowd to the island in which their neighbours are, one by one or two against each other, while what holds for islands holds on.
/// </summary>
/// <remarks>
/// <para>
/// What a person gains by going from island a to b is what binds it to b (and <see cref="PreferenceWorth"/> where it wishes to be there), less what binds it to a, less <see cref="PerMember"/> times how much larger b would then be. A move must gain at
/// least what the governor asks for (<see cref="CrowdState.Gain"/>). So while nobody moves on the ground, every move raises Φ = Σ of the bonds within islands − PerMember/2 · Σ of squared
/// sizes by at least <see cref="CrowdState.LeastGain"/>, and Φ is bounded: it comes to rest.
/// </para>
/// <para>
/// Guards: what is left of an island stays connected; whoever comes has somebody of the new island within the join distance; no island outgrows the cap; and no two islands come to
/// fit that touch, so that a move does not lead to a merge.
/// </para>
/// </remarks>
internal sealed class CrowdRepair(PeerTable peers, NeighbourIndex neighbours)
{
    /// <summary>What it costs for each member that the new island would have more than the old.</summary>
    /// <param name="rules">The rules: what binds a person to its neighbours does not grow with the cap, so in large islands a member weighs less, lest sizes weigh more than neighbours.</param>
    public static double PerMember(IslandOptions rules) => Math.Min(0.15, 1500.0 / rules.MaxIslandSize / rules.MaxIslandSize);

    /// <summary>What it is worth to be where one wishes to be. Less than what any move must gain.</summary>
    private const double PreferenceWorth = 2;

    /// <summary>Of the members of all crowds so many may be moved in a flush, at most, but always <see cref="LeastBudget"/>.</summary>
    private const double Budget = 0.04;

    /// <summary>Flushes in which everybody is looked at once.</summary>
    private const int Turns = 4;

    /// <summary>Where more people than this stand around somebody, weighing takes long, and is done the less often.</summary>
    private const int Dense = 256;

    /// <summary>What each of two who change places loses at most of what it would gain alone, where they are neighbours.</summary>
    private const int OwnBond = 2;

    private const int LeastBudget = 2, MostWishes = 8, WishesLast = 16;

    private readonly Pool<int> sizes = new();
    private readonly Pool<int> firstBySize = new();
    private readonly Pool<int> nextBySize = new();
    private readonly Pool<int> previousBySize = new();
    private readonly Pool<int> firstWish = new();
    private readonly Pool<int> nextWish = new();
    private readonly Pool<int> moved = new();
    private ulong[] wasMoved = [];
    private World world = null!;
    private CrowdGrid grid = null!;
    private CrowdState state = null!;
    private IslandOptions rules = null!;
    private int[] islands = [];
    private int islandCount;
    private int smallest;

    /// <summary>Members that were looked at in this flush.</summary>
    public int Looks { get; private set; }

    /// <summary>Bodies that were moved in this flush, once each move.</summary>
    public ReadOnlySpan<int> Moved => moved.Span;

    /// <summary>True when this body was moved by <see cref="Run"/> in this flush.</summary>
    public bool WasMoved(int body) => (body >> 6) < wasMoved.Length && (wasMoved[body >> 6] & (1UL << body)) != 0;

    /// <summary>Forgets who was moved.</summary>
    public void Clear()
    {
        foreach (int body in moved.Span)
            wasMoved[body >> 6] &= ~(1UL << body);
        moved.Clear();
        Looks = 0;
    }

    /// <summary>Makes room to note who is moved.</summary>
    public void Prepare(World world)
    {
        if (wasMoved.Length << 6 < world.Capacity)
            Array.Resize(ref wasMoved, (world.Capacity + 63) >> 6);
    }

    /// <summary>These were moved otherwise.</summary>
    public void Note(ReadOnlySpan<int> bodies)
    {
        foreach (int body in bodies)
            Note(body);
    }

    private void Note(int body)
    {
        moved.Add(body);
        wasMoved[body >> 6] |= 1UL << body;
    }

    /// <summary>Looks at a fourth of the crowd's members, and at those who are uneasy, and moves those who gain by it.</summary>
    public void Run(World world, CrowdGrid grid, CrowdFinder crowd, CrowdState state, IslandOptions rules)
    {
        (this.world, this.grid, this.state, this.rules) = (world, grid, state, rules);
        islandCount = crowd.Islands.Length;
        if (islands.Length < islandCount)
            islands = new int[Growth.From(islands.Length, islandCount)];
        crowd.Islands.CopyTo(islands);
        if (state.Uneasy.Length < peers.SlotCount)
            Array.Resize(ref state.Uneasy, Growth.From(state.Uneasy.Length, peers.SlotCount));
        Span<int> size = sizes.Resize(islandCount);
        smallest = int.MaxValue;
        for (int local = 0; local < islandCount; local++)
        {
            size[local] = Size(local);
            smallest = Math.Min(smallest, size[local]);
        }
        ListBySize();
        TakeWishes();
        int members = grid.Count, budget = moved.Count + Math.Max(LeastBudget, (int)(Budget * members));
        // Begins elsewhere each time, so that nobody is always served last.
        int at = (int)(((ulong)state.Turn * 0x9E3779B97F4A7C15 >> 33) % (ulong)members);
        for (int i = 0; i < members && moved.Count < budget; i++)
        {
            if (IsDue(at))
                Consider(at);
            at = at + 1 == members ? 0 : at + 1;
        }
        TellIndex();
    }

    private bool IsDue(int member)
    {
        long turn = grid.NumberOf(member) + state.Turn;
        int every = 1 + (grid.CrowdAround(member) / Dense);
        return turn % (Turns * every) == 0 || (state.Uneasy[SlotOf(member)] && turn % every == 0);
    }

    private int SlotOf(int member) => world.Map.SlotOf(grid.BodyOf(member));

    private void Consider(int member)
    {
        if (WasMoved(grid.BodyOf(member)))
            return;
        int from = grid.IslandOf(member), to = -1;
        grid.Weigh(member);
        Looks++;
        double stays = Worth(member, from), best = 0;
        bool uneasy = false;
        foreach (int local in grid.Met)
        {
            if (local == from || Size(local) > rules.MaxIslandSize)
                continue;
            double gain = Worth(member, local) - stays;
            bool full = Size(local) == rules.MaxIslandSize;
            if (!full)
                gain -= PerMember(rules) * (Size(local) - Size(from) + 1);
            uneasy |= gain - (full ? OwnBond : 0) >= state.Gain / 2;
            if (gain >= state.Gain && (to < 0 || gain > best || (gain == best && local < to)))
                (best, to) = (gain, local);
        }
        state.Uneasy[SlotOf(member)] = uneasy;
        if (to < 0)
            return;
        if (Size(to) < rules.MaxIslandSize)
            TryMove(member, to);
        else if (!TrySwap(member, to, best))
            Wish(member, to);
    }

    private int Size(int local) => world.Islands[islands[local]].Count;

    private double Worth(int member, int local)
    {
        int weight = grid.WeightOf(local);
        if (!peers.HasPreferences)
            return weight;
        long wanted = peers.Preference(SlotOf(member));
        return wanted != 0 && wanted == world.Islands[islands[local]].Id ? weight + PreferenceWorth : weight;
    }

    private void TryMove(int member, int to)
    {
        int from = grid.IslandOf(member);
        if (Size(from) < 2 || WouldMakeFit(member, from, to))
            return;
        int onto = grid.NearestOf(member, to, -1, rules.JoinDistance);
        if (onto < 0 || !TryFree(member))
            return;
        Move(member, to, grid.BodyOf(onto));
        smallest = Math.Min(smallest, Size(from));
    }

    /// <summary>Takes a member out of its island's tree, if that holds together without it. Whether or not, the tree has changed.</summary>
    private bool TryFree(int member)
    {
        world.Touch(islands[grid.IslandOf(member)], Pending.Measure);
        return CrowdTrees.TryFree(world, grid.BodyOf(member), rules.LeaveDistance);
    }

    /// <summary>
    /// True when the islands that the one touches may fit with it once it has a member less, or those around the member with the other once that has one more. Of the one it is known by
    /// its box alone whom it touches, so it may be true for nothing.
    /// </summary>
    private bool WouldMakeFit(int member, int from, int to)
    {
        int cap = rules.MaxIslandSize;
        if (AnyNear(member, cap - Size(to) - 1, from, to))
            return true;
        for (int local = Size(from) > cap ? -1 : firstBySize.Span[cap + 1 - Size(from)]; local >= 0; local = nextBySize.Span[local])
            if (local != from && local != to && grid.Boxes[local].IsNear(grid.Boxes[from], rules.JoinDistance))
                return true;
        return false;
    }

    /// <summary>True when somebody of an island of at most so many members, other than these two, is near a member.</summary>
    private bool AnyNear(int member, int atMost, int from, int to) =>
        smallest <= atMost && grid.AnyNear(world, islands, member, rules.JoinDistance, atMost, from, to);

    /// <summary>Lists the islands by their size; those above the cap are in no list.</summary>
    private void ListBySize()
    {
        firstBySize.Resize(rules.MaxIslandSize + 1).Fill(-1);
        nextBySize.Resize(islandCount);
        previousBySize.Resize(islandCount);
        for (int local = 0; local < islandCount; local++)
            Enlist(local);
    }

    private void Enlist(int local)
    {
        int size = Size(local);
        if (size > rules.MaxIslandSize)
            return;
        int head = firstBySize.Span[size];
        (nextBySize.Span[local], previousBySize.Span[local]) = (head, -1);
        if (head >= 0)
            previousBySize.Span[head] = local;
        firstBySize.Span[size] = local;
    }

    /// <summary>Takes an island out of the list of its present size.</summary>
    private void Delist(int local)
    {
        if (Size(local) > rules.MaxIslandSize)
            return;
        int next = nextBySize.Span[local], previous = previousBySize.Span[local];
        if (previous >= 0)
            nextBySize.Span[previous] = next;
        else
            firstBySize.Span[Size(local)] = next;
        if (next >= 0)
            previousBySize.Span[next] = previous;
    }

    /// <summary>Changes places with somebody who wants the other way.</summary>
    private bool TrySwap(int member, int to, double gain)
    {
        int from = grid.IslandOf(member);
        // An island that gives its only member away is gone before it gets another, and one above a lowered cap gets nobody.
        if (Size(from) < 2 || Size(from) > rules.MaxIslandSize)
            return false;
        for (int wish = firstWish.Span[to]; wish >= 0; wish = nextWish.Span[wish])
        {
            ref Wish other = ref state.Wishes.Span[wish];
            if (other.To != world.Islands[islands[from]].Id || other.Until < state.Turn)
                continue;
            int body = world.Map.BodyOf(other.Peer.Slot), partner = grid.Find(body);
            if (partner < 0 || grid.IslandOf(partner) != to || WasMoved(body))
                continue;
            grid.Weigh(partner);
            double back = Worth(partner, from) - Worth(partner, to);
            if (back < state.Gain || gain + back - (2 * grid.BondOf(member, partner)) < 2 * state.Gain || !TryExchange(member, partner))
                continue;
            other = other with { Until = -1 };
            return true;
        }
        return false;
    }

    private bool TryExchange(int one, int other)
    {
        int from = grid.IslandOf(one), to = grid.IslandOf(other);
        int ontoTo = grid.NearestOf(one, to, other, rules.JoinDistance), ontoFrom = grid.NearestOf(other, from, one, rules.JoinDistance);
        // Sizes stay, so only those whom the one who comes is near may come to fit.
        if (ontoTo < 0 || ontoFrom < 0 || AnyNear(one, rules.MaxIslandSize - Size(to), from, to)
            || AnyNear(other, rules.MaxIslandSize - Size(from), from, to) || !TryFree(one) || !TryFree(other))
            return false;
        Move(one, to, grid.BodyOf(ontoTo));
        Move(other, from, grid.BodyOf(ontoFrom));
        return true;
    }

    private void Move(int member, int to, int onto)
    {
        int body = grid.BodyOf(member), from = grid.IslandOf(member);
        Delist(from);
        Delist(to);
        world.Detach(body);
        world.Append(islands[to], body);
        Enlist(from);
        Enlist(to);
        world.Bonds[body].Parent = onto;
        world.Touch(islands[to], Pending.Measure);
        grid.Reassign(member, to);
        Note(body);
    }

    /// <summary>Lists the wishes that still stand by the island that whoever has them is in.</summary>
    private void TakeWishes()
    {
        firstWish.Resize(islandCount).Fill(-1);
        int kept = 0;
        Span<Wish> all = state.Wishes.Span;
        foreach (ref readonly Wish wish in all)
        {
            int body = wish.Until < state.Turn ? -1 : world.Map.BodyOf(wish.Peer.Slot);
            if (body < 0 || peers.Generation(wish.Peer.Slot) != wish.Peer.Generation || world.Bodies[body].Island < 0 || world.Islands[world.Bodies[body].Island].Id != wish.From)
                continue;
            all[kept++] = wish;
        }
        state.Wishes.Resize(kept);
        nextWish.Resize(kept);
        for (int i = 0; i < kept; i++)
        {
            int body = world.Map.BodyOf(all[i].Peer.Slot), member = grid.Find(body);
            if (member >= 0)
                List(i, grid.IslandOf(member));
        }
    }

    private void List(int wish, int local)
    {
        nextWish.Span[wish] = firstWish.Span[local];
        firstWish.Span[local] = wish;
    }

    private void Wish(int member, int to)
    {
        int from = grid.IslandOf(member), slot = SlotOf(member), same = 0;
        long fromId = world.Islands[islands[from]].Id, toId = world.Islands[islands[to]].Id;
        // An island of this very flush has no number yet.
        if (fromId == 0 || toId == 0)
            return;
        var peer = new PeerHandle(slot, peers.Generation(slot));
        for (int wish = firstWish.Span[from]; wish >= 0; wish = nextWish.Span[wish])
        {
            ref Wish present = ref state.Wishes.Span[wish];
            if (present.Peer == peer)
            {
                present = new Wish(peer, fromId, toId, state.Turn + WishesLast);
                return;
            }
            same += present.To == toId && present.Until >= state.Turn ? 1 : 0;
        }
        if (same >= MostWishes)
            return;
        state.Wishes.Add(new Wish(peer, fromId, toId, state.Turn + WishesLast));
        nextWish.Add(-1);
        List(state.Wishes.Count - 1, from);
    }

    /// <summary>The index of those who look around learns who is where now.</summary>
    private void TellIndex()
    {
        if (moved.Count == 0)
            return;
        for (int local = 0; local < islandCount; local++)
            if (Size(local) < sizes.Span[local])
                neighbours.Shrunk(world, islands[local], sizes.Span[local], grid.Boxes[local]);
        foreach (int body in moved.Span)
            neighbours.Reassigned(world, body);
    }
}
