using Archipelago.Core.Internals;
using Archipelago.Core.Internals.Crowds;

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
/// islands created. A world in which nobody moves does not change; under <see cref="CrowdPolicy.Coherent"/>, once its crowds have come to rest.
/// </para>
/// </remarks>
public sealed partial class IslandEngine : IDisposable
{
    private readonly PeerTable peers = new();
    private readonly World world = new();
    private readonly NeighbourIndex neighbours;
    private readonly SplitPass splits;
    private readonly Gathering gathering;
    private readonly MergePass merges;
    private readonly CrowdPass crowds;
    private readonly SnapshotPool snapshots = new();
    private readonly Pool<int> newcomers = new();
    private readonly Pool<ulong> newcomerKeys = new();
    private readonly RadixSort sorting = new();
    private readonly BodyOrder order;
    private readonly Crew crew = new();
    private readonly PlaceSweep places;
    private readonly EdgeSweep edges;
    private readonly Pool<int> removed = new();
    private readonly Pool<int> byAge = new();
    private readonly Pool<int> uneasy = new();
    private readonly System.Buffers.ArrayBufferWriter<byte> crowdBytes = new();
    private readonly Pool<long> ages = new();
    private readonly Pool<IslandChange> changes = new();
    private IslandOptions options;
    private IslandOptions? flushedWith;
    private bool doubtEverything;
    private bool manyArrived;

    /// <summary>True when the last flush has changed what the policy for crowds remembers.</summary>
    private bool sortedCrowds;

    /// <summary>True while a flush runs, and for ever when one has thrown, as it does when memory runs out.</summary>
    private bool broken;
    private long flushes;
    private long moved;
    private int calm;
    private int flushing;
    private int flushThreads = 1;
    private bool disposed;

    /// <summary>Makes an empty world under these rules.</summary>
    /// <exception cref="ArgumentException">A rule is out of range.</exception>
    public IslandEngine(IslandOptions? options = null)
    {
        this.options = options ?? new IslandOptions();
        this.options.Validate();
        neighbours = new NeighbourIndex(crew);
        order = new BodyOrder(sorting);
        places = new PlaceSweep(world, peers, neighbours, crew);
        edges = new EdgeSweep(world, crew);
        splits = new SplitPass(peers, neighbours);
        gathering = new Gathering(peers, sorting);
        merges = new MergePass(peers, neighbours, gathering, sorting);
        crowds = new CrowdPass(peers, neighbours, sorting);
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

    /// <summary>
    /// How many threads a flush may use: the one that calls it, and so many less one of the thread pool, which help where there is much to do (from some sixteen thousand peers on), if they
    /// are free; never more than there are processors. 1 at first; the outcome is the same with any number. A new number holds from the next flush on; any thread may set it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1, or more than <see cref="MaxFlushThreads"/>.</exception>
    public int FlushThreads
    {
        get => Volatile.Read(ref flushThreads);
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MaxFlushThreads);
            Volatile.Write(ref flushThreads, value);
        }
    }

    /// <summary>The most threads that a flush can use.</summary>
    public const int MaxFlushThreads = 64;

    internal PeerTable Table => peers;

    /// <summary>For tests: members of crowds that the last flush has looked at.</summary>
    internal int CrowdLooks => crowds.Looks;

    /// <summary>For tests, between flushes; see <see cref="CrowdPass.Potential"/>.</summary>
    internal double CrowdPotential => crowds.Potential(world, Options);

    /// <summary>One more than the largest <see cref="PeerHandle.Slot"/> handed out so far.</summary>
    public int SlotCount => peers.SlotCount;

    /// <summary>Peers as of the last flush.</summary>
    public int PeerCount => Volatile.Read(ref world.PeerCount);

    /// <summary>Adds a peer; it gets an island at the next flush. Lock-free; allocates only when the table grows.</summary>
    /// <param name="position">Where it is; must be finite.</param>
    /// <param name="preferred">The island it would like to be in, if that one is near and has room.</param>
    /// <exception cref="ArgumentException">The position is not finite.</exception>
    /// <exception cref="InvalidOperationException">The engine follows another (<see cref="Follow"/>), which says who is added.</exception>
    public PeerHandle Add(in Position position, IslandId preferred = default)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (IsFollowing)
            throw Following();
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
    /// <exception cref="InvalidOperationException">The engine follows another (<see cref="Follow"/>), which says who is removed.</exception>
    public bool Remove(PeerHandle peer) => IsFollowing ? throw Following() : peers.Remove(peer);

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
        if (broken)
            throw Broken();
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
        if (IsFollowing)
            throw Following();
        if (Interlocked.Exchange(ref flushing, 1) != 0)
            throw new InvalidOperationException("A flush is running already. Flush from one thread at a time.");
        if (!broken)
            return;
        Volatile.Write(ref flushing, 0);
        throw Broken();
    }

    private static InvalidOperationException Broken() => new("An earlier flush failed half way, and what it left is not whole. Restore the engine from a save.");

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
}
