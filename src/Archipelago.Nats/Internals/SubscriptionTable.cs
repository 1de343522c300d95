namespace Archipelago.Nats.Internals;

/// <summary>
/// Subscriptions by the number that the server sends with each message. A number is a place in the table and how often that place was used before, so
/// that a late message never reaches the successor of the one that it was meant for.
/// </summary>
/// <remarks>Changed under the outbox's gate; <see cref="Find"/> reads without a lock: entries are replaced, never changed, and so is the array.</remarks>
internal sealed class SubscriptionTable
{
    private const int PlaceBits = 20;

    private NatsSubscription?[] places = new NatsSubscription?[16];
    private readonly Stack<int> free = new();
    private readonly List<int> uses = [];

    public NatsSubscription? Find(long id)
    {
        NatsSubscription?[] table = Volatile.Read(ref places);
        long place = id & ((1 << PlaceBits) - 1);
        if (place >= table.Length)
            return null;
        NatsSubscription? found = Volatile.Read(ref table[place]);
        return found is not null && found.Id == id ? found : null;
    }

    /// <summary>Adds what <paramref name="make"/> makes of the new number.</summary>
    public NatsSubscription Add(Func<long, NatsSubscription> make)
    {
        if (!free.TryPop(out int place))
        {
            place = uses.Count;
            uses.Add(0);
            if (place >= 1 << PlaceBits)
                throw new InvalidOperationException("A connection holds at most a million subscriptions.");
            if (place >= places.Length)
            {
                var larger = new NatsSubscription?[places.Length * 2];
                places.CopyTo(larger, 0);
                Volatile.Write(ref places, larger);
            }
        }
        NatsSubscription subscription = make(((long)++uses[place] << PlaceBits) | (uint)place);
        Volatile.Write(ref places[place], subscription);
        return subscription;
    }

    public bool Remove(NatsSubscription subscription)
    {
        if (Find(subscription.Id) is null)
            return false;
        int place = (int)(subscription.Id & ((1 << PlaceBits) - 1));
        Volatile.Write(ref places[place], null);
        free.Push(place);
        return true;
    }

    /// <summary>All there are.</summary>
    public IEnumerable<NatsSubscription> All => places.OfType<NatsSubscription>();
}
