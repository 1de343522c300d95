using System.Buffers;
using Archipelago.Core.Internals;

namespace Archipelago.Core;

/// <content>Following an engine elsewhere, flush by flush, so as to take its place.</content>
public sealed partial class IslandEngine
{
    private const uint DeltaMagic = 0x444C5349; // "ISLD", little-endian
    private const int DeltaVersion = 1;
    private const int AddedLength = 48, ChangeLength = 16, MostUnheard = 1 << 20;

    /// <summary>Null unless this engine follows another.</summary>
    private Followed? followed;

    /// <summary>True while this engine follows another: from <see cref="Follow"/> to <see cref="Lead"/>. Any thread.</summary>
    public bool IsFollowing => Volatile.Read(ref followed) is not null;

    /// <summary>Flushes of either kind so far, or, while it follows another, those of the other that it knows of.</summary>
    public long FlushCount => Volatile.Read(ref flushes);

    /// <summary>
    /// Writes what the last flush did, for engines that follow this one: who came and where, who left, who changed islands. After every flush, of either
    /// kind, and before the next; each delta builds on the one before, and the first on a <see cref="Save"/>. Allocates nothing in the steady state but what the
    /// destination does. Versioned and little-endian.
    /// </summary>
    /// <exception cref="InvalidOperationException">A flush is running, or this engine follows another itself.</exception>
    public void SaveDelta(IBufferWriter<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        Enter();
        try
        {
            WriteDelta(new Writer(destination));
        }
        finally
        {
            Volatile.Write(ref flushing, 0);
        }
    }

    /// <summary>
    /// Makes an engine that follows the one which was saved: it takes over what that one does by <see cref="TryApplyDelta"/>, and takes reports by
    /// <see cref="Move"/> and <see cref="Prefer"/> under the other's handles, but adds, removes and groups nobody itself, until <see cref="Lead"/> makes it an engine
    /// like any other.
    /// </summary>
    /// <exception cref="FormatException">The bytes are no saved state, or of a version that this one does not read.</exception>
    public static IslandEngine Follow(ReadOnlySpan<byte> saved)
    {
        var reader = new Reader(saved);
        (IslandEngine engine, int version) = Open(ref reader);
        if (version != FormatVersion)
            throw new FormatException($"The state was saved in version {version} of the format; only version {FormatVersion} can be followed.");
        var of = new Followed();
        int slots = engine.ReadPeers(ref reader);
        of.EnsureSlots(slots);
        for (int islands = reader.Int32(); islands > 0; islands--)
        {
            long id = reader.Int64();
            int count = reader.Int32(), fedAt = reader.Int32();
            if (id < 1 || id > engine.world.LastId || count < 1)
                throw new FormatException("The saved state has an island that cannot be.");
            for (; count > 0; count--)
            {
                int slot = reader.Int32();
                if ((uint)slot >= (uint)slots || of.Islands[slot] != 0)
                    throw new FormatException("The saved state has a peer in two islands, or in none.");
                // Who left since the last flush is still in the saved islands, and who came is in none: the next delta speaks of both.
                if (engine.peers.IsAlive(slot))
                    of.Enter(slot, id, fedAt);
            }
        }
        for (int slot = 0; slot < slots; slot++)
            if (of.Islands[slot] == 0 && engine.peers.IsAlive(slot))
                engine.peers.Displace(slot);
        of.Crowds = reader.Rest.ToArray();
        of.Turn = engine.CheckCrowds(of.Crowds, slots);
        engine.followed = of;
        Volatile.Write(ref engine.world.PeerCount, of.PeerCount);
        return engine;
    }

