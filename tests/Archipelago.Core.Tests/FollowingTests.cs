using System.Buffers;

namespace Archipelago.Core.Tests;

[Collection("Heavy producers")]
public class FollowingTests
{
    private static byte[] Written(Action<IBufferWriter<byte>> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        write(buffer);
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>Now and then whoever leads dies and a follower takes its place, or never.</summary>
    private static List<string> Run(int seed, CrowdPolicy policy, bool dies)
    {
        var coin = new Random(seed + 1000);
        var people = new RestlessPeople(seed, policy);
        var engine = new IslandEngine(people.Rules);
        IslandEngine follower = IslandEngine.Follow(Written(engine.Save));
        var outcome = new List<string>();
        for (int tick = 0; tick < 100; tick++)
        {
            people.Stir(engine, follower);
            engine.FlushThreads = 1 + coin.Next(3);
            people.Flush(engine);
            outcome.Add(people.Picture(engine));
            if (coin.Next(10) == 0)
                follower = IslandEngine.Follow(Written(engine.Save)); // another one joins
            else
                Assert.True(follower.TryApplyDelta(Written(engine.SaveDelta)));
            Assert.Equal(engine.PeerCount, follower.PeerCount);
            Assert.Equal(engine.FlushCount, follower.FlushCount);
            if (coin.Next(3) > 0 || !dies)
                continue;
            follower.Lead();
            foreach (PeerHandle peer in people.Present)
                Assert.Equal(engine.MembersOf(peer).Island, follower.MembersOf(peer).Island);
            engine.Dispose();
            engine = follower;
            follower = IslandEngine.Follow(Written(engine.Save));
        }
        return outcome;
    }

    /// <summary>A follower that has taken over numbers bodies anew, and members of islands stand in another order, so this shows, too, that nothing depends on either.</summary>
    [Fact]
    public void However_often_a_follower_takes_over_the_outcome_is_the_same()
    {
        for (int seed = 0; seed < 60; seed++)
            Assert.Equal(Run(seed, CrowdPolicy.Plain, dies: false), Run(seed, CrowdPolicy.Plain, dies: true));
    }

    /// <summary>Who of a crowd is looked at in which flush hangs on the order of members, so not everything is the same here; but all that holds for islands holds (the engine looks for itself in debug builds).</summary>
    [Fact]
    public void Under_the_policy_for_crowds_a_follower_begins_with_the_same_islands()
    {
        for (int seed = 0; seed < 60; seed++)
            Run(seed, CrowdPolicy.Coherent, dies: true);
    }

    [Fact]
    public void A_crowd_at_rest_stays_at_rest_when_a_follower_takes_over()
    {
        using var leader = new IslandEngine(new IslandOptions { MaxIslandSize = 20, Crowds = CrowdPolicy.Coherent });
        var random = new Random(7);
        for (int i = 0; i < 300; i++)
            leader.Add(new Position(120 * random.NextSingle(), 0, 120 * random.NextSingle()));
        IslandEngine follower = IslandEngine.Follow(Written(leader.Save));
        for (int calm = 0; calm < 40;)
        {
            calm = leader.Flush().Changes.IsEmpty ? calm + 1 : 0;
            Assert.True(follower.TryApplyDelta(Written(leader.SaveDelta)));
        }
        follower.Lead();
        for (int flush = 0; flush < 20; flush++)
            Assert.Empty(follower.Flush().Changes.ToArray());
    }

    private static (IslandEngine Leader, IslandEngine Follower, List<PeerHandle> People) Pair(int people = 30)
    {
        var leader = new IslandEngine(new IslandOptions { MaxIslandSize = 10, Crowds = CrowdPolicy.Coherent });
        var handles = new List<PeerHandle>();
        var random = new Random(1);
        for (int i = 0; i < people; i++)
            handles.Add(leader.Add(new Position(300 * random.NextSingle(), 1, 300 * random.NextSingle())));
        leader.Flush();
        return (leader, IslandEngine.Follow(Written(leader.Save)), handles);
    }

    [Fact]
    public void A_follower_does_nothing_by_itself()
    {
        (IslandEngine leader, IslandEngine follower, List<PeerHandle> people) = Pair();
        Assert.True(follower.IsFollowing);
        Assert.False(leader.IsFollowing);
        Assert.True(follower.Move(people[0], default));
        Assert.False(follower.HasNewcomers);
        foreach (Action act in (Action[])[() => follower.Add(default), () => follower.Remove(people[0]), () => follower.Flush(), () => follower.FlushNewcomers(), follower.PublishSnapshot, () => follower.Save(new ArrayBufferWriter<byte>()), () => follower.SaveDelta(new ArrayBufferWriter<byte>())])
            Assert.Contains("call Lead", Assert.Throws<InvalidOperationException>(act).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => leader.Lead());
        Assert.Throws<InvalidOperationException>(() => leader.TryApplyDelta(default));
        follower.Lead();
        Assert.False(follower.IsFollowing);
        Assert.True(follower.Remove(people[0]));
        follower.Flush();
        Assert.Equal(people.Count - 1, follower.PeerCount);
    }

    [Fact]
    public void A_flush_that_is_missed_doubled_or_early_changes_nothing()
    {
        (IslandEngine leader, IslandEngine follower, List<PeerHandle> people) = Pair();
        var deltas = new List<byte[]>();
        for (int i = 0; i < 3; i++)
        {
            leader.Remove(people[i]);
            leader.Add(new Position(i, 0, 0));
            leader.Flush();
            deltas.Add(Written(leader.SaveDelta));
        }
        Assert.False(follower.TryApplyDelta(deltas[1]));
        Assert.True(follower.TryApplyDelta(deltas[0]));
        Assert.False(follower.TryApplyDelta(deltas[0]));
        Assert.False(follower.TryApplyDelta(deltas[2]));
        Assert.True(follower.TryApplyDelta(deltas[1]));
        Assert.True(follower.TryApplyDelta(deltas[2]));
        Assert.False(follower.Move(people[2], default));
        Assert.True(follower.Move(people[3], default));
    }

    [Fact]
    public void Numbers_of_islands_that_nobody_heard_of_are_left_out()
    {
        (_, IslandEngine follower, List<PeerHandle> people) = Pair();
        follower.Lead();
        follower.SkipIdsTo(1000);
        follower.SkipIdsTo(10);
        PeerHandle far = follower.Add(new Position(10_000, 0, 0));
        IslandChange change = Assert.Single(follower.Flush().Changes.ToArray(), c => c.Peer == far);
        Assert.True(change.To.Value > 1000);
    }

    [Fact]
    public void Damaged_deltas_are_refused_whole()
    {
        (IslandEngine leader, IslandEngine first, List<PeerHandle> people) = Pair(60);
        byte[] saved = Written(leader.Save);
        foreach (PeerHandle peer in people.Take(3))
            leader.Remove(peer);
        for (int i = 0; i < 5; i++)
            leader.Add(new Position(i, 0, 0));
        foreach (PeerHandle peer in people.Skip(3))
            leader.Move(peer, new Position(peer.Slot, 0, 0));
        leader.Flush();
        byte[] delta = Written(leader.SaveDelta);
        Assert.Throws<FormatException>(() => first.TryApplyDelta("not a delta at all"u8));
        for (int length = 0; length < delta.Length; length++)
            Assert.Throws<FormatException>(() => first.TryApplyDelta(delta.AsSpan(0, length)));
        byte[] newer = [.. delta];
        newer[4] = 2;
        Assert.Contains("version 2", Assert.Throws<FormatException>(() => first.TryApplyDelta(newer)).Message, StringComparison.Ordinal);
        Assert.True(first.TryApplyDelta(delta));
        for (int length = 0; length < saved.Length; length++)
            Assert.Throws<FormatException>(() => IslandEngine.Follow(saved.AsSpan(0, length)));

        var random = new Random(5);
        for (int i = 0; i < 2000; i++)
        {
            byte[] damaged = [.. delta], state = [.. saved];
            damaged[random.Next(8, damaged.Length)] ^= (byte)(1 << random.Next(8));
            if (i % 4 == 0)
                state[random.Next(8, state.Length)] ^= (byte)(1 << random.Next(8));
            try
            {
                using IslandEngine follower = IslandEngine.Follow(state);
                follower.TryApplyDelta(damaged);
                follower.Lead();
                for (int flush = 0; flush < 3; flush++)
                    follower.Flush();
            }
            catch (FormatException)
            {
                // Refused; what is accepted must at least be a world that can be flushed.
            }
        }
    }

    /// <summary>A leader is saved while its producers go on, and a follower takes reports while it applies.</summary>
    [Fact]
    public async Task Producers_go_on_while_a_leader_is_saved_and_a_follower_applies()
    {
        (IslandEngine leader, _, List<PeerHandle> people) = Pair(500);
        IslandEngine follower = IslandEngine.Follow(Written(leader.Save));
        IslandEngine following = follower;
        using var ending = new CancellationTokenSource();
        Task[] producers = [.. Enumerable.Range(0, 2).Select(seed => Task.Run(() =>
        {
            var random = new Random(seed);
            var mine = new List<PeerHandle>();
            while (!ending.IsCancellationRequested)
            {
                var at = new Position(300 * random.NextSingle(), 0, 300 * random.NextSingle());
                PeerHandle mover = people[random.Next(people.Count)];
                leader.Move(mover, at);
                Volatile.Read(ref following).Move(mover, at);
                if (random.Next(3) == 0)
                    mine.Add(leader.Add(at));
                if (mine.Count > 50)
                {
                    Assert.True(leader.Remove(mine[0]));
                    Volatile.Read(ref following).Move(mine[0], new Position(9000, 0, 9000));
                    mine.RemoveAt(0);
                }
            }
        }))];
        for (int flush = 0; flush < 100; flush++)
        {
            if (flush % 3 == 0)
                leader.FlushNewcomers();
            else
                leader.Flush();
            if (flush % 10 == 0)
            {
                // Without those who have left since the flush.
                Volatile.Write(ref following, follower = IslandEngine.Follow(Written(leader.Save)));
                continue;
            }
            Assert.True(follower.TryApplyDelta(Written(leader.SaveDelta)));
            // Who was just leaving when it was saved, one a producer at most, may be counted there for one flush more.
            Assert.InRange(follower.PeerCount, leader.PeerCount - producers.Length, leader.PeerCount);
        }
        await ending.CancelAsync();
        await Task.WhenAll(producers);
        leader.Flush();
        Assert.True(follower.TryApplyDelta(Written(leader.SaveDelta)));
        leader.PublishSnapshot();
        follower.Lead();
        using IslandSnapshot there = leader.AcquireSnapshot();
        foreach (ref readonly IslandMember member in there.Members)
        {
            Assert.True(follower.Contains(member.Peer));
            Assert.Equal(leader.MembersOf(member.Peer).Island, follower.MembersOf(member.Peer).Island);
        }
        Assert.Equal(leader.PeerCount, follower.PeerCount);
        follower.Flush();
    }

    [Fact]
    public void A_delta_costs_nothing_but_its_bytes()
    {
        (IslandEngine leader, _, List<PeerHandle> people) = Pair(300);
        var random = new Random(2);
        var buffer = new ArrayBufferWriter<byte>(1 << 20);
        void Tick()
        {
            foreach (PeerHandle peer in people)
                leader.Move(peer, new Position(300 * random.NextSingle(), 0, 300 * random.NextSingle()));
            leader.Flush();
            buffer.ResetWrittenCount();
            leader.SaveDelta(buffer);
        }
        for (int i = 0; i < 200; i++)
            Tick();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
            leader.SaveDelta(Reset(buffer));
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        static ArrayBufferWriter<byte> Reset(ArrayBufferWriter<byte> buffer)
        {
            buffer.ResetWrittenCount();
            return buffer;
        }
    }
}
