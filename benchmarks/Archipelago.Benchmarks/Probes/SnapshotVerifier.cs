using Archipelago.Core;

namespace Archipelago.Benchmarks.Probes;

/// <summary>Checks a snapshot against the rules by the simplest means that a million peers allow: a dictionary of squares.</summary>
internal static class SnapshotVerifier
{
    public static string? FindFault(IslandSnapshot snapshot, IslandOptions rules)
    {
        var islandOf = new int[snapshot.Members.Length];
        for (int i = 0; i < snapshot.Islands.Length; i++)
        {
            IslandInfo island = snapshot.Islands[i];
            if (island.Count > rules.MaxIslandSize)
                return $"{island.Id} has {island.Count} members, over the cap.";
            if (!IsConnected(snapshot.MembersOf(island), rules.LeaveDistance))
                return $"{island.Id} is not connected.";
            islandOf.AsSpan(island.FirstMember, island.Count).Fill(i);
        }
        return FindPair(snapshot, rules, islandOf);
    }

    private static bool IsConnected(ReadOnlySpan<IslandMember> members, double distance)
    {
        var reached = new bool[members.Length];
        var queue = new Queue<int>([0]);
        reached[0] = true;
        int count = 1;
        while (queue.TryDequeue(out int at))
        {
            for (int other = 0; other < members.Length; other++)
            {
                if (reached[other] || !Near(members[at].Position, members[other].Position, distance))
                    continue;
                reached[other] = true;
                count++;
                queue.Enqueue(other);
            }
        }
        return count == members.Length;
    }

    private static string? FindPair(IslandSnapshot snapshot, IslandOptions rules, int[] islandOf)
    {
        var squares = new Dictionary<(long, long), List<int>>();
        for (int m = 0; m < islandOf.Length; m++)
        {
            // Members of full islands fit with nobody.
            if (snapshot.Islands[islandOf[m]].Count >= rules.MaxIslandSize)
                continue;
            (long, long) key = Square(snapshot.Members[m].Position, rules.JoinDistance);
            if (!squares.TryGetValue(key, out List<int>? inside))
                squares[key] = inside = [];
            inside.Add(m);
        }
        foreach (((long x, long z), List<int> inside) in squares)
            for (long dx = -1; dx <= 1; dx++)
                for (long dz = -1; dz <= 1; dz++)
                    if (squares.TryGetValue((x + dx, z + dz), out List<int>? others))
                        foreach (int a in inside)
                            foreach (int b in others)
                                if (islandOf[a] < islandOf[b]
                                    && snapshot.Islands[islandOf[a]].Count + snapshot.Islands[islandOf[b]].Count <= rules.MaxIslandSize
                                    && Near(snapshot.Members[a].Position, snapshot.Members[b].Position, rules.JoinDistance))
                                    return $"{snapshot.Islands[islandOf[a]].Id} and {snapshot.Islands[islandOf[b]].Id} touch and fit but stay apart.";
        return null;
    }

    private static (long, long) Square(Position p, double side) => ((long)Math.Floor(p.X / side), (long)Math.Floor(p.Z / side));

    private static bool Near(Position a, Position b, double distance)
    {
        double dx = (double)a.X - b.X, dz = (double)a.Z - b.Z;
        return (dx * dx) + (dz * dz) <= distance * distance;
    }
}
