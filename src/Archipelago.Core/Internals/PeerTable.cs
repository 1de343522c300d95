using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Archipelago.Core.Internals;

/// <summary>Takes the moves that <see cref="PeerTable.TakeMoved"/> hands out.</summary>
internal interface IMoveConsumer
{
    /// <summary>This slot will be looked up soon.</summary>
    void Expect(int slot);

    /// <summary>This slot was looked up in memory's good time, and will be taken soon.</summary>
    void Prepare(int slot);

    void Take(int slot, Point to);
}

/// <summary>
/// What producers write and the flush reads: one slot a peer, in chunks that never move, so that growing stops nobody.
/// </summary>
/// <remarks>
/// <para>Life of a slot (the low two bits of <c>State</c>, above them the generation):</para>
/// <list type="number">
/// <item>Free → Alive: <see cref="Add"/>, by whoever took the slot from <c>free</c> or from the end; nobody else touches it meanwhile.</item>
/// <item>Alive → Removed: <see cref="Remove"/>, by compare-and-set, so that exactly one caller wins.</item>
/// <item>Removed → Free with the next generation: <see cref="RecycleRetired"/>, by the flush, when no report can be on its way (<see cref="Producers"/>).</item>
/// </list>
/// <para>
/// Shared fields and what orders them. <c>Xz</c>: written by any producer with a release store, read by the flush with an acquire load; x and z
/// share one 64-bit word, so no reader sees half a report. <c>Y</c>: written just before <c>Xz</c>; a reader may see the y of one report earlier or
/// later. <c>State</c>: Alive is released after the first position is in place, and acquired before any use of the slot. <c>pending</c> and
/// <c>removed</c>: lists that any producer pushes onto by compare-and-set and that the flush takes whole by exchange; since nothing is ever popped
/// singly there is no ABA. The free list is written by the flush and popped by producers: its head carries a counter against ABA.
/// </para>
/// <para>Progress: <see cref="Move"/> and <see cref="Prefer"/> are wait-free; <see cref="Add"/> and <see cref="Remove"/> are lock-free (growing allocates a chunk).</para>
/// </remarks>
internal sealed class PeerTable
{
#if DEBUG
    // Small chunks in debug builds, so that growth happens in every test.
    internal const int ChunkBits = 5;
#else
    internal const int ChunkBits = 12;
#endif
    internal const int ChunkSize = 1 << ChunkBits;
    private const int ChunkMask = ChunkSize - 1;
    private const int MaxChunks = int.MaxValue / ChunkSize / 8;

    private const uint Free = 0, Alive = 1, Removed = 2, StateMask = 3;
    private const uint MaxGeneration = uint.MaxValue >> 2;

    /// <summary>All that a report touches, in one quarter of a cache line.</summary>
    internal struct Slot
    {
        public long Xz;
        public float Y;
        public uint State;
    }

    internal sealed class Chunk
    {
        public readonly Slot[] Slots = new Slot[ChunkSize];
        public readonly byte[] Moved = new byte[ChunkSize];

        /// <summary>Null until somebody in the chunk prefers an island, for most never do.</summary>
        public long[]? Preference;

        public readonly long[] AddOrder = new long[ChunkSize];
        public readonly int[] NextPending = new int[ChunkSize];
        public readonly int[] NextRemoved = new int[ChunkSize];
    }

    private Chunk[] chunks = [new Chunk()];
    private int slotCount;
    private long addCounter;

    // Only ever set, and only an economy: who sets it late is counted at the next flush.
    private volatile bool hasPreferences;
    private int pendingHead = -1;
    private int removedHead = -1;
    private long freeHead = Pack(-1, 0);

    /// <summary>Slots handed out so far; slot numbers are below it.</summary>
    public int SlotCount => Math.Min(Volatile.Read(ref slotCount), Volatile.Read(ref chunks).Length * ChunkSize);

    /// <summary>False while no peer has ever preferred an island.</summary>
    public bool HasPreferences => hasPreferences;

