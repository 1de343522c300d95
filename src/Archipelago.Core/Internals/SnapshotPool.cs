namespace Archipelago.Core.Internals;

/// <summary>
/// Hands out the newest snapshot to any number of readers while the flush fills the next one.
/// </summary>
/// <remarks>
/// The flush fills a snapshot nobody holds (references 0), gives it one reference of its own, makes it current by a release store and drops
/// its reference to the one before. A reader loads the current one and adds a reference only while there is at least one: so what it holds is whole, for nothing is filled that anybody
/// holds. Then it checks that this is still current, lest it go on with an old one that somebody else keeps alive, and else lets go and tries again. Readers are lock-free, the flush
/// never waits: when every snapshot is held by readers it allocates one more.
/// </remarks>
internal sealed class SnapshotPool
{
    private IslandSnapshot[] all;
    private IslandSnapshot current;

    public SnapshotPool()
    {
        current = new IslandSnapshot();
        current.Publish();
        all = [current, new IslandSnapshot(), new IslandSnapshot()];
    }

    /// <summary>Snapshots in existence: three, and one more for each time that readers held them all.</summary>
    public int Count => all.Length;

    public IslandSnapshot Acquire()
    {
        while (true)
        {
            Interleaving.Step("reads which is current");
            IslandSnapshot snapshot = Volatile.Read(ref current);
            if (!snapshot.TryAddReference())
                continue;
            Interleaving.Step("looks whether it is still current");
            if (ReferenceEquals(snapshot, Volatile.Read(ref current)))
                return snapshot;
            snapshot.Dispose();
        }
    }

    /// <summary>One that nobody holds, for the flush to fill.</summary>
    public IslandSnapshot TakeFree()
    {
        foreach (IslandSnapshot snapshot in all)
            if (snapshot.IsFree)
                return snapshot;
        var extra = new IslandSnapshot();
        all = [.. all, extra];
        return extra;
    }

    public void Publish(IslandSnapshot filled)
    {
        Interleaving.Step("lets it be leased");
        filled.Publish();
        IslandSnapshot previous = current;
        Interleaving.Step("makes it current");
        Volatile.Write(ref current, filled);
        previous.Dispose();
    }
}
