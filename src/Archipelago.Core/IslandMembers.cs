using Archipelago.Core.Internals;

namespace Archipelago.Core;

/// <summary>
/// The members of one island as of the last flush of either kind, read where the engine keeps them; see <see cref="IslandEngine.MembersOf"/>. Valid until
/// the next flush begins, on the flushing thread alone.
/// </summary>
public readonly ref struct IslandMembers
{
    private readonly World? world;
    private readonly PeerTable peers;
    private readonly int index;

    internal IslandMembers(World world, PeerTable peers, int index)
    {
        this.world = world;
        this.peers = peers;
        this.index = index;
    }

    /// <summary>The island; <see cref="IslandId.None"/> when the peer is in none.</summary>
    public IslandId Island => world is null ? IslandId.None : new IslandId(world.Islands[index].Id);

    /// <summary>Members.</summary>
    public int Count => world is null ? 0 : world.Islands[index].Count;

    /// <summary>Goes through the members, each once, in the order in which they came to the island.</summary>
    public Enumerator GetEnumerator() => new(world, peers, world is null ? -1 : world.Islands[index].First);

    /// <summary>Goes through the members.</summary>
    public ref struct Enumerator
    {
        private readonly World? world;
        private readonly PeerTable peers;
        private readonly int first;
        private int body;

        internal Enumerator(World? world, PeerTable peers, int first)
        {
            this.world = world;
            this.peers = peers;
            this.first = first;
            body = -1;
        }

        /// <summary>The present member; its y may be one report younger than the flush.</summary>
        public readonly IslandMember Current
        {
            get
            {
                int slot = world!.Map.SlotOf(body);
                Point at = world.At(body);
                return new IslandMember(new PeerHandle(slot, peers.Generation(slot)), new Position(at.X, peers.Height(slot), at.Z));
            }
        }

        /// <summary>Goes on to the next; false after the last.</summary>
        public bool MoveNext()
        {
            if (first < 0)
                return false;
            if (body < 0)
            {
                body = first;
                return true;
            }
            body = world!.Bodies[body].Next;
            return body != first;
        }
    }
}
