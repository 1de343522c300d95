using Archipelago.Core.Internals;

namespace Archipelago.Core;

/// <content>A flush, step by step.</content>
public sealed partial class IslandEngine
{
    /// <summary>When one in so many has reported, going through all is quicker than following flags.</summary>
    private const int SweepFrom = 8;

    /// <summary>When at least this many arrive in one flush, and they are most, memory is given back afterwards.</summary>
    private const int ManyArrivals = 1024;

    /// <summary>So many flushes in a row with few reports, and tie circles are drawn.</summary>
    private const int CalmBeforeTies = 4;

    private FlushResult FlushCore(IslandOptions rules, bool newcomersOnly)
    {
        flushes++;
        broken = true;
        crew.Size = Math.Min(FlushThreads, Environment.ProcessorCount);
        bool release = manyArrived && !newcomersOnly;
        if (release)
            ReleaseArrivals();
        // Removals are taken first: whoever is on this list was put on the list of newcomers before, so both are seen here.
        TakeRemoved();
        TakeNewcomers();
        world.EnsureCapacity(world.Map.Count + newcomers.Count);
        neighbours.Prepare(world, rules);
        ListLarge(rules);
        if (!newcomersOnly)
            crowds.State.Turn++;
        world.Turn = (int)crowds.State.Turn;
        EmbodyNewcomers();
        TakeMoves(newcomersOnly);
        ForgetRemoved(rules);
        if (!newcomersOnly)
        {
            bool doubted = doubtEverything || !GroupAlike(flushedWith, rules);
            if (doubted)
                DoubtEverything();
            if (!world.TiesDrawn)
                edges.Run(neighbours, rules);
            ByAge(world.Touched.Span);
            splits.Run(world, rules, flushes, mayFitAnew: doubted || world.PeerCount + world.Departed > rules.MaxIslandSize);
        }
        flushedWith = rules;
        manyArrived |= newcomers.Count >= ManyArrivals && newcomers.Count >= world.PeerCount;
        PlaceNewcomers(newcomersOnly);
        gathering.Run(world, rules, newcomers.Span);
        ActivateNewcomers();
        merges.Run(world, rules, newcomers.Span, newcomersOnly);
        crowds.Clear();
        sortedCrowds = !newcomersOnly && rules.Crowds == CrowdPolicy.Coherent;
        if (sortedCrowds)
            SortCrowds(rules);
        world.NumberNewIslands();
        if (newcomersOnly)
            NoLongerFresh();
        else
            Settle(rules);

        Announce();
        if (release)
            ReleaseScratch();
        SelfCheck.Run(world, neighbours, rules, newcomersOnly, doubtEverything);
        broken = false;
        return new FlushResult(changes.Span, flushes, world.PeerCount, world.IslandCount, crowds.Summary);
    }

    /// <summary>An arrival of most of the world at once is not the steady state: what it needed is given back, the lists at the beginning of the next flush.</summary>
    private void ReleaseArrivals()
    {
        manyArrived = false;
        newcomers.Release();
        newcomerKeys.Release();
        changes.Release();
    }

    /// <summary>And the tables at its end, when nothing is pending.</summary>
    private void ReleaseScratch()
    {
        byAge.Release();
        ages.Release();
        gathering.ReleaseScratch();
        merges.ReleaseScratch();
        crowds.ReleaseScratch();
        order.ReleaseScratch(world);
        places.ReleaseScratch();
        edges.ReleaseScratch();
    }

    private void TakeRemoved()
    {
        removed.Clear();
        for (int slot = peers.TakeRemoved(); slot >= 0; slot = peers.NextRemoved(slot))
            removed.Add(slot);
    }

    /// <summary>Lists the slots of those who were added, in the order of adding.</summary>
    private void TakeNewcomers()
    {
        newcomers.Clear();
        newcomerKeys.Clear();
        int highest = -1;
        for (int slot = peers.TakePending(); slot >= 0; slot = peers.NextPending(slot))
        {
            if (!peers.IsAlive(slot))
                continue;
            highest = Math.Max(highest, slot);
            newcomers.Add(slot);
            newcomerKeys.Add((ulong)peers.AddOrder(slot));
        }
        world.Map.EnsureSlots(highest + 1);
        sorting.Sort(newcomerKeys.Span, newcomers.Span);
    }

