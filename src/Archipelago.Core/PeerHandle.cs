namespace Archipelago.Core;

/// <summary>
/// Names one peer of one engine from <see cref="IslandEngine.Add"/> to <see cref="IslandEngine.Remove"/>.
/// A slot number alone would be reused; the generation makes a handle of a removed peer refused, never mistaken for its successor.
/// The default value names nobody. Handles of one engine mean nothing to another.
/// </summary>
public readonly record struct PeerHandle
{
    /// <summary>A handle from its parts, as an embedder has saved them beside <see cref="IslandEngine.Save"/>. One that names nobody is refused like any stale one.</summary>
    /// <param name="slot">See <see cref="Slot"/>.</param>
    /// <param name="generation">See <see cref="Generation"/>.</param>
    public PeerHandle(int slot, uint generation)
    {
        Slot = slot;
        Generation = generation;
    }

    /// <summary>Position of the peer in tables as wide as <see cref="IslandEngine.SlotCount"/>; embedders may index their own per-peer columns with it.</summary>
    public int Slot { get; }

    /// <summary>How often the slot has been handed out, from 1; 0 in the default handle.</summary>
    public uint Generation { get; }

    /// <summary>Text for logs, such as <c>peer 7.1</c>.</summary>
    public override string ToString() => Generation == 0 ? "no peer" : $"peer {Slot}.{Generation}";
}