    /// <summary>
    /// Takes over what one flush of the followed engine did. One thread at a time; reports may go on meanwhile.
    /// </summary>
    /// <param name="delta">What <see cref="SaveDelta"/> wrote.</param>
    /// <param name="told">Receives the changes that the other's flush has returned, but for their causes; null when nobody wants them.</param>
    /// <param name="gone">Receives those who have left since the flush before; null when nobody wants them.</param>
    /// <returns>False, and nothing is changed, when this is not the flush that comes next: one was missed, or it has been here before.</returns>
    /// <exception cref="FormatException">The bytes are no delta, or of a version that this one does not read, or it does not fit; nothing is changed.</exception>
    /// <exception cref="InvalidOperationException">This engine does not follow another.</exception>
    public bool TryApplyDelta(ReadOnlySpan<byte> delta, ICollection<IslandChange>? told = null, ICollection<PeerHandle>? gone = null)
    {
        Followed of = followed ?? throw new InvalidOperationException("This engine does not follow another; make one that does by Follow.");
        var reader = new Reader(delta);
        if (reader.UInt32() != DeltaMagic)
            throw new FormatException("These bytes are no delta of an island engine.");
        int version = reader.Int32();
        if (version != DeltaVersion)
            throw new FormatException($"The delta is of version {version}; this engine reads version {DeltaVersion}.");
        long flush = reader.Int64();
        if (flush != flushes + 1)
            return false;
        long lastId = reader.Int64(), addCounter = reader.Int64(), turn = reader.Int64();
        int left = reader.Int32(), added = reader.Int32(), changed = reader.Int32(), crowdBytes = reader.Int32();
        reader.Int64(); // spare
        if (left < 0 || added < 0 || changed < 0 || crowdBytes < 0
            || reader.Left != ((long)left * sizeof(int)) + ((long)added * AddedLength) + ((long)changed * ChangeLength) + crowdBytes)
            throw new FormatException("The delta is cut short.");
        // All of it is looked at before any of it is taken: half of a delta would be worse than none.
        Check(reader, of, left, added, changed, lastId);
        for (; left > 0; left--)
            Release(of, reader.Int32(), gone);
        Apply(ref reader, of, added, changed, told);
        if (crowdBytes > 0)
            of.Crowds = reader.Rest.ToArray();
        of.Turn = turn;
        world.LastId = lastId;
        peers.AddCounter = addCounter;
        Volatile.Write(ref world.PeerCount, of.PeerCount);
        Volatile.Write(ref flushes, flush);
        return true;
    }

    /// <summary>
    /// Ends following: from here on this engine adds, removes and groups by itself, where the other was at the last delta, with everybody where they were last
    /// reported. One thread, while nobody reports; the first flush costs as much as that of a restored engine.
    /// </summary>
    /// <exception cref="InvalidOperationException">This engine does not follow another.</exception>
    public void Lead()
    {
        Followed of = followed ?? throw new InvalidOperationException("This engine leads already.");
        peers.EndFollowing();
        int slots = peers.SlotCount;
        world.EnsureCapacity(of.PeerCount);
        world.Map.EnsureSlots(slots);
        Gather(of, slots);
        world.EndRestoring();
        AwaitFirstFlush(slots);
        var reader = new Reader(of.Crowds);
        ReadCrowds(ref reader, slots);
        // Flushes of newcomers go on after what was read was written.
        crowds.State.Turn = of.Turn;
        for (int index = 0; index < world.IslandTop; index++)
            world.NoteSize(index);
        Volatile.Write(ref followed, null);
    }

    /// <summary>
    /// Leaves out numbers of islands: for one who takes the place of an engine that may have made islands, and told of them, since it was last heard. Between flushes.
    /// </summary>
    /// <param name="id">New islands get numbers above this one; nothing changes where they do already.</param>
    /// <exception cref="InvalidOperationException">A flush is running, or this engine follows another.</exception>
    public void SkipIdsTo(long id)
    {
        Enter();
        world.LastId = Math.Max(world.LastId, id);
        Volatile.Write(ref flushing, 0);
    }

    private static InvalidOperationException Following() => new("This engine follows another, which adds, removes and groups; call Lead to take its place.");