    /// <summary>
    /// Reads where everybody is now. When many have reported, bodies are gone through in their own order, which is that of memory and of space, and
    /// places are gathered; when few have, the flags lead to them.
    /// </summary>
    private void TakeMoves(bool newcomersOnly)
    {
        int count = peers.CountMoved();
        moved += count;
        if (!newcomersOnly)
        {
            calm = moved * SweepFrom < world.Map.Count ? calm + 1 : 0;
            if (calm == 0 && world.TiesDrawn)
                world.DrawTies(false);
            moved = 0;
        }
        if ((long)count * SweepFrom < world.Map.Count)
        {
            var consumer = new MoveConsumer(this);
            peers.TakeMoved(ref consumer);
            return;
        }
        places.Run();
    }

    private readonly struct MoveConsumer(IslandEngine engine) : IMoveConsumer
    {
        public void Expect(int slot) => engine.world.Map.Expect(slot);

        public void Prepare(int slot)
        {
            int body = engine.world.Map.BodyOf(slot);
            engine.world.Expect(body);
            engine.neighbours.Expect(body);
        }

        public void Take(int slot, Point to)
        {
            // Without a body: one that was added since the flush began.
            int body = engine.world.Map.BodyOf(slot);
            if (body < 0)
                return;
            engine.world.At(body) = to;
            engine.places.Leave(body);
        }
    }

    private void ForgetRemoved(IslandOptions rules)
    {
        foreach (int slot in removed.Span)
        {
            int body = world.Map.BodyOf(slot);
            if (body >= 0)
                Forget(body, rules);
            crowds.Forget(slot);
            peers.Retire(slot);
        }
        peers.RecycleRetired();
    }

    private void Forget(int body, IslandOptions rules)
    {
        int island = world.Bodies[body].Island;
        world.Detach(body);
        world.Disembody(body);
        neighbours.Forget(body);
        world.PeerCount--;
        world.Departed++;
        if (world.Islands[island].Count > 0)
            world.Touch(island, Pending.Rebuild);
        int left = world.Islands[island].Count;
        if (left == rules.MaxIslandSize - 1 || left == rules.MaxIslandSize / 2)
            neighbours.Expose(world, island);
    }

    /// <summary>True when edges and circles that were drawn under the one hold under the other.</summary>
    private static bool GroupAlike(IslandOptions? one, IslandOptions other) =>
        one is not null && one.JoinDistance == other.JoinDistance && one.LeaveDistance == other.LeaveDistance && one.MaxIslandSize == other.MaxIslandSize;

    /// <summary>Sees to it that islands that may be part of a crowd are listed, where it matters.</summary>
    private void ListLarge(IslandOptions rules)
    {
        int from = rules.Crowds == CrowdPolicy.Coherent ? Math.Max(2, (rules.MaxIslandSize / 2) + 1) : int.MaxValue;
        if (world.LargeFrom == from)
            return;
        world.LargeFrom = from;
        for (int index = 0; index < world.IslandTop; index++)
            world.NoteSize(index);
    }

    private void SortCrowds(IslandOptions rules)
    {
        // Where most have only just come, putting them in order can wait for the next flush, and this one be over.
        crowds.Run(world, rules, repairs: newcomers.Count * 2 < world.PeerCount);
        if (neighbours.HasActive)
            merges.Run(world, rules, default, newcomersOnly: false);
    }

    /// <summary>Under other rules every edge and every circle has to be drawn anew.</summary>
    private void DoubtEverything()
    {
        for (int index = 0; index < world.IslandTop; index++)
            if (world.Islands[index].Count > 0)
                world.Touch(index, Pending.Rebuild);
    }

    /// <summary>Departures come in the order of the threads that told them; the outcome must not.</summary>
    private void ByAge(Span<int> islands)
    {
        Span<long> keys = ages.Resize(islands.Length);
        for (int i = 0; i < islands.Length; i++)
            keys[i] = world.Islands[islands[i]].Order;
        keys.Sort(islands);
    }

