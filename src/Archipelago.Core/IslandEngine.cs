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
public sealed class IslandEngine : IDisposable
{
    private readonly PeerTable peers = new();
    private readonly World world = new();
    private readonly SplitPass splits = new();
    private readonly MergePass merges;
    private readonly SnapshotPool snapshots = new();
    private readonly Pool<int> newcomers = new();
    private readonly Pool<int> removed = new();
    private readonly Pool<int> byAge = new();
    private readonly Pool<IslandChange> changes = new();
    private IslandOptions options;
    private IslandOptions? flushedWith;
    private long flushes;
    private long lastIdBefore;
    private int flushing;
    private bool disposed;

    /// <summary>Makes an empty world under these rules.</summary>
    /// <exception cref="ArgumentException">A rule is out of range.</exception>
    public IslandEngine(IslandOptions? options = null)
    {
        this.options = options ?? new IslandOptions();
        this.options.Validate();
        merges = new MergePass(peers);
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

    /// <summary>Removes a peer and forgets what was announced to it; its handle is refused from now on. Lock-free; exactly one of several callers gets true.</summary>
    /// <returns>False when the handle names no present peer.</returns>
    public bool Remove(PeerHandle peer) => peers.Remove(peer);

    /// <summary>
    /// Turns everything reported so far into islands. One thread at a time.
    /// </summary>
    /// <returns>The changes, one a peer, in the order of slots; valid until the next flush begins.</returns>
    /// <exception cref="InvalidOperationException">Another flush is running.</exception>
    public FlushResult Flush()
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (Interlocked.Exchange(ref flushing, 1) != 0)
            throw new InvalidOperationException("A flush is running already. Flush from one thread at a time.");
        try
        {
            return FlushCore(Options);
        }
        finally
        {
            Volatile.Write(ref flushing, 0);
        }
    }

    /// <summary>
    /// Leases the picture as of the last flush; dispose it when done. Lock-free. Three are kept; while readers hold all of them the next flush allocates one more.
    /// </summary>
    public IslandSnapshot AcquireSnapshot() => snapshots.Acquire();

    /// <summary>Ends the engine's use; later calls of <see cref="Add"/> and <see cref="Flush"/> throw. Leased snapshots stay readable.</summary>
    public void Dispose() => disposed = true;

    private FlushResult FlushCore(IslandOptions rules)
    {
        flushes++;
        lastIdBefore = world.LastId;
        int slots = peers.SlotCount;
        world.EnsureCapacity(slots);
        // Removals are taken first: a peer of this list that is pending too was added before.
        TakeRemoved();
        TakeNewcomers(slots);
        TakeMoves(slots);
        ForgetRemoved();
        if (flushedWith != rules)
            MarkEverythingDirty();

        ByAge(world.DirtyIslands.Span);
        splits.Run(world, rules.LeaveDistance);
        PlaceNewcomers();
        merges.Run(world, rules, newcomers.Span);
        world.NumberNewIslands();
        CleanDirty();
        flushedWith = rules;

        Announce(slots);
        PublishSnapshot(slots);
        return new FlushResult(changes.Span, flushes, world.PeerCount, world.IslandCount);
    }

    private void TakeRemoved()
    {
        removed.Clear();
        for (int slot = peers.TakeRemoved(); slot >= 0; slot = peers.NextRemoved(slot))
            removed.Add(slot);
    }

    private void TakeNewcomers(int slots)
    {
        newcomers.Clear();
        int next;
        for (int slot = peers.TakePending(); slot >= 0; slot = next)
        {
            // Read before the slot can be recycled, which reuses the link.
            next = peers.NextPending(slot);
            world.EnsureCapacity(slot + 1);
            world.AddOrder[slot] = peers.AddOrder(slot);
            world.Announced[slot] = 0;
            if (peers.IsAlive(slot))
                newcomers.Add(slot);
        }
        newcomers.Span.Sort(new ByAddOrder(world));
        foreach (int slot in newcomers.Span)
            (world.X[slot], world.Z[slot]) = peers.Ground(slot);
    }

    private void TakeMoves(int slots)
    {
        for (int slot = 0; slot < slots; slot++)
        {
            int island = world.IslandOf[slot];
            if (island < 0)
                continue;
            (float x, float z) = peers.Ground(slot);
            if (x == world.X[slot] && z == world.Z[slot])
                continue;
            world.X[slot] = x;
            world.Z[slot] = z;
            world.MarkDirty(island);
        }
    }

    private void ForgetRemoved()
    {
        foreach (int slot in removed.Span)
        {
            if (world.IslandOf[slot] >= 0)
            {
                world.Detach(slot);
                world.PeerCount--;
            }
            peers.Recycle(slot);
        }
    }

    private void MarkEverythingDirty()
    {
        for (int index = 0; index < world.IslandTop; index++)
            if (world.Islands[index].Count > 0)
                world.MarkDirty(index);
    }

    /// <summary>Departures come in the order of the threads that told them; the outcome must not.</summary>
    private void ByAge(Span<int> islands) => islands.Sort(new ByCreation(world));

    private void PlaceNewcomers()
    {
        foreach (int slot in newcomers.Span)
            world.CreateIsland(slot);
        world.PeerCount += newcomers.Count;
    }

    private void CleanDirty()
    {
        foreach (int index in world.DirtyIslands.Span)
            world.Islands[index].Dirty = world.Islands[index].Listed = false;
        world.DirtyIslands.Clear();
    }

    private void Announce(int slots)
    {
        changes.Clear();
        for (int slot = 0; slot < world.Capacity; slot++)
        {
            int index = world.IslandOf[slot];
            if (index < 0)
                continue;
            long from = world.Announced[slot], to = world.Islands[index].Id;
            if (from == to)
                continue;
            world.Announced[slot] = to;
            IslandChangeCause cause = from == 0 ? IslandChangeCause.Newcomer
                : to > lastIdBefore ? IslandChangeCause.Split
                : IslandChangeCause.Merge;
            changes.Add(new IslandChange(new PeerHandle(slot, peers.Generation(slot)), new IslandId(from), new IslandId(to), cause));
        }
    }

    private void PublishSnapshot(int slots)
    {
        Span<int> order = byAge.Resize(world.IslandCount);
        int n = 0;
        for (int index = 0; index < world.IslandTop; index++)
            if (world.Islands[index].Count > 0)
                order[n++] = index;
        ByAge(order);

        IslandSnapshot snapshot = snapshots.TakeFree();
        snapshot.Begin(flushes, world.Capacity, world.PeerCount, world.IslandCount);
        foreach (int index in order)
        {
            int first = world.Islands[index].First, slot = first;
            do
            {
                snapshot.Add(
                    new PeerHandle(slot, peers.Generation(slot)),
                    new Position(world.X[slot], peers.Height(slot), world.Z[slot]));
                slot = world.Next[slot];
            }
            while (slot != first);
            snapshot.EndIsland(new IslandId(world.Islands[index].Id));
        }
        snapshots.Publish(snapshot);
    }

    private readonly struct ByAddOrder(World world) : IComparer<int>
    {
        public int Compare(int a, int b) => world.AddOrder[a].CompareTo(world.AddOrder[b]);
    }

    private readonly struct ByCreation(World world) : IComparer<int>
    {
        public int Compare(int a, int b) => world.Islands[a].Order.CompareTo(world.Islands[b].Order);
    }
}
