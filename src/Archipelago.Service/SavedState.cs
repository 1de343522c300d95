using System.Text;
using Archipelago.Core;

namespace Archipelago.Service;

/// <summary>
/// What a Service needs to go on where another stopped: the engine with its islands, what island ids begin with, and which address each peer has. Written
/// when the Service stops, taken (and removed, since it is true only once) when it starts.
/// </summary>
/// <param name="IdPrefix">What island ids began with, boot part included.</param>
/// <param name="Engine">The saved engine.</param>
/// <param name="Peers">Addresses and handles.</param>
internal sealed record SavedState(string IdPrefix, byte[] Engine, IReadOnlyList<(string Address, PeerHandle Handle)> Peers)
{
    private const int Version = 1;

    private static ReadOnlySpan<byte> Magic => "ARCHSTAT"u8;

    /// <summary>Writes the state, so that a crash in between leaves either the old file or the new.</summary>
    public void Write(string path)
    {
        using var bytes = new MemoryStream();
        using (var writer = new BinaryWriter(bytes, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write(Magic);
            writer.Write(Version);
            writer.Write(IdPrefix);
            writer.Write(Peers.Count);
            foreach ((string address, PeerHandle handle) in Peers)
            {
                writer.Write(address);
                writer.Write(handle.Slot);
                writer.Write(handle.Generation);
            }
            writer.Write(Engine.Length);
            writer.Write(Engine);
        }
        string part = path + ".part";
        File.WriteAllBytes(part, bytes.ToArray());
        File.Move(part, path, overwrite: true);
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

    private static SavedState Read(byte[] bytes)
    {
        try
        {
            using var reader = new BinaryReader(new MemoryStream(bytes), Encoding.UTF8);
            if (!reader.ReadBytes(Magic.Length).AsSpan().SequenceEqual(Magic) || reader.ReadInt32() != Version)
                throw new FormatException("It is no state that this version of the Service has saved.");
            string prefix = reader.ReadString();
            int count = reader.ReadInt32();
            var peers = new List<(string, PeerHandle)>();
            for (int i = 0; i < count; i++)
                peers.Add((reader.ReadString(), new PeerHandle(reader.ReadInt32(), reader.ReadUInt32())));
            byte[] engine = reader.ReadBytes(reader.ReadInt32());
            return new SavedState(prefix, engine, peers);
        }
        catch (Exception e) when (e is EndOfStreamException or ArgumentException or IOException)
        {
            throw new FormatException("It is cut short or damaged.", e);
        }
    }
}
