
namespace Archipelago.Core.Tests;

/// <summary>The rules by brute force: every pair looked at, nothing clever, obvious at sight.</summary>
internal static class Oracle
{
    public static bool Near(Position a, Position b, double distance)
    {
        double dx = (double)a.X - b.X, dz = (double)a.Z - b.Z;
        return (dx * dx) + (dz * dz) <= distance * distance;
    }

    /// <summary>Connected components of these positions under a distance, as sets of indices.</summary>
    public static List<List<int>> Components(IReadOnlyList<Position> positions, double distance)
    {
        var left = Enumerable.Range(0, positions.Count).ToHashSet();
        var components = new List<List<int>>();
        while (left.Count > 0)
        {
            var queue = new Queue<int>([left.Min()]);
            left.Remove(queue.Peek());
            var component = new List<int>();
            while (queue.TryDequeue(out int at))
            {
                component.Add(at);
                foreach (int other in left.Where(o => Near(positions[at], positions[o], distance)).ToList())
                {
                    left.Remove(other);
                    queue.Enqueue(other);
                }
            }
            components.Add(component);
        }
        return components;
    }

    /// <summary>What must hold after any flush: I1 connected, I2 nothing left to merge.</summary>
    public static void AssertInvariants(IslandSnapshot snapshot, IslandOptions rules)
    {
        IslandInfo[] islands = snapshot.Islands.ToArray();
        Position[][] members = [.. islands.Select(i => snapshot.MembersOf(i).ToArray().Select(m => m.Position).ToArray())];
        for (int i = 0; i < islands.Length; i++)
        {
            Assert.NotEmpty(members[i]);
            if (i > 0)
                Assert.True(islands[i - 1].Id.Value < islands[i].Id.Value, "islands come in order of creation");
            Assert.True(Components(members[i], rules.LeaveDistance).Count == 1, $"{islands[i].Id} is not connected (I1)");
            for (int j = 0; j < i; j++)
                if (islands[i].Count + islands[j].Count <= rules.MaxIslandSize)
                    Assert.False(
                        members[i].Any(a => members[j].Any(b => Near(a, b, rules.JoinDistance))),
                        $"{islands[j].Id} and {islands[i].Id} touch and fit but stay apart (I2)");
        }
    }
}
