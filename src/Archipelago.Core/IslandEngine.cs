using System.Runtime.CompilerServices;
using Archipelago.Core.Internals;

namespace Archipelago.Core;

/// <summary>
/// Groups moving peers into islands by proximity.
/// </summary>
/// <remarks>
/// <para>
/// Any number of threads may call <see cref="Add"/>, <see cref="Move"/>, <see cref="Prefer"/>, <see cref="Remove"/> and
/// <see cref="AcquireSnapshot"/> at any time, also while a flush runs; none of them waits for another or for the flush. What they report takes
/// effect at the next flush, and for each peer the last report decides.
/// </para>
/// <para>
/// After every flush: each island is connected by steps of at most the leave distance; no two islands that have members within the join
/// distance and fit together under the cap stay apart; no merge has exceeded the cap. Ties are broken by the order in which peers were added and
/// islands created. A world in which nobody moves does not change.
/// </para>
/// </remarks>
public sealed partial class IslandEngine : IDisposable
{
    /// <summary>When one in so many has reported, going through all is quicker than following flags.</summary>
    private const int SweepFrom = 8;

    /// <summary>When at least this many arrive in one flush, and they are most, memory is given back afterwards.</summary>
    private const int ManyArrivals = 1024;

    /// <summary>So many flushes in a row with few reports, and tie circles are drawn.</summary>
    private const int CalmBeforeTies = 4;

    private readonly PeerTable peers = new();
    private readonly World world = new();
    private readonly NeighbourIndex neighbours = new();
    private readonly SplitPass splits;
    private readonly Gathering gathering;
    private readonly MergePass merges;
    private readonly SnapshotPool snapshots = new();
    private readonly Pool<int> newcomers = new();
    private readonly Pool<ulong> newcomerKeys = new();
    private readonly RadixSort sorting = new();
    private readonly BodyOrder order;
    private readonly Pool<int> removed = new();
    private readonly Pool<int> byAge = new();
    private readonly Pool<long> ages = new();
    private readonly Pool<IslandChange> changes = new();
    private IslandOptions options;
    private IslandOptions? flushedWith;
    private bool doubtEverything;
    private bool manyArrived;

    /// <summary>True while a flush runs, and for ever when one has thrown, as it does when memory runs out.</summary>
    private bool broken;
    private long flushes;
    private long moved;
    private int calm;
    private int flushing;
    private bool disposed;

    /// <summary>Makes an empty world under these rules.</summary>
    /// <exception cref="ArgumentException">A rule is out of range.</exception>
    public IslandEngine(IslandOptions? options = null)
    {
        this.options = options ?? new IslandOptions();
        this.options.Validate();
        order = new BodyOrder(sorting);
        splits = new SplitPass(peers, neighbours);
        gathering = new Gathering(peers, sorting);
        merges = new MergePass(peers, neighbours, gathering, sorting);
    }

