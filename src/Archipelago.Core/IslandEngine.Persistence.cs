using System.Buffers;
using System.Buffers.Binary;

namespace Archipelago.Core;

/// <content>Saving and restoring the whole state.</content>
public sealed partial class IslandEngine
{
    private const uint Magic = 0x454C5349; // "ISLE", little-endian
    private const int FormatVersion = 1;

    /// <summary>
    /// Writes the whole state: rules, peers with their handles, islands with their numbers, what was announced, and what was reported since the last
    /// flush. Producers and flushes must be at rest meanwhile. The format is versioned and little-endian.
    /// </summary>
    /// <exception cref="InvalidOperationException">A flush is running.</exception>
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
        if (reader.UInt32() != Magic)
            throw new FormatException("These bytes are no saved state of an island engine.");
        int version = reader.Int32();
        if (version != FormatVersion)
            throw new FormatException($"The state was saved in version {version} of the format; this engine reads version {FormatVersion}.");
        var rules = new IslandOptions { JoinDistance = reader.Double(), LeaveDistance = reader.Double(), MaxIslandSize = reader.Int32() };
        try
        {
            var engine = new IslandEngine(rules);
            engine.ReadState(ref reader);
            return engine;
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
    }

    private void WriteIslands(Writer writer)
    {
        Span<int> order = IslandsByAge();
        writer.Int32(order.Length);
        foreach (int index in order)
        {
            writer.Int64(world.Islands[index].Id);
            writer.Int32(world.Islands[index].Count);
            int first = world.Islands[index].First, body = first;
            do
            {
                writer.Int32(world.Map.SlotOf(body));
                body = world.Bodies[body].Next;
            }
            while (body != first);
        }
    }

    private void ReadState(ref Reader reader)
    {
        flushes = reader.Int64();
        world.LastId = reader.Int64();
        long addCounter = reader.Int64();
        int slots = reader.Int32();
        if (slots < 0 || slots > reader.Left / sizeof(uint))
            throw new FormatException("The saved state is cut short.");
        world.EnsureCapacity(slots);
        world.Map.EnsureSlots(slots);
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
            peers.Restore(slot, state >> 1, position, reader.Int64(), reader.Int64());
        }
        peers.AddCounter = addCounter;
        ReadIslands(ref reader, slots);
        // Trees and circles are not saved: the first flush of everything draws them. Until then newcomers must find who is there.
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

    private void ReadIslands(ref Reader reader, int slots)
    {
        int islands = reader.Int32();
        for (int i = 0; i < islands; i++)
        {
            long id = reader.Int64();
            int count = reader.Int32(), index = -1;
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
    }

    private ref struct Reader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> rest = bytes;

        public readonly int Left => rest.Length;

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
