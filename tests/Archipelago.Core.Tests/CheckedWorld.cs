
namespace Archipelago.Core.Tests;

/// <summary>
/// An engine with its own record of what was reported and announced, which after every flush checks all that the rules promise.
/// </summary>
internal sealed class CheckedWorld(IslandOptions rules) : IDisposable
{
    private readonly Dictionary<PeerHandle, Position> reported = [];
    private readonly Dictionary<PeerHandle, IslandId> announced = [];
    private Dictionary<IslandId, HashSet<PeerHandle>> before = [];
    private readonly HashSet<IslandId> everSeen = [];
    private IslandOptions current = rules;

    public IslandEngine Engine { get; } = new(rules);

    public List<PeerHandle> Peers { get; } = [];

    private readonly Dictionary<PeerHandle, int> names = [];

    /// <summary>A name that does not depend on the slot, which is given again when no thread of this process can still be at work in it: other tests' threads among them.</summary>
    public int NameOf(PeerHandle peer) => names[peer];

    public IReadOnlyDictionary<PeerHandle, IslandId> Announced => announced;

    public void Dispose() => Engine.Dispose();

    public PeerHandle Add(float x, float z, IslandId preferred = default)
    {
        var position = new Position(x, 1, z);
        PeerHandle peer = Engine.Add(position, preferred);
        Assert.True(reported.TryAdd(peer, position), "a handle is never given out twice");
        Peers.Add(peer);
        names[peer] = names.Count;
        return peer;
    }

    public void Move(PeerHandle peer, float x, float z)
    {
        var position = new Position(x, 2, z);
        Assert.True(Engine.Move(peer, position));
        reported[peer] = position;
    }

    public Position PositionOf(PeerHandle peer) => reported[peer];

    public void Remove(PeerHandle peer)
    {
        Assert.True(Engine.Remove(peer));
        Assert.False(Engine.Move(peer, default), "a removed peer's handle is refused");
        reported.Remove(peer);
        announced.Remove(peer);
        Peers.Remove(peer);
    }

    /// <summary>Takes effect at the next flush of everything, which is made at once, so that checks know which rules hold.</summary>
    public void SetRules(IslandOptions options)
    {
        Engine.Options = current = options;
        Flush();
    }

    /// <summary>Flushes and checks; returns the changes. The number of threads changes from flush to flush, since nothing may depend on it.</summary>
    public IslandChange[] Flush()
    {
        Engine.FlushThreads = (Engine.FlushThreads % 3) + 1;
        IslandChange[] changes = Engine.Flush().Changes.ToArray();
        Engine.PublishSnapshot();
        using IslandSnapshot snapshot = Engine.AcquireSnapshot();
        CheckMembership(snapshot);
        CheckChanges(changes, snapshot);
        Oracle.AssertInvariants(snapshot, current);
        CheckOrigins(snapshot);
        return changes;
    }

    /// <summary>
    /// Lets a crowd come to rest: nobody moves, and within a bounded number of flushes nobody is moved any more. Changes are followed, and everything else is checked at the end.
    /// </summary>
    public void Settle()
    {
        int quiet = 0;
        for (int flushes = 0; quiet < QuietFor; flushes++)
        {
            Assert.True(flushes < RestsWithin, $"{RestsWithin} flushes in which nobody walked, and people are still being moved");
            IslandChange[] changes = Engine.Flush().Changes.ToArray();
            quiet = changes.Length == 0 ? quiet + 1 : 0;
            foreach (IslandChange change in changes)
                announced[change.Peer] = change.To;
        }
        Engine.PublishSnapshot();
        using (IslandSnapshot snapshot = Engine.AcquireSnapshot())
            foreach (IslandInfo island in snapshot.Islands)
                before[island.Id] = [.. snapshot.MembersOf(island).ToArray().Select(m => m.Peer)];
        foreach (IslandId seen in before.Keys)
            everSeen.Add(seen);
        AssertCalm();
    }

    /// <summary>Longer than the policy remembers anything, or takes to ask for less.</summary>
    private const int QuietFor = 120;

    private const int RestsWithin = 1000;