    /// <summary>The rules. A new record holds from the next flush on; any thread may set it.</summary>
    /// <exception cref="ArgumentException">A rule is out of range; the old record stays.</exception>
    public IslandOptions Options
    {
        get => Volatile.Read(ref options);
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            value.Validate();
            Volatile.Write(ref options, value);
        }
    }

    internal PeerTable Table => peers;

    /// <summary>One more than the largest <see cref="PeerHandle.Slot"/> handed out so far.</summary>
    public int SlotCount => peers.SlotCount;

    /// <summary>Peers as of the last flush.</summary>
    public int PeerCount => Volatile.Read(ref world.PeerCount);

    /// <summary>Adds a peer; it gets an island at the next flush. Lock-free; allocates only when the table grows.</summary>
    /// <param name="position">Where it is; must be finite.</param>
    /// <param name="preferred">The island it would like to be in, if that one is near and has room.</param>
    /// <exception cref="ArgumentException">The position is not finite.</exception>
    public PeerHandle Add(in Position position, IslandId preferred = default)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (!position.IsFinite)
            throw new ArgumentException($"{position} is not finite; a peer needs a place in the world.", nameof(position));
        return peers.Add(position, preferred.Value);
    }

    /// <summary>Reports where a peer is now. Wait-free and without allocation; x and z become visible together, y with this report or the next.</summary>
    /// <returns>False, and nothing is stored, when the position is not finite or the handle names no present peer.</returns>
    public bool Move(PeerHandle peer, in Position position) =>
        position.IsFinite && peers.Move(peer, position.X, position.Y, position.Z);

    /// <summary>Sets, changes or (with <see cref="IslandId.None"/>) clears the island a peer would like to be in. Wait-free.</summary>
    /// <returns>False when the handle names no present peer.</returns>
    public bool Prefer(PeerHandle peer, IslandId island) => peers.Prefer(peer, island.Value);

    /// <summary>True while the handle names a present peer. Any thread.</summary>
    public bool Contains(PeerHandle peer) => peers.Contains(peer);

    /// <summary>Removes a peer and forgets what was announced to it; its handle is refused from now on. Lock-free; exactly one of several callers gets true.</summary>
    /// <returns>False when the handle names no present peer.</returns>
    public bool Remove(PeerHandle peer) => peers.Remove(peer);

    /// <summary>
    /// Turns everything reported so far into islands. One thread at a time. In the steady state nothing is allocated, and the cost follows what
    /// happened, not how many are there: who stayed within the circle in which nothing can have changed is only looked at.
    /// </summary>
    /// <returns>The changes, one a peer; valid until the next flush begins.</returns>
    /// <exception cref="InvalidOperationException">Another flush is running.</exception>
    public FlushResult Flush() => Exclusively(newcomersOnly: false);

    /// <summary>
    /// Gives those who were added since the last flush of either kind an island, and moves nobody else: a newcomer joins an island that it touches and
    /// fits, or gets one of its own. Everything else that was reported waits for <see cref="Flush"/>. Cheap enough to be called every few
    /// milliseconds. One thread at a time.
    /// </summary>
    /// <returns>The changes, all of newcomers; valid until the next flush begins.</returns>
    /// <exception cref="InvalidOperationException">Another flush is running.</exception>
    public FlushResult FlushNewcomers() => Exclusively(newcomersOnly: true);

    /// <summary>
    /// Makes the outcome of the last flush readable by <see cref="AcquireSnapshot"/>. Called by the flushing thread, after a flush, when somebody is
    /// to read it; costs a pass over all peers.
    /// </summary>
    /// <exception cref="InvalidOperationException">A flush is running.</exception>
    public void PublishSnapshot()
    {
        Enter();
        try
        {
            FillSnapshot();
        }
        finally
        {
            Volatile.Write(ref flushing, 0);
        }
    }

    /// <summary>True when somebody was added since the last flush of either kind. Any thread; a cheap way to see whether <see cref="FlushNewcomers"/> has anything to do.</summary>
    public bool HasNewcomers => peers.HasPending;

    /// <summary>
    /// The island of this peer as of the last flush, with its members. For the flushing thread, between flushes: it reads the engine's own tables, and so
    /// costs nothing but what is read.
    /// </summary>
    /// <param name="peer">A handle, such as one of a change that the last flush has told.</param>
    /// <returns>The members; none when the handle names no peer that has been placed.</returns>
    /// <exception cref="InvalidOperationException">A flush is running.</exception>
    public IslandMembers MembersOf(PeerHandle peer)
    {
        if (Volatile.Read(ref flushing) != 0)
            throw new InvalidOperationException("A flush is running. Read members on the flushing thread, between flushes.");
        int body = world.Map.BodyOf(peer.Slot);
        return body < 0 || world.Bodies[body].Island < 0 || peers.Generation(peer.Slot) != peer.Generation
            ? default
            : new IslandMembers(world, peers, world.Bodies[body].Island);
    }

    /// <summary>
    /// Leases the picture that was published last; dispose it when done. Lock-free. Three are kept; while readers hold all of them the next publication allocates one more.
    /// </summary>
    public IslandSnapshot AcquireSnapshot() => snapshots.Acquire();

    /// <summary>Ends the engine's use; later calls of <see cref="Add"/> and <see cref="Flush"/> throw. Leased snapshots stay readable.</summary>
    public void Dispose() => disposed = true;

    private void Enter()
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (Interlocked.Exchange(ref flushing, 1) != 0)
            throw new InvalidOperationException("A flush is running already. Flush from one thread at a time.");
        if (!broken)
            return;
        Volatile.Write(ref flushing, 0);
        throw new InvalidOperationException("An earlier flush failed half way, and what it left is not whole. Restore the engine from a save.");
    }

    private FlushResult Exclusively(bool newcomersOnly)
    {
        Enter();
        try
        {
            // Newcomers are placed under the rules that those whom they meet were placed under.
            return FlushCore(newcomersOnly ? flushedWith ?? Options : Options, newcomersOnly);
        }
        finally
        {
            Volatile.Write(ref flushing, 0);
        }
    }

    private FlushResult FlushCore(IslandOptions rules, bool newcomersOnly)
    {
        flushes++;
        broken = true;
        bool release = manyArrived && !newcomersOnly;
        if (release)
            ReleaseArrivals();
        // Removals are taken first: whoever is on this list was put on the list of newcomers before, so both are seen here.
        TakeRemoved();
        TakeNewcomers();
        world.EnsureCapacity(world.Map.Count + newcomers.Count);
        neighbours.Prepare(world, rules);
        EmbodyNewcomers();
        TakeMoves(newcomersOnly);
        ForgetRemoved(rules);
        if (!newcomersOnly)
        {
            bool doubted = doubtEverything || flushedWith != rules;
            if (doubted)
                DoubtEverything();
            if (!world.TiesDrawn)
                SplitPass.Sweep(world, rules.LeaveDistance);
            ByAge(world.Touched.Span);
            splits.Run(world, rules, flushes, mayFitAnew: doubted || world.PeerCount + world.Departed > rules.MaxIslandSize);
        }
        flushedWith = rules;
        manyArrived |= newcomers.Count >= ManyArrivals && newcomers.Count >= world.PeerCount;
        PlaceNewcomers(newcomersOnly);
        gathering.Run(world, rules, newcomers.Span);
        ActivateNewcomers();
        merges.Run(world, rules, newcomers.Span, newcomersOnly);
        world.NumberNewIslands();
        if (newcomersOnly)
            NoLongerFresh();
        else
            Settle(rules);

        Announce();
        if (release)
            ReleaseScratch();
        broken = false;
        return new FlushResult(changes.Span, flushes, world.PeerCount, world.IslandCount);
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
        order.ReleaseScratch(world);
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
            if (calm == 0)
                world.TiesDrawn = false;
            moved = 0;
        }
        if ((long)count * SweepFrom < world.Map.Count)
        {
            var consumer = new MoveConsumer(this);
            peers.TakeMoved(ref consumer);
            return;
        }
        peers.ClearMoved();
        ReadOnlySpan<int> slots = world.Map.Slots;
        for (int body = 0; body < slots.Length; body++)
        {
            if (body + Prefetch.Distance < slots.Length && slots[body + Prefetch.Distance] >= 0)
                peers.ExpectGround(slots[body + Prefetch.Distance]);
            if (slots[body] >= 0)
                Take(body, peers.Ground(slots[body]));
        }
    }

    private readonly struct MoveConsumer(IslandEngine engine) : IMoveConsumer
    {
        public void Take(int slot, Point to)
        {
            // Without a body: one that was added since the flush began.
            int body = engine.world.Map.BodyOf(slot);
            if (body >= 0)
                engine.Take(body, to);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Take(int body, Point to)
    {
        ref Body mover = ref world.Bodies[body];
        if (to == mover.At)
            return;
        mover.At = to;
        // A newcomer is in no island yet.
        if (mover.Island < 0)
            return;
        if (world.TiesDrawn && !mover.Tie.Holds(to))
            world.Touch(mover.Island, Pending.Measure);
        neighbours.Moved(world, body, to);
    }

    private void ForgetRemoved(IslandOptions rules)
    {
        foreach (int slot in removed.Span)
        {
            int body = world.Map.BodyOf(slot);
            if (body >= 0)
                Forget(body, rules);
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
        foreach (ref int newcomer in newcomers.Span)
            newcomer = world.Embody(newcomer, peers.Ground(newcomer));
        order.Keep(world, neighbours, newcomers.Span);
    }

    /// <summary>Gives newcomers an island each.</summary>
    private void PlaceNewcomers(bool fresh)
    {
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
            world.TiesDrawn = true;
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
            island.Pending = Pending.None;
        }
        world.Touched.Clear();
        world.Departed = 0;
        doubtEverything = false;
    }

    private void Announce()
    {
        changes.Clear();
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
                snapshot.Add(new PeerHandle(slot, peers.Generation(slot)), new Position(member.At.X, peers.Height(slot), member.At.Z));
                body = member.Next;
            }
            while (body != first);
            snapshot.EndIsland(new IslandId(world.Islands[index].Id));
        }
        snapshots.Publish(snapshot);
    }
}