    private static long Pack(int slot, int tag) => ((long)tag << 32) | (uint)slot;

    private static long PackXz(float x, float z) =>
        ((long)BitConverter.SingleToInt32Bits(x) << 32) | (uint)BitConverter.SingleToInt32Bits(z);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Chunk ChunkOf(int slot) => Volatile.Read(ref chunks)[slot >> ChunkBits];

    public PeerHandle Add(in Position position, long preference)
    {
        int slot = TakeSlot();
        Chunk chunk = ChunkOf(slot);
        int i = slot & ChunkMask;
        chunk.Slots[i].Y = position.Y;
        chunk.Slots[i].Xz = PackXz(position.X, position.Z);
        SetPreference(chunk, i, preference);
        chunk.AddOrder[i] = Interlocked.Increment(ref addCounter);
        uint alive = (chunk.Slots[i].State & ~StateMask) | Alive;
        Interleaving.Step("makes the slot alive");
        Volatile.Write(ref chunk.Slots[i].State, alive);
        Push(ref pendingHead, chunk.NextPending, slot);
        return new PeerHandle(slot, alive >> 2);
    }

    public bool Move(PeerHandle peer, float x, float y, float z)
    {
        Producers.Record producer = Producers.Enter();
        bool found = TryFind(peer, out Chunk chunk, out int i);
        if (found)
        {
            Interleaving.Step(BeforeReport);
            Volatile.Write(ref chunk.Slots[i].Y, y);
            Interleaving.Step("writes x and z");
            Volatile.Write(ref chunk.Slots[i].Xz, PackXz(x, z));
            Interleaving.Step("sets the flag");
            // Released after the place: whoever sees the flag sees the place. Partner: the fence in TakeMoved.
            Volatile.Write(ref chunk.Moved[i], 1);
        }
        Producers.Leave(producer);
        return found;
    }

    public bool Prefer(PeerHandle peer, long island)
    {
        Producers.Record producer = Producers.Enter();
        bool found = TryFind(peer, out Chunk chunk, out int i);
        if (found)
        {
            SetPreference(chunk, i, island);
        }
        Producers.Leave(producer);
        return found;
    }

    private void SetPreference(Chunk chunk, int i, long island)
    {
        long[]? preference = Volatile.Read(ref chunk.Preference);
        if (preference is null)
        {
            if (island == 0)
                return;
            var mine = new long[ChunkSize];
            preference = Interlocked.CompareExchange(ref chunk.Preference, mine, null) ?? mine;
        }
        Volatile.Write(ref preference[i], island);
        if (island != 0)
            hasPreferences = true;
    }

    public bool Contains(PeerHandle peer) => TryFind(peer, out _, out _);