    /// <summary>Makes the islands, in order of their numbers, which is that of their age, each with its members in the order in which they were added.</summary>
    private void Gather(Followed of, int slots)
    {
        Pool<int> members = byAge;
        members.Clear();
        newcomerKeys.Clear();
        for (int slot = 0; slot < slots; slot++)
        {
            if (!peers.IsAlive(slot))
                continue;
            members.Add(slot);
            newcomerKeys.Add((ulong)peers.AddOrder(slot));
        }
        sorting.Sort(newcomerKeys.Span, members.Span);
        for (int i = 0; i < members.Count; i++)
            newcomerKeys.Span[i] = (ulong)of.Islands[members.Span[i]];
        sorting.Sort(newcomerKeys.Span, members.Span);
        long before = 0;
        int index = -1;
        foreach (int slot in members.Span)
        {
            long id = of.Islands[slot];
            int body = world.Embody(slot, peers.Ground(slot));
            world.Announced[body] = id;
            if (id != before)
            {
                index = world.RestoreIsland(id, body);
                world.Islands[index].FedAt = of.FedAt(id);
            }
            else
            {
                world.Append(index, body);
            }
            before = id;
        }
        members.Clear();
        newcomerKeys.Clear();
    }

    private void WriteDelta(Writer writer)
    {
        int comings = newcomers.Count, rest = 0;
        foreach (ref readonly IslandChange change in changes.Span)
            rest += change.From.IsNone ? 0 : 1;
        crowdBytes.ResetWrittenCount();
        if (sortedCrowds)
            WriteCrowds(new Writer(crowdBytes));
        writer.UInt32(DeltaMagic);
        writer.Int32(DeltaVersion);
        writer.Int64(flushes);
        writer.Int64(world.LastId);
        writer.Int64(peers.AddCounter);
        writer.Int64(crowds.State.Turn);
        writer.Int32(removed.Count);
        writer.Int32(comings);
        writer.Int32(rest);
        writer.Int32(crowdBytes.WrittenCount);
        writer.Int64(0);
        foreach (int slot in removed.Span)
            writer.Int32(slot);
        foreach (int body in newcomers.Span)
            WriteComing(writer, body);
        foreach (ref readonly IslandChange change in changes.Span)
        {
            if (change.From.IsNone)
                continue;
            writer.Int32(change.Peer.Slot);
            writer.Int64(change.To.Value);
            writer.Int32(world.Islands[world.Bodies[world.Map.BodyOf(change.Peer.Slot)].Island].FedAt);
        }
        writer.Bytes(crowdBytes.WrittenSpan);
    }

    private void WriteComing(Writer writer, int body)
    {
        int slot = world.Map.SlotOf(body);
        Point at = world.At(body);
        ref readonly Island island = ref world.Islands[world.Bodies[body].Island];
        writer.Int32(slot);
        writer.UInt32(peers.Generation(slot));
        writer.Single(at.X);
        writer.Single(peers.Height(slot));
        writer.Single(at.Z);
        writer.Int64(peers.Preference(slot));
        writer.Int64(peers.AddOrder(slot));
        writer.Int64(island.Id);
        writer.Int32(island.FedAt);
    }

    private void Check(Reader reader, Followed of, int gone, int added, int changed, long lastId)
    {
        for (; gone > 0; gone--)
            if (reader.Int32() < 0)
                throw DoesNotFit();
        var placed = new HashSet<int>();
        int slots = of.Islands.Length;
        // Slots are handed out one after the other; those that were given back between two flushes are never spoken of.
        long end = slots + (2L * added) + MostUnheard;
        for (; added > 0; added--)
        {
            int slot = reader.Int32();
            reader.UInt32();
            var at = new Position(reader.Single(), reader.Single(), reader.Single());
            reader.Int64();
            reader.Int64();
            if (slot < 0 || slot >= end || !at.IsFinite || !placed.Add(slot) || reader.Int64() is var id && (id < 1 || id > lastId))
                throw DoesNotFit();
            slots = Math.Max(slots, slot + 1);
            reader.Int32();
        }
        for (; changed > 0; changed--)
        {
            int slot = reader.Int32();
            long id = reader.Int64();
            reader.Int32();
            if (id < 1 || id > lastId || slot < 0)
                throw DoesNotFit();
        }
        if (reader.Left > 0)
            CheckCrowds(reader.Rest, slots);
    }

