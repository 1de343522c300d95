using System.Buffers;
using System.Buffers.Binary;
using Archipelago.Core.Internals;
using Archipelago.Core.Internals.Crowds;

namespace Archipelago.Core;

/// <content>Saving and restoring the whole state.</content>
public sealed partial class IslandEngine
{
    private const uint Magic = 0x454C5349; // "ISLE", little-endian
    private const int FormatVersion = 2;

    /// <summary>Before there were policies for crowds.</summary>
    private const int OldestVersion = 1;

    /// <summary>
    /// Writes the whole state: rules, peers with their handles, islands with their numbers, what was announced, and what was reported since the last
    /// flush. Between flushes; producers may go on, and what they report meanwhile is in it or is not. The format is versioned and little-endian.
    /// </summary>
    /// <exception cref="InvalidOperationException">A flush is running, or the engine follows another (<see cref="Follow"/>).</exception>
    public void Save(IBufferWriter<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        Enter();
        try
        {
            WriteState(new Writer(destination));
        }
        finally
        {
            Volatile.Write(ref flushing, 0);
        }
    }

    /// <summary>
    /// Makes an engine of what <see cref="Save"/> wrote. Handles from before the save are valid in it; the next flush goes on where the saved one was.
    /// </summary>
    /// <exception cref="FormatException">The bytes are no saved state, or of a version that this one does not read.</exception>
    public static IslandEngine Restore(ReadOnlySpan<byte> saved)
    {
        var reader = new Reader(saved);
        (IslandEngine engine, int version) = Open(ref reader);
        try
        {
            int slots = engine.ReadPeers(ref reader);
            engine.ReadIslands(ref reader, slots, version);
            engine.AwaitFirstFlush(slots);
            if (version > OldestVersion)
                engine.ReadCrowds(ref reader, slots);
            return engine;
        }
        catch (ArgumentException e)
        {
            throw new FormatException("The saved state is damaged: " + e.Message, e);
        }
    }

    /// <summary>Makes an empty engine under the rules of a saved state.</summary>
    private static (IslandEngine Engine, int Version) Open(ref Reader reader)
    {
        if (reader.UInt32() != Magic)
            throw new FormatException("These bytes are no saved state of an island engine.");
        int version = reader.Int32();
        if (version is < OldestVersion or > FormatVersion)
            throw new FormatException($"The state was saved in version {version} of the format; this engine reads versions {OldestVersion} to {FormatVersion}.");
        var rules = new IslandOptions { JoinDistance = reader.Double(), LeaveDistance = reader.Double(), MaxIslandSize = reader.Int32() };
        if (version > OldestVersion)
            rules = rules with { Crowds = (CrowdPolicy)reader.Int32(), CrowdMovesPerFlush = reader.Double() };
        try
        {
            return (new IslandEngine(rules), version);
        }
        catch (ArgumentException e)
        {
            throw new FormatException("The saved state is damaged: " + e.Message, e);
        }
    }

    private void WriteState(Writer writer)
    {
        IslandOptions rules = Options;
        writer.UInt32(Magic);
        writer.Int32(FormatVersion);
        writer.Double(rules.JoinDistance);
        writer.Double(rules.LeaveDistance);
        writer.Int32(rules.MaxIslandSize);
        writer.Int32((int)rules.Crowds);
        writer.Double(rules.CrowdMovesPerFlush);
        writer.Int64(flushes);
        writer.Int64(world.LastId);
        writer.Int64(peers.AddCounter);

        int slots = peers.SlotCount;
        writer.Int32(slots);
        for (int slot = 0; slot < slots; slot++)
        {
            bool alive = peers.IsAlive(slot);
            writer.UInt32((peers.Generation(slot) << 1) | (alive ? 1u : 0));
            if (!alive)
                continue;
            writer.Single(peers.Ground(slot).X);
            writer.Single(peers.Height(slot));
            writer.Single(peers.Ground(slot).Z);
            writer.Int64(peers.Preference(slot));
            writer.Int64(peers.AddOrder(slot));
        }
        WriteIslands(writer);
        WriteCrowds(writer);
    }

