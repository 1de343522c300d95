namespace Archipelago.Core.Tests;

/// <summary>People who come, go, walk and wish: the same for the same seed, whatever becomes of the engines that they report to.</summary>
internal sealed class RestlessPeople
{
    private readonly Random random;
    private readonly float side;
    private readonly float step;
    private readonly int target;
    private readonly Dictionary<PeerHandle, int> names = [];
    private readonly List<(PeerHandle Peer, Position At)> present = [];
    private int named;

    public RestlessPeople(int seed, CrowdPolicy policy)
    {
        random = new Random(seed);
        Rules = new IslandOptions { MaxIslandSize = ((int[])[4, 6, 10, 20, 30])[seed % 5], Crowds = policy, CrowdMovesPerFlush = 1 };
        side = 60 + (60 * random.Next(12));
        step = ((float[])[0.5f, 3, 10, 30])[random.Next(4)];
        target = 40 + random.Next(160);
    }

    public IslandOptions Rules { get; }

    public IEnumerable<PeerHandle> Present => present.Select(p => p.Peer);

    /// <summary>Some come to an engine and some leave it; half of them walk, and a few wish, which those who follow it hear, too.</summary>
    public void Stir(IslandEngine engine, params IslandEngine[] followers)
    {
        for (int i = present.Count < target ? random.Next(12) : random.Next(3); i > 0; i--)
        {
            var at = new Position(side * random.NextSingle(), 0, side * random.NextSingle());
            PeerHandle peer = engine.Add(at, random.Next(4) == 0 ? new IslandId(random.Next(30)) : IslandId.None);
            // A handle that was given out and taken back before anybody heard of it may be given out again by who takes over.
            names[peer] = named++;
            present.Add((peer, at));
        }
        for (int i = random.Next(4); i > 0 && present.Count > 5; i--)
        {
            int who = random.Next(present.Count);
            engine.Remove(present[who].Peer);
            present.RemoveAt(who);
        }
        for (int i = 0; i < present.Count; i++)
        {
            if (random.Next(2) == 0)
                continue;
            float way = random.Next(100) == 0 ? 200 : step;
            Position from = present[i].At, at = new(from.X + (way * (random.NextSingle() - 0.5f)), 0, from.Z + (way * (random.NextSingle() - 0.5f)));
            present[i] = present[i] with { At = at };
            IslandId? wish = random.Next(30) == 0 ? new IslandId(random.Next(30)) : null;
            foreach (IslandEngine each in (IslandEngine[])[engine, .. followers])
            {
                each.Move(present[i].Peer, at);
                if (wish is { } island)
                    each.Prefer(present[i].Peer, island);
            }
        }
    }

    /// <summary>Flushes newcomers or everybody, as chance will have it.</summary>
    public void Flush(IslandEngine engine)
    {
        if (random.Next(4) == 0)
            engine.FlushNewcomers();
        else
            engine.Flush();
    }

    /// <summary>Who is with whom, by names that do not depend on slots.</summary>
    public string Picture(IslandEngine engine)
    {
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        return string.Join(" | ", snapshot.Islands.ToArray().Select(i => $"{i.Id}: {string.Join(",", snapshot.MembersOf(i).ToArray().Select(m => names[m.Peer]).Order())}"));
    }
}