    private static FormatException DoesNotFit() => new("The delta does not fit what was followed so far.");

    private void Release(Followed of, int slot, ICollection<PeerHandle>? gone)
    {
        // One that came and left between two flushes was never spoken of.
        if (of.IslandOf(slot) == 0)
            return;
        of.Leave(slot);
        peers.Displace(slot);
        gone?.Add(new PeerHandle(slot, peers.Generation(slot)));
    }

    private void Apply(ref Reader reader, Followed of, int added, int changed, ICollection<IslandChange>? told)
    {
        for (; added > 0; added--)
        {
            int slot = reader.Int32();
            uint generation = reader.UInt32();
            var at = new Position(reader.Single(), reader.Single(), reader.Single());
            long preference = reader.Int64(), order = reader.Int64(), id = reader.Int64();
            of.EnsureSlots(slot + 1);
            of.Leave(slot);
            peers.Place(slot, generation, at, preference, order);
            of.Enter(slot, id, reader.Int32());
            told?.Add(new IslandChange(new PeerHandle(slot, generation), IslandId.None, new IslandId(id), IslandChangeCause.Newcomer));
        }
        for (; changed > 0; changed--)
        {
            int slot = reader.Int32();
            long from = of.IslandOf(slot), to = reader.Int64();
            int fedAt = reader.Int32();
            // One who was leaving when the other was saved, and of whose departure its next flush did not know yet.
            if (from == 0)
                continue;
            of.Leave(slot);
            of.Enter(slot, to, fedAt);
            told?.Add(new IslandChange(new PeerHandle(slot, peers.Generation(slot)), new IslandId(from), new IslandId(to), IslandChangeCause.Merge));
        }
    }

    /// <summary>Looks at what the policy for crowds remembers as <see cref="ReadCrowds"/> will, and at nothing else; returns the turn.</summary>
    private long CheckCrowds(ReadOnlySpan<byte> bytes, int slots)
    {
        using var trial = new IslandEngine(Options);
        var reader = new Reader(bytes);
        trial.ReadCrowds(ref reader, slots);
        return trial.crowds.State.Turn;
    }

    /// <summary>Which island everybody is in, as far as the followed engine has told. Touched by the applying thread alone.</summary>
    private sealed class Followed
    {
        private readonly Dictionary<long, (int Count, int FedAt)> islands = [];

        /// <summary>By slot: the island's number; 0 for an empty slot.</summary>
        public long[] Islands = [];

        /// <summary>What the policy for crowds remembered after the last flush of everybody.</summary>
        public byte[] Crowds = [];

        public long Turn;

        public int PeerCount { get; private set; }

        public void EnsureSlots(int slots)
        {
            if (slots > Islands.Length)
                Array.Resize(ref Islands, Growth.From(Islands.Length, slots));
        }

        public long IslandOf(int slot) => (uint)slot < (uint)Islands.Length ? Islands[slot] : 0;

        public int FedAt(long id) => islands[id].FedAt;

        public void Enter(int slot, long id, int fedAt)
        {
            Islands[slot] = id;
            islands[id] = (islands.TryGetValue(id, out (int Count, int FedAt) known) ? known.Count + 1 : 1, fedAt);
            PeerCount++;
        }

        public void Leave(int slot)
        {
            long id = Islands[slot];
            if (id == 0)
                return;
            Islands[slot] = 0;
            PeerCount--;
            (int count, int fedAt) = islands[id];
            if (count == 1)
                islands.Remove(id);
            else
                islands[id] = (count - 1, fedAt);
        }
    }
}