    private void WriteCrowds(Writer writer)
    {
        CrowdState state = crowds.State;
        writer.Int64(state.Turn);
        writer.Double(state.Gain);
        writer.Double(state.Rate);
        writer.Int32(state.Wishes.Count);
        foreach (ref readonly Wish wish in state.Wishes.Span)
        {
            writer.Int32(wish.Peer.Slot);
            writer.UInt32(wish.Peer.Generation);
            writer.Int64(wish.From);
            writer.Int64(wish.To);
            writer.Int64(wish.Until);
        }
        WriteLarge(writer);
        // Not those who have left: whoever gets the slot next begins anew.
        uneasy.Clear();
        for (int slot = 0; slot < state.Uneasy.Length; slot++)
            if (state.Uneasy[slot] && peers.IsAlive(slot))
                uneasy.Add(slot);
        writer.Int32(uneasy.Count);
        foreach (int slot in uneasy.Span)
            writer.Int32(slot);
    }

    private void WriteLarge(Writer writer)
    {
        writer.Int32(world.LargeFrom);
        writer.Int32(crowds.Finder.Sorted);
        writer.Single(crowds.Finder.Slack);
        writer.Single(crowds.Finder.Widest);
        writer.Int32(world.Large.Count);
        foreach (ref readonly LargeIsland entry in world.Large.Span)
        {
            // 0 for one that is gone, which keeps its place until the next flush.
            bool stands = entry.Index < world.IslandTop && world.Islands[entry.Index].Order == entry.Order && world.Islands[entry.Index].Count > 0;
            writer.Int64(stands ? world.Islands[entry.Index].Id : 0);
            writer.Int32((entry.IsDrawn ? 1 : 0) | (entry.IsCrowded ? 2 : 0));
            writer.Single(entry.SortedBy);
            writer.Single(entry.Box.West);
            writer.Single(entry.Box.South);
            writer.Single(entry.Box.East);
            writer.Single(entry.Box.North);
        }
    }

    private void ReadLarge(ref Reader reader)
    {
        world.LargeFrom = reader.Int32();
        crowds.Finder.Sorted = reader.Int32();
        crowds.Finder.Slack = reader.Single();
        crowds.Finder.Widest = reader.Single();
        int count = reader.Int32();
        if (count < 0 || crowds.Finder.Sorted < 0 || crowds.Finder.Sorted > count || !(crowds.Finder.Slack >= 0) || !(crowds.Finder.Widest >= 0))
            throw new FormatException("The saved state has large islands that cannot be.");
        var indices = new Dictionary<long, int>();
        foreach (int index in IslandsByAge())
            indices[world.Islands[index].Id] = index;
        for (; count > 0; count--)
        {
            bool stands = indices.TryGetValue(reader.Int64(), out int index);
            int flags = reader.Int32();
            world.Large.Add(new LargeIsland(stands ? index : int.MaxValue, stands ? world.Islands[index].Order : -1)
            {
                IsDrawn = (flags & 1) != 0,
                IsCrowded = (flags & 2) != 0,
                SortedBy = reader.Single(),
                Box = new Box(reader.Single(), reader.Single(), reader.Single(), reader.Single()),
            });
            ref readonly LargeIsland read = ref world.Large.Span[^1];
            if (read.IsDrawn && !(read.Box.West <= read.Box.East && read.Box.South <= read.Box.North))
                throw new FormatException("The saved state has a large island that is nowhere.");
            if (stands)
                world.Islands[index].Pending |= Pending.Large;
        }
    }

    private void ReadCrowds(ref Reader reader, int slots)
    {
        CrowdState state = crowds.State;
        state.Turn = reader.Int64();
        state.Gain = reader.Double();
        state.Rate = reader.Double();
        if (!(state.Gain is >= CrowdState.LeastGain and <= CrowdState.MostGain && state.Rate is >= 0 and <= 1 && state.Turn is >= 0 and <= int.MaxValue))
            throw new FormatException("The saved state has a crowd policy that cannot be.");
        for (int left = reader.Int32(); left > 0; left--)
            state.Wishes.Add(new Wish(new PeerHandle(reader.Int32(), reader.UInt32()), reader.Int64(), reader.Int64(), reader.Int64()));
        ReadLarge(ref reader);
        state.Uneasy = new bool[slots];
        for (int left = reader.Int32(); left > 0; left--)
        {
            int slot = reader.Int32();
            if ((uint)slot >= (uint)state.Uneasy.Length)
                throw new FormatException("The saved state has somebody in a crowd who is not there.");
            state.Uneasy[slot] = true;
        }
    }

    private void WriteIslands(Writer writer)
    {
        Span<int> order = IslandsByAge();
        writer.Int32(order.Length);
        foreach (int index in order)
        {
            writer.Int64(world.Islands[index].Id);
            writer.Int32(world.Islands[index].Count);
            writer.Int32(world.Islands[index].FedAt);
            int first = world.Islands[index].First, body = first;
            do
            {
                writer.Int32(world.Map.SlotOf(body));
                body = world.Bodies[body].Next;
            }
            while (body != first);
        }
    }

