using System.Buffers;

namespace Archipelago.Core.Tests;

public class PersistenceTests
{
    private static byte[] Save(IslandEngine engine)
    {
        var buffer = new ArrayBufferWriter<byte>();
        engine.Save(buffer);
        return buffer.WrittenSpan.ToArray();
    }

    private static string Picture(IslandEngine engine)
    {
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        return string.Join(" | ", snapshot.Islands.ToArray().Select(i => $"{i.Id}: {string.Join(",", snapshot.MembersOf(i).ToArray().Select(m => $"{m.Peer}@{m.Position}").Order())}"));
    }

    [Theory]
    [InlineData(CrowdPolicy.Plain)]
    [InlineData(CrowdPolicy.Coherent)]
    public void What_is_restored_goes_on_as_if_nothing_had_happened(CrowdPolicy policy)
    {
        using var engine = new IslandEngine(new IslandOptions { MaxIslandSize = 7, JoinDistance = 60, LeaveDistance = 75, Crowds = policy });
        var random = new Random(3);
        var handles = new List<PeerHandle>();
        for (int i = 0; i < 80; i++)
            handles.Add(engine.Add(new Position(400 * random.NextSingle(), i, 400 * random.NextSingle()), new IslandId(i % 3)));
        engine.Flush();
        foreach (PeerHandle gone in handles.Take(5))
            engine.Remove(gone);
        engine.Flush();

        using IslandEngine restored = IslandEngine.Restore(Save(engine));
        Assert.Equal(engine.Options, restored.Options);
        Assert.Equal(Picture(engine), Picture(restored));
        Assert.False(restored.Move(handles[0], default));
        Assert.Equal(engine.Flush().Changes.ToArray(), restored.Flush().Changes.ToArray());
        for (int tick = 0; tick < 30; tick++)
        {
            foreach (PeerHandle peer in handles.Skip(5))
            {
                var to = new Position(400 * random.NextSingle(), 0, 400 * random.NextSingle());
                Assert.True(engine.Move(peer, to));
                Assert.True(restored.Move(peer, to));
            }
            Assert.Equal(
                engine.Flush().Changes.ToArray().OrderBy(c => c.Peer.Slot),
                restored.Flush().Changes.ToArray().OrderBy(c => c.Peer.Slot));
        }
        Assert.Equal(Picture(engine), Picture(restored));
    }

    /// <summary>The engine is saved and restored now and then, or never.</summary>
    private static List<string> Run(int seed, CrowdPolicy policy, bool restores)
    {
        var coin = new Random(seed + 1000);
        var people = new RestlessPeople(seed, policy);
        var engine = new IslandEngine(people.Rules);
        var outcome = new List<string>();
        for (int tick = 0; tick < 100; tick++)
        {
            people.Stir(engine);
            if (coin.Next(3) == 0 && restores)
                engine = IslandEngine.Restore(Save(engine));
            people.Flush(engine);
            if (coin.Next(3) == 0 && restores)
                engine = IslandEngine.Restore(Save(engine));
            outcome.Add(people.Picture(engine));
        }
        return outcome;
    }

    /// <summary>A restored engine numbers bodies anew and draws circles anew, so this also shows that nothing depends on either.</summary>
    [Theory]
    [InlineData(CrowdPolicy.Plain)]
    [InlineData(CrowdPolicy.Coherent)]
    public void However_often_it_is_saved_and_restored_the_outcome_is_the_same(CrowdPolicy policy)
    {
        for (int seed = 0; seed < 60; seed++)
            Assert.Equal(Run(seed, policy, restores: false), Run(seed, policy, restores: true));
    }

    [Fact]
    public void What_was_reported_since_the_last_flush_is_kept()
    {
        using var engine = new IslandEngine();
        PeerHandle stays = engine.Add(default), leaves = engine.Add(default);
        engine.Flush();
        engine.Remove(leaves);
        engine.Move(stays, new Position(500, 0, 0));
        PeerHandle comes = engine.Add(new Position(500, 0, 10));
        using IslandEngine restored = IslandEngine.Restore(Save(engine));
        Assert.Equal([new IslandChange(comes, IslandId.None, new IslandId(1), IslandChangeCause.Newcomer)], restored.Flush().Changes.ToArray());
        Assert.Equal(comes, Assert.Single(engine.Flush().Changes.ToArray()).Peer);
        Assert.False(restored.Move(leaves, default));
        // Numbers and slots go on where they were.
        PeerHandle next = restored.Add(new Position(-500, 0, 0));
        Assert.NotEqual(leaves, next);
        Assert.Equal(new IslandId(2), Assert.Single(restored.Flush().Changes.ToArray()).To);
    }