    public bool Remove(PeerHandle peer)
    {
        if (!TryFind(peer, out Chunk chunk, out int i))
            return false;
        uint alive = (peer.Generation << 2) | Alive;
        Interleaving.Step("claims the removal");
        if (Interlocked.CompareExchange(ref chunk.Slots[i].State, (alive & ~StateMask) | Removed, alive) != alive)
            return false;
        Interleaving.Step("lists the removal");
        Push(ref removedHead, chunk.NextRemoved, peer.Slot);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryFind(PeerHandle peer, out Chunk chunk, out int i)
    {
        Chunk[] table = Volatile.Read(ref chunks);
        int c = peer.Slot >> ChunkBits;
        if ((uint)c >= (uint)table.Length)
        {
            chunk = null!;
            i = 0;
            return false;
        }
        chunk = table[c];
        i = peer.Slot & ChunkMask;
        Interleaving.Step("reads the state");
        return Volatile.Read(ref chunk.Slots[i].State) == ((peer.Generation << 2) | Alive);
    }

    // ---- the flush's side: one thread at a time ----

    /// <summary>True when slots were added since <see cref="TakePending"/> was last called.</summary>
    public bool HasPending => Volatile.Read(ref pendingHead) >= 0;

    /// <summary>Takes the list of slots added since the last call, or -1; follow it with <see cref="NextPending"/>.</summary>
    public int TakePending()
    {
        Interleaving.Step("takes the newcomers");
        return Interlocked.Exchange(ref pendingHead, -1);
    }

    /// <summary>Takes the list of slots removed since the last call, or -1; follow it with <see cref="NextRemoved"/>.</summary>
    public int TakeRemoved()
    {
        Interleaving.Step("takes the removals");
        return Interlocked.Exchange(ref removedHead, -1);
    }

    public int NextPending(int slot) => ChunkOf(slot).NextPending[slot & ChunkMask];

    public int NextRemoved(int slot) => ChunkOf(slot).NextRemoved[slot & ChunkMask];

    public bool IsAlive(int slot) => (Volatile.Read(ref ChunkOf(slot).Slots[slot & ChunkMask].State) & StateMask) == Alive;

    public uint Generation(int slot) => Volatile.Read(ref ChunkOf(slot).Slots[slot & ChunkMask].State) >> 2;

    public long AddOrder(int slot) => ChunkOf(slot).AddOrder[slot & ChunkMask];

    public long Preference(int slot) => Volatile.Read(ref ChunkOf(slot).Preference) is { } preference ? Volatile.Read(ref preference[slot & ChunkMask]) : 0;

    public float Height(int slot) => Volatile.Read(ref ChunkOf(slot).Slots[slot & ChunkMask].Y);

    /// <summary>The last report of x and z, read in one piece.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Point Ground(int slot) => ToPoint(Volatile.Read(ref ChunkOf(slot).Slots[slot & ChunkMask].Xz));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Point ToPoint(long word) =>
        new(BitConverter.Int32BitsToSingle((int)(word >> 32)), BitConverter.Int32BitsToSingle((int)word));

    /// <summary>
    /// Takes the flags of those who reported since the last call, chunk by chunk, and hands each with its place to the consumer.
    /// </summary>
    /// <remarks>
    /// Flags are cleared first and places read after a full fence. A report that the read misses was written after the fence, so its flag is set after
    /// the clearing and stays for the next call; a report whose flag was cleared is seen. Without the fence the read could come before the clearing
    /// and miss a report whose flag it then wipes out.
    /// </remarks>
    public void TakeMoved<TConsumer>(ref TConsumer consumer)
        where TConsumer : struct, IMoveConsumer
    {
        Chunk[] table = Volatile.Read(ref chunks);
        for (int c = 0; c < table.Length; c++)
        {
            Chunk chunk = table[c];
            int n = 0;
            Span<ulong> flags = MemoryMarshal.Cast<byte, ulong>(chunk.Moved.AsSpan());
            for (int block = 0; block < flags.Length; block++)
            {
                ulong set = Volatile.Read(ref flags[block]);
                if (set != 0)
                    Interleaving.Step("clears flags");
                for (int first = block * 8; set != 0; set &= set - 1)
                {
                    int i = first + (BitOperations.TrailingZeroCount(set) >> 3);
                    Volatile.Write(ref chunk.Moved[i], 0);
                    movedInChunk[n++] = i;
                }
            }
            if (n == 0)
                continue;
            Interleaving.Step(FlagsCleared);
            Interlocked.MemoryBarrier();
            // What each of them needs is in a few places far apart, and asked for together, step by step, so that they do not wait for one another.
            ReadOnlySpan<int> all = movedInChunk.AsSpan(0, n);
            foreach (int i in all)
                consumer.Expect((c << ChunkBits) + i);
            foreach (int i in all)
            {
                Prefetch.Entry(chunk.Slots, i);
                consumer.Prepare((c << ChunkBits) + i);
            }
            Interleaving.Step("reads places");
            foreach (int i in all)
                consumer.Take((c << ChunkBits) + i, ToPoint(Volatile.Read(ref chunk.Slots[i].Xz)));
        }
    }

    /// <summary>How many have reported since flags were last taken, about: reports go on meanwhile.</summary>
    public int CountMoved()
    {
        int sum = 0;
        foreach (Chunk chunk in Volatile.Read(ref chunks))
        {
            // Flags are 0 or 1, eight to a word: a word's ones are its flags.
            foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(chunk.Moved.AsSpan()))
                sum += BitOperations.PopCount(word);
        }
        return sum;
    }