    /// <summary>Reads who is there and where; returns how many slots there are.</summary>
    private int ReadPeers(ref Reader reader)
    {
        flushes = reader.Int64();
        world.LastId = reader.Int64();
        long addCounter = reader.Int64();
        int slots = reader.Int32();
        if (slots < 0 || slots > reader.Left / sizeof(uint))
            throw new FormatException("The saved state is cut short.");
        for (int slot = 0; slot < slots; slot++)
        {
            uint state = reader.UInt32();
            if ((state & 1) == 0)
            {
                peers.RestoreFree(slot, state >> 1);
                continue;
            }
            var position = new Position(reader.Single(), reader.Single(), reader.Single());
            if (!position.IsFinite)
                throw new FormatException("The saved state has a peer without a place.");
            long preference = reader.Int64(), addOrder = reader.Int64();
            peers.Restore(slot, state >> 1, position, preference, addOrder);
            // Somebody may have been added while the state was being saved.
            addCounter = Math.Max(addCounter, addOrder);
        }
        peers.AddCounter = addCounter;
        return slots;
    }

    /// <summary>
    /// Trees and circles are not saved: the first flush of everything draws them. Until then newcomers must find who is there.
    /// </summary>
    private void AwaitFirstFlush(int slots)
    {
        doubtEverything = true;
        neighbours.Prepare(world, Options);
        for (int index = 0; index < world.IslandTop; index++)
            neighbours.Expose(world, index);
        neighbours.ForgetWalks();
        // Whoever is in no island was waiting for one when the state was saved.
        for (int slot = 0; slot < slots; slot++)
            if (peers.IsAlive(slot) && world.Map.BodyOf(slot) < 0)
                peers.AwaitFlush(slot);
    }

    private void ReadIslands(ref Reader reader, int slots, int version)
    {
        world.EnsureCapacity(slots);
        world.Map.EnsureSlots(slots);
        int islands = reader.Int32();
        for (int i = 0; i < islands; i++)
        {
            long id = reader.Int64();
            int count = reader.Int32(), index = -1, fedAt = version > OldestVersion ? reader.Int32() : 0;
            if (id < 1 || id > world.LastId || count < 1)
                throw new FormatException("The saved state has an island that cannot be.");
            for (int member = 0; member < count; member++)
            {
                int slot = reader.Int32();
                if ((uint)slot >= (uint)slots || world.Map.BodyOf(slot) >= 0)
                    throw new FormatException("The saved state has a peer in two islands, or in none.");
                // Who left after the last flush is still a member in the saved rings; it is left out here, and the first flush sees to the rest.
                if (!peers.IsAlive(slot))
                    continue;
                int body = world.Embody(slot, peers.Ground(slot));
                world.Announced[body] = id;
                if (index < 0)
                    index = world.RestoreIsland(id, body);
                else
                    world.Append(index, body);
                world.PeerCount++;
            }
            if (index >= 0)
                world.Islands[index].FedAt = fedAt;
        }
        world.EndRestoring();
    }

    private readonly struct Writer(IBufferWriter<byte> destination)
    {
        public void UInt32(uint value)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(destination.GetSpan(sizeof(uint)), value);
            destination.Advance(sizeof(uint));
        }

        public void Int32(int value) => UInt32((uint)value);

        public void Int64(long value)
        {
            BinaryPrimitives.WriteInt64LittleEndian(destination.GetSpan(sizeof(long)), value);
            destination.Advance(sizeof(long));
        }

        public void Single(float value) => UInt32(BitConverter.SingleToUInt32Bits(value));

        public void Double(double value) => Int64(BitConverter.DoubleToInt64Bits(value));

        public void Bytes(ReadOnlySpan<byte> bytes) => destination.Write(bytes);
    }

    private ref struct Reader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> rest = bytes;

        public readonly int Left => rest.Length;

        public readonly ReadOnlySpan<byte> Rest => rest;

        public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(sizeof(uint)));

        public int Int32() => (int)UInt32();

        public long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Take(sizeof(long)));

        public float Single() => BitConverter.UInt32BitsToSingle(UInt32());

        public double Double() => BitConverter.Int64BitsToDouble(Int64());

        private ReadOnlySpan<byte> Take(int count)
        {
            if (rest.Length < count)
                throw new FormatException("The saved state is cut short.");
            ReadOnlySpan<byte> taken = rest[..count];
            rest = rest[count..];
            return taken;
        }
    }
}