    [Fact]
    public void A_state_from_before_there_were_policies_for_crowds_is_read()
    {
        using var engine = new IslandEngine();
        engine.Add(default);
        engine.Add(new Position(1, 2, 3));
        engine.Flush();
        byte[] saved = Save(engine);
        // Without the policy and its rate, the island's last arrival, and what the policy remembers.
        const int Rules = 28, Policy = 12, Remembered = 52, Members = 2 * sizeof(int);
        byte[] old = [.. saved[..Rules], .. saved[(Rules + Policy)..^(Remembered + Members + sizeof(int))], .. saved[^(Remembered + Members)..^Remembered]];
        old[4] = 1;
        using IslandEngine restored = IslandEngine.Restore(old);
        Assert.Equal(Picture(engine), Picture(restored));
        Assert.Equal(new IslandOptions(), restored.Options);
        Assert.Empty(restored.Flush().Changes.ToArray());
    }

    [Theory]
    [InlineData(CrowdPolicy.Plain)]
    [InlineData(CrowdPolicy.Coherent)]
    public void Damaged_bytes_are_refused_wherever_the_damage_is(CrowdPolicy policy)
    {
        using var engine = new IslandEngine(new IslandOptions { MaxIslandSize = 3, Crowds = policy });
        for (int i = 0; i < 10; i++)
        {
            engine.Add(new Position(i, 2, 3));
            engine.Flush();
        }
        byte[] saved = Save(engine);
        Assert.Throws<FormatException>(() => IslandEngine.Restore("not a state at all"u8));
        for (int length = 0; length < saved.Length; length++)
            Assert.Throws<FormatException>(() => IslandEngine.Restore(saved.AsSpan(0, length)));
        byte[] newer = [.. saved];
        newer[4] = 3;
        Assert.Contains("version 3", Assert.Throws<FormatException>(() => IslandEngine.Restore(newer)).Message, StringComparison.Ordinal);
        var random = new Random(5);
        for (int i = 0; i < 3000; i++)
        {
            byte[] damaged = [.. saved];
            damaged[random.Next(8, damaged.Length)] ^= (byte)(1 << random.Next(8));
            try
            {
                using IslandEngine restored = IslandEngine.Restore(damaged);
                for (int flush = 0; flush < 10; flush++)
                    restored.Flush();
            }
            catch (FormatException)
            {
                // Refused; what is accepted must at least be a world that can be flushed.
            }
        }
    }
}

public class KeyedEngineTests
{
    [Fact]
    public void Peers_are_known_by_the_embedders_own_ids()
    {
        using var engine = new IslandEngine<string>(new IslandOptions { MaxIslandSize = 2 });
        Assert.True(engine.Report("ann", default));
        Assert.True(engine.Report("bob", new Position(500, 0, 0)));
        Assert.True(engine.Report("bob", new Position(5, 0, 0)));
        Assert.False(engine.Report("eve", new Position(float.NaN, 0, 0)));
        Assert.Equal(2, engine.Count);
        IslandChange[] changes = engine.Engine.Flush().Changes.ToArray();
        Assert.Equal(["ann", "bob"], changes.Select(c => engine.TryGetKey(c.Peer, out string? key) ? key : "?").Order());
        Assert.All(changes, c => Assert.Equal(new IslandId(1), c.To));

        Assert.True(engine.TryGetHandle("ann", out PeerHandle ann));
        Assert.True(engine.Remove("ann"));
        Assert.False(engine.Remove("ann"));
        Assert.False(engine.TryGetKey(ann, out _));
        Assert.False(engine.TryGetKey(default, out _));
        Assert.False(engine.TryReport("ann".AsSpan(), default));
        Assert.True(engine.Report("ann", default));
        Assert.Equal(IslandId.None, Assert.Single(engine.Engine.Flush().Changes.ToArray()).From);
    }
}