    /// <summary>
    /// Clears the flags of all, after which the caller reads the places of all with <see cref="Ground"/>. The fence stands between, as in
    /// <see cref="TakeMoved"/>.
    /// </summary>
    public void ClearMoved()
    {
        foreach (Chunk chunk in Volatile.Read(ref chunks))
            chunk.Moved.AsSpan().Clear();
        Interleaving.Step(FlagsCleared);
        Interlocked.MemoryBarrier();
    }

    /// <summary>The place of this slot will be read soon.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ExpectGround(int slot) => Prefetch.Entry(ChunkOf(slot).Slots, slot & ChunkMask);

    private readonly int[] movedInChunk = new int[ChunkSize];

    /// <summary>Gives up a removed slot; it is handed out again once no report can be on its way into it.</summary>
    public void Retire(int slot) => retired.Add(slot);

    /// <summary>Called once a flush: hands out again what can be.</summary>
    public void RecycleRetired()
    {
        if (waiting.Count == 0)
        {
            if (retired.Count == 0)
                return;
            foreach (int slot in retired.Span)
                waiting.Add(slot);
            retired.Clear();
            Producers.Observe(insideReport);
        }
        if (!Producers.HaveLeft(insideReport))
            return;
        foreach (int slot in waiting.Span)
            Recycle(slot);
        waiting.Clear();
    }

    private readonly Pool<int> retired = new();
    private readonly Pool<int> waiting = new();
    private readonly Pool<(Producers.Record Record, long Sequence)> insideReport = new();

    /// <summary>Steps that tests ask for by name.</summary>
    internal const string BeforeReport = "writes y", FlagsCleared = "has cleared flags";

    /// <summary>Gives a removed slot back, under its next generation.</summary>
    private void Recycle(int slot)
    {
        Chunk chunk = ChunkOf(slot);
        int i = slot & ChunkMask;
        uint generation = (chunk.Slots[i].State >> 2) + 1;
        if (generation > MaxGeneration)
            return; // A thousand million lives: the slot retires rather than let an ancient handle match.
        Interleaving.Step("gives the slot its next generation");
        Volatile.Write(ref chunk.Slots[i].State, (generation << 2) | Free);
        long head = Volatile.Read(ref freeHead);
        while (true)
        {
            chunk.NextPending[i] = (int)head;
            Interleaving.Step("puts the slot on the free list");
            long seen = Interlocked.CompareExchange(ref freeHead, Pack(slot, (int)(head >> 32) + 1), head);
            if (seen == head)
                return;
            head = seen;
        }
    }

    // ---- restoring: before anybody else knows the table ----

    /// <summary>How many peers were ever added.</summary>
    public long AddCounter
    {
        get => Interlocked.Read(ref addCounter);
        set => addCounter = value;
    }

    public void Restore(int slot, uint generation, in Position position, long preference, long addOrder)
    {
        Chunk chunk = Reserve(slot);
        int i = slot & ChunkMask;
        chunk.Slots[i] = new Slot { Xz = PackXz(position.X, position.Z), Y = position.Y, State = (generation << 2) | Alive };
        SetPreference(chunk, i, preference);
        chunk.AddOrder[i] = addOrder;
    }

    public void RestoreFree(int slot, uint generation)
    {
        Reserve(slot).Slots[slot & ChunkMask].State = (generation << 2) | Removed;
        Recycle(slot);
    }

    // ---- following another table: one thread, while producers report ----

