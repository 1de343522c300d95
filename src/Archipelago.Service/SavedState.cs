using System.Text;
using Archipelago.Core;
using Archipelago.Protocol;

namespace Archipelago.Service;

/// <summary>A peer of a saved state.</summary>
/// <param name="Address">Its address.</param>
/// <param name="Handle">Its name in the engine.</param>
/// <param name="Session">The session that it has; null when nobody said.</param>
internal readonly record struct SavedPeer(string Address, PeerHandle Handle, SessionStamp? Session);

/// <summary>
/// What a Service needs to go on where another stopped: the engine with its islands, what island ids begin with, and which address each peer has. Written
/// when the Service stops, taken (and removed, since it is true only once) when it starts; and sent to a standby when it joins.
/// </summary>
/// <param name="IdPrefix">What island ids began with, boot part included.</param>
/// <param name="Engine">The saved engine.</param>
/// <param name="Peers">Who is in it.</param>
internal sealed record SavedState(string IdPrefix, byte[] Engine, IReadOnlyList<SavedPeer> Peers)
{
    private const int Version = 2;

    /// <summary>Before sessions were saved.</summary>
    private const int OldestVersion = 1;

    private static ReadOnlySpan<byte> Magic => "ARCHSTAT"u8;

    /// <summary>Saves a world, between flushes; reports may go on.</summary>
    /// <exception cref="InvalidOperationException">A flush is running, or the engine follows another.</exception>
    public static SavedState Of(IslandWorld world)
    {
        // Who they are first: of somebody who is in the engine and not in the list the next flush tells.
        IReadOnlyList<SavedPeer> peers = world.Peers.ToList();
        var saved = new System.Buffers.ArrayBufferWriter<byte>();
        world.Engine.Save(saved);
        return new SavedState(world.Names.Prefix, saved.WrittenSpan.ToArray(), peers);
    }

    /// <summary>Writes the state, so that a crash in between leaves either the old file or the new.</summary>
    public void Write(string path)
    {
        string part = path + ".part";
        File.WriteAllBytes(part, ToBytes());
        File.Move(part, path, overwrite: true);
    }

    /// <summary>The state in its binary form.</summary>
    public byte[] ToBytes()
    {
        using var bytes = new MemoryStream();
        using (var writer = new BinaryWriter(bytes, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write(Magic);
            writer.Write(Version);
            writer.Write(IdPrefix);
            writer.Write(Peers.Count);
            foreach ((string address, PeerHandle handle, SessionStamp? session) in Peers)
            {
                writer.Write(address);
                writer.Write(handle.Slot);
                writer.Write(handle.Generation);
                writer.Write(session?.Began ?? 0);
                writer.Write(session?.Chance ?? 0);
            }
            writer.Write(Engine.Length);
            writer.Write(Engine);
        }
        return bytes.ToArray();
    }

    /// <summary>Takes the state away from its file; null when there is none.</summary>
    /// <exception cref="FormatException">The file is no saved state; it is left where it is.</exception>
    public static SavedState? Take(string path)
    {
        if (!File.Exists(path))
            return null;
        SavedState state = Read(File.ReadAllBytes(path));
        File.Delete(path);
        return state;
    }

    /// <summary>Reads the binary form.</summary>
    /// <exception cref="FormatException">It is no saved state.</exception>
    public static SavedState Read(byte[] bytes)
    {
        try
        {
            using var reader = new BinaryReader(new MemoryStream(bytes), Encoding.UTF8);
            if (!reader.ReadBytes(Magic.Length).AsSpan().SequenceEqual(Magic) || reader.ReadInt32() is var version && version is < OldestVersion or > Version)
                throw new FormatException("It is no state that this version of the Service has saved.");
            string prefix = reader.ReadString();
            int count = reader.ReadInt32();
            var peers = new List<SavedPeer>();
            for (int i = 0; i < count; i++)
            {
                string address = reader.ReadString();
                var handle = new PeerHandle(reader.ReadInt32(), reader.ReadUInt32());
                SessionStamp stamp = version > OldestVersion ? new SessionStamp(reader.ReadInt64(), reader.ReadUInt64()) : default;
                peers.Add(new SavedPeer(address, handle, stamp == default ? null : stamp));
            }
            byte[] engine = reader.ReadBytes(reader.ReadInt32());
            return new SavedState(prefix, engine, peers);
        }
        catch (Exception e) when (e is EndOfStreamException or ArgumentException or IOException)
        {
            throw new FormatException("It is cut short or damaged.", e);
        }
    }
}