    /// <summary>Flushes newcomers and checks that they alone are placed, next to people where those are now.</summary>
    public IslandChange[] FlushNewcomers()
    {
        PeerHandle[] waiting = [.. Peers.Where(p => !announced.ContainsKey(p))];
        IslandChange[] changes = Engine.FlushNewcomers().Changes.ToArray();
        Assert.Equal(waiting.Order(BySlot), changes.Select(c => c.Peer).Order(BySlot));
        Engine.PublishSnapshot();
        using IslandSnapshot snapshot = Engine.AcquireSnapshot();
        CheckMembership(snapshot);
        CheckChanges(changes, snapshot);
        CheckOrigins(snapshot, moved: false);
        IslandInfo[] islands = snapshot.Islands.ToArray();
        var known = waiting.ToHashSet();
        foreach (IslandInfo island in islands)
        {
            IslandMember[] members = snapshot.MembersOf(island).ToArray();
            if (!members.All(m => known.Contains(m.Peer)))
                continue;
            foreach (IslandInfo other in islands)
                if (other.Id != island.Id && other.Count + island.Count <= current.MaxIslandSize)
                    Assert.False(
                        snapshot.MembersOf(other).ToArray().Any(o => members.Any(m => Oracle.Near(o.Position, m.Position, current.JoinDistance))),
                        $"newcomers of {island.Id} touch {other.Id} and fit but stay apart");
        }
        return changes;
    }

    private static readonly IComparer<PeerHandle> BySlot = Comparer<PeerHandle>.Create((a, b) => a.Slot.CompareTo(b.Slot));

    /// <summary>Flushes again and requires that nothing happens.</summary>
    public void AssertCalm() => Assert.Empty(Flush());

    private void CheckMembership(IslandSnapshot snapshot)
    {
        Assert.Equal(reported.Count, snapshot.Members.Length);
        foreach (IslandMember member in snapshot.Members)
            Assert.Equal(reported[member.Peer], member.Position);
        foreach (PeerHandle peer in Peers)
        {
            Assert.True(snapshot.TryFindIsland(peer, out IslandInfo island));
            Assert.Contains(peer, snapshot.MembersOf(island).ToArray().Select(m => m.Peer));
        }
    }

    private void CheckChanges(IslandChange[] changes, IslandSnapshot snapshot)
    {
        Assert.Equal(changes.Length, changes.Select(c => c.Peer).Distinct().Count());
        foreach (IslandChange change in changes)
        {
            Assert.Equal(announced.GetValueOrDefault(change.Peer), change.From);
            Assert.NotEqual(change.From, change.To);
            Assert.Equal(change.From.IsNone, change.Cause == IslandChangeCause.Newcomer);
            announced[change.Peer] = change.To;
        }
        foreach (PeerHandle peer in Peers)
        {
            Assert.True(snapshot.TryFindIsland(peer, out IslandInfo island));
            Assert.Equal(announced[peer], island.Id);
        }
    }

    /// <summary>Ids are dense, no merge went over the cap, and who keeps an id follows the rules wherever they leave no choice.</summary>
    private void CheckOrigins(IslandSnapshot snapshot, bool moved = true)
    {
        var now = new Dictionary<IslandId, HashSet<PeerHandle>>();
        foreach (IslandInfo island in snapshot.Islands)
            now[island.Id] = [.. snapshot.MembersOf(island).ToArray().Select(m => m.Peer)];

        foreach ((IslandId id, HashSet<PeerHandle> members) in now)
        {
            everSeen.Add(id);
            if (members.Count > current.MaxIslandSize)
                Assert.True(before.Values.Any(members.IsSubsetOf), "an island above a lowered cap is what is left of one");
        }
        Assert.Equal(everSeen.Count, everSeen.Count == 0 ? 0 : everSeen.Max(i => i.Value));

        if (moved)
            foreach ((IslandId id, HashSet<PeerHandle> members) in before)
                CheckKeeper(id, members, now);
        before = now;
    }

    /// <summary>An island whose people touched nobody else: its largest part must still carry the id.</summary>
    private void CheckKeeper(IslandId id, HashSet<PeerHandle> members, Dictionary<IslandId, HashSet<PeerHandle>> now)
    {
        PeerHandle[] present = [.. members.Where(reported.ContainsKey)];
        if (present.Length == 0)
        {
            Assert.DoesNotContain(id, now.Keys);
            return;
        }
        bool alone = !reported.Any(o => !members.Contains(o.Key) && present.Any(p => Oracle.Near(o.Value, reported[p], current.JoinDistance)));
        if (!alone)
            return;
        List<List<int>> parts = Oracle.Components([.. present.Select(p => reported[p])], current.LeaveDistance);
        int largest = parts.Max(p => p.Count);
        if (parts.Count(p => p.Count == largest) > 1)
            return;
        PeerHandle[] keeper = [.. parts.Single(p => p.Count == largest).Select(i => present[i])];
        Assert.True(now.TryGetValue(id, out HashSet<PeerHandle>? kept) && keeper.All(kept.Contains), $"the largest part keeps {id}");
    }
}