    /// <summary>Puts a peer into a slot that nobody has. It becomes visible to producers whole.</summary>
    public void Place(int slot, uint generation, in Position position, long preference, long addOrder)
    {
        AwaitReports();
        Chunk chunk = Reserve(slot);
        int i = slot & ChunkMask;
        chunk.Slots[i].Y = position.Y;
        chunk.Slots[i].Xz = PackXz(position.X, position.Z);
        SetPreference(chunk, i, preference);
        chunk.AddOrder[i] = addOrder;
        Volatile.Write(ref chunk.Slots[i].State, (generation << 2) | Alive);
    }

    /// <summary>Takes a peer out of its slot, which stays empty until <see cref="Place"/> or <see cref="EndFollowing"/>.</summary>
    public void Displace(int slot)
    {
        Volatile.Write(ref ChunkOf(slot).Slots[slot & ChunkMask].State, (Generation(slot) << 2) | Removed);
        hasDisplaced = true;
    }

    /// <summary>From now on <see cref="Add"/> hands out all empty slots.</summary>
    public void EndFollowing()
    {
        AwaitReports();
        freeHead = Pack(-1, 0);
        for (int slot = SlotCount - 1; slot >= 0; slot--)
            if (!IsAlive(slot))
                Recycle(slot);
    }

    /// <summary>A report that is on its way to somebody who was displaced must not end up with whoever is placed after. Reports are wait-free, so there is next to nothing to wait for.</summary>
    private void AwaitReports()
    {
        if (!hasDisplaced)
            return;
        Producers.Observe(insideReport);
        for (var wait = new SpinWait(); !Producers.HaveLeft(insideReport); wait.SpinOnce())
            continue;
        hasDisplaced = false;
    }

    private bool hasDisplaced;

    // ---- both ----

    /// <summary>Puts a restored peer on the list of newcomers.</summary>
    public void AwaitFlush(int slot) => Push(ref pendingHead, ChunkOf(slot).NextPending, slot);

    private Chunk Reserve(int slot)
    {
        GrowTo(slot >> ChunkBits);
        slotCount = Math.Max(slotCount, slot + 1);
        return ChunkOf(slot);
    }

    private static void Push(ref int head, int[] next, int slot)
    {
        int seen = Volatile.Read(ref head);
        while (true)
        {
            next[slot & ChunkMask] = seen;
            Interleaving.Step("pushes onto a list");
            int now = Interlocked.CompareExchange(ref head, slot, seen);
            if (now == seen)
                return;
            seen = now;
        }
    }

    private int TakeSlot()
    {
        long head = Volatile.Read(ref freeHead);
        while ((int)head >= 0)
        {
            int slot = (int)head;
            Interleaving.Step("reads who is behind the first free slot");
            int next = Volatile.Read(ref ChunkOf(slot).NextPending[slot & ChunkMask]);
            Interleaving.Step("takes the first free slot");
            long seen = Interlocked.CompareExchange(ref freeHead, Pack(next, (int)(head >> 32) + 1), head);
            if (seen == head)
                return slot;
            head = seen;
        }
        Interleaving.Step("takes a new slot");
        int fresh = Interlocked.Increment(ref slotCount) - 1;
        GrowTo(fresh >> ChunkBits);
        Chunk chunk = ChunkOf(fresh);
        chunk.Slots[fresh & ChunkMask].State = (1u << 2) | Free;
        return fresh;
    }

    private void GrowTo(int chunkIndex)
    {
        if (chunkIndex >= MaxChunks)
            throw new InvalidOperationException("The engine is full: it holds at most 268 million peers.");
        Chunk[] seen = Volatile.Read(ref chunks);
        while (chunkIndex >= seen.Length)
        {
            var larger = new Chunk[chunkIndex + 1];
            seen.CopyTo(larger, 0);
            for (int i = seen.Length; i < larger.Length; i++)
                larger[i] = new Chunk();
            Interleaving.Step("adds a chunk");
            Chunk[] now = Interlocked.CompareExchange(ref chunks, larger, seen);
            seen = ReferenceEquals(now, seen) ? larger : now;
        }
    }
}
