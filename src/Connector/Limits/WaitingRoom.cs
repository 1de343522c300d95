using System.Net;

namespace Archipelago.Connector;

/// <summary>
/// The connections that have not proved an address yet: so many and no more. When one more comes, the oldest of the most populous address prefix (IPv4 /32,
/// IPv6 /64) makes room, so that nobody shuts the door for others by opening many. Connections of loopback and of trusted proxies say nothing about who is
/// behind them: each counts as a prefix of its own. Any thread.
/// </summary>
/// <param name="capacity">How many may wait.</param>
/// <param name="isAnonymous">True for addresses that are no prefix.</param>
/// <param name="overflowed">Told of each that is too many, whether it has to go or not.</param>
internal sealed class WaitingRoom(Limit capacity, Func<IPAddress, bool> isAnonymous, Action overflowed)
{
    /// <summary>One connection's place; it is given up once, by leaving or by being sent away.</summary>
    public sealed class Place
    {
        internal Place(WaitingRoom room, Action sendAway)
        {
            Room = room;
            SendAway = sendAway;
        }

        private WaitingRoom Room { get; }

        internal Action SendAway { get; set; }

        internal Group? Group { get; set; }

        internal LinkedListNode<Place>? Node { get; set; }

        internal long Number { get; set; }

        /// <summary>The connection now knows better where it comes from, and how it is to be sent away; it counts as just arrived.</summary>
        /// <returns>False when it has been sent away already.</returns>
        public bool Move(IPAddress? from, Action sendAway) => Room.Move(this, from, sendAway);

        /// <summary>Gives the place up.</summary>
        public void Leave() => Room.Leave(this);
    }

    /// <summary>Those of one prefix, the oldest first.</summary>
    internal sealed class Group(UInt128 key)
    {
        public UInt128 Key => key;

        public LinkedList<Place> Members { get; } = new();
    }

    private static readonly Comparer<Group> MostPopulous = Comparer<Group>.Create(static (a, b) =>
    {
        int byCount = b.Members.Count.CompareTo(a.Members.Count);
        return byCount != 0 ? byCount : a.Members.First!.Value.Number.CompareTo(b.Members.First!.Value.Number);
    });

    private readonly Lock changing = new();
    private readonly Dictionary<UInt128, Group> groups = [];

    // A group is taken out before it changes and put back after, or its order would be wrong.
    private readonly SortedSet<Group> order = new(MostPopulous);
    private long numbers;
    private int count;

    /// <summary>How many wait.</summary>
    public int Count => Volatile.Read(ref count);

    /// <summary>Takes a place for a new connection; somebody else may have to go for it.</summary>
    /// <param name="from">Where it comes from; null when nobody knows.</param>
    /// <param name="sendAway">Called, on the thread of the one who came too many, when this connection has to go.</param>
    public Place Enter(IPAddress? from, Action sendAway)
    {
        var place = new Place(this, sendAway);
        Place? victim;
        lock (changing)
        {
            Insert(place, from);
            victim = MakeRoom();
        }
        victim?.SendAway();
        return place;
    }

    private bool Move(Place place, IPAddress? from, Action sendAway)
    {
        lock (changing)
        {
            if (place.Group is null)
                return false;
            Remove(place);
            place.SendAway = sendAway;
            Insert(place, from);
            return true;
        }
    }

    private void Leave(Place place)
    {
        lock (changing)
            if (place.Group is not null)
                Remove(place);
    }

    private Place? MakeRoom()
    {
        if (count <= capacity.Threshold)
            return null;
        overflowed();
        if (!capacity.IsEnforced)
            return null;
        Place victim = order.Min!.Members.First!.Value;
        Remove(victim);
        return victim;
    }

    private void Insert(Place place, IPAddress? from)
    {
        place.Number = ++numbers;
        UInt128 key = from is null || isAnonymous(from) ? new UInt128(ulong.MaxValue, (ulong)place.Number) : Prefix(from);
        if (groups.TryGetValue(key, out Group? group))
            order.Remove(group);
        else
            groups[key] = group = new Group(key);
        place.Group = group;
        place.Node = group.Members.AddLast(place);
        order.Add(group);
        Volatile.Write(ref count, count + 1);
    }

    private void Remove(Place place)
    {
        Group group = place.Group!;
        order.Remove(group);
        group.Members.Remove(place.Node!);
        if (group.Members.Count > 0)
            order.Add(group);
        else
            groups.Remove(group.Key);
        place.Group = null;
        Volatile.Write(ref count, count - 1);
    }

    /// <summary>IPv4 addresses whole, behind ::ffff:0:0/96 where no IPv6 network is; the first 64 bits of an IPv6 address.</summary>
    internal static UInt128 Prefix(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        if (address.IsIPv4MappedToIPv6)
            address = address.MapToIPv4();
        address.TryWriteBytes(bytes, out int length);
        return length == 4
            ? new UInt128(0, 0xFFFF_0000_0000UL | System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(bytes))
            : new UInt128(System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(bytes), 0);
    }
}