    private Span<int> IslandsByAge()
    {
        Span<int> order = byAge.Resize(world.IslandCount);
        int n = 0;
        for (int index = 0; index < world.IslandTop; index++)
            if (world.Islands[index].Count > 0)
                order[n++] = index;
        ByAge(order);
        return order;
    }

    /// <summary>Gives newcomers bodies; from here on they are listed by these.</summary>
    private void EmbodyNewcomers()
    {
        order.Embody(world, peers, newcomers.Span);
        order.Keep(world, neighbours, newcomers.Span);
    }

    /// <summary>Gives newcomers an island each.</summary>
    private void PlaceNewcomers(bool fresh)
    {
        world.ReserveIslands(newcomers.Count);
        foreach (int newcomer in newcomers.Span)
        {
            int island = world.CreateIsland(newcomer);
            if (fresh)
                world.Islands[island].Pending |= Pending.Fresh;
        }
        world.PeerCount += newcomers.Count;
    }

    private void ActivateNewcomers()
    {
        foreach (int body in newcomers.Span)
            neighbours.Activate(body);
    }

    private void NoLongerFresh()
    {
        foreach (int body in newcomers.Span)
            world.Islands[world.Bodies[body].Island].Pending &= ~Pending.Fresh;
    }

    /// <summary>Measures the trees that merges have changed, where ties are in use, and clears what was pending.</summary>
    private void Settle(IslandOptions rules)
    {
        if (!world.TiesDrawn && calm >= CalmBeforeTies)
        {
            // Circles have to stand in for what was measured so far.
            neighbours.ActivateWatchers(world);
            world.DrawTies(true);
            for (int index = 0; index < world.IslandTop; index++)
                if (world.Islands[index].Count > 0)
                    world.Touch(index, Pending.Measure);
        }
        foreach (int index in world.Touched.Span)
        {
            ref Island island = ref world.Islands[index];
            if (world.TiesDrawn && island.Count > 0 && (island.Pending & Pending.Measure) != 0)
            {
                bool whole = SplitPass.Prove(world, index, rules.LeaveDistance);
                System.Diagnostics.Debug.Assert(whole, "a merge lays an edge within the join distance, and all others were measured before");
            }
            island.Pending &= Pending.Large;
        }
        world.Touched.Clear();
        world.Departed = 0;
        doubtEverything = false;
    }

    private void Announce()
    {
        changes.Clear();
        changes.Reserve(newcomers.Count);
        foreach (int body in world.Reassigned.Span)
        {
            int index = world.Bodies[body].Island;
            if (index < 0)
                continue;
            long from = world.Announced[body], to = world.Islands[index].Id;
            if (from == to)
                continue;
            world.Announced[body] = to;
            IslandChangeCause cause = from == 0 ? IslandChangeCause.Newcomer
                : crowds.WasMoved(body) ? IslandChangeCause.Crowd
                : world.Islands[index].SplitAt == flushes ? IslandChangeCause.Split
                : IslandChangeCause.Merge;
            int slot = world.Map.SlotOf(body);
            changes.Add(new IslandChange(new PeerHandle(slot, peers.Generation(slot)), new IslandId(from), new IslandId(to), cause));
        }
        world.Reassigned.Clear();
    }

    private void FillSnapshot()
    {
        IslandSnapshot snapshot = snapshots.TakeFree();
        snapshot.Begin(flushes, peers.SlotCount, world.PeerCount, world.IslandCount);
        foreach (int index in IslandsByAge())
        {
            int first = world.Islands[index].First, body = first;
            do
            {
                ref readonly Body member = ref world.Bodies[body];
                int slot = world.Map.SlotOf(body);
                snapshot.Add(new PeerHandle(slot, peers.Generation(slot)), new Position(world.At(body).X, peers.Height(slot), world.At(body).Z));
                body = member.Next;
            }
            while (body != first);
            snapshot.EndIsland(new IslandId(world.Islands[index].Id));
        }
        snapshots.Publish(snapshot);
    }
}
