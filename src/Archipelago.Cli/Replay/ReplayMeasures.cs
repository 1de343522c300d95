using System.Runtime.InteropServices;
using Archipelago.Core;

namespace Archipelago.Cli.Replay;

/// <summary>What people would have noticed of a recorded day: how often they were moved, and who was with them.</summary>
/// <param name="period">Time between flushes that do not say when they were.</param>
internal sealed class ReplayMeasures(TimeSpan period)
{
    // Neighbours are those within earshot, whatever the options say, so that different options can be compared.
    private const float Near = 64;
    private const int Nearest = 10, SampleEvery = 15, SamplePeople = 200;
    private static readonly TimeSpan LongestGap = TimeSpan.FromMinutes(10);

    private double? lastTime;
    private double personHours;
    private double people;
    private double islands;
    private long moved;
    private long asked;
    private long together;

    /// <summary>Flushes so far.</summary>
    public long Flushes { get; private set; }

    /// <summary>People, the mean over the flushes.</summary>
    public double People => Flushes == 0 ? 0 : people / Flushes;

    /// <summary>Islands, the mean over the flushes.</summary>
    public double Islands => Flushes == 0 ? 0 : islands / Flushes;

    /// <summary>The most members that an island had.</summary>
    public int BiggestIsland { get; private set; }

    /// <summary>Times that a person was moved from one island to another, an hour.</summary>
    public double MovesAPersonAnHour => personHours == 0 ? 0 : moved / personHours;

    /// <summary>Of the neighbours of people, within 64 m and the ten nearest at most, the share that was in the same island; not a number when nobody ever had a neighbour.</summary>
    public double Together => asked == 0 ? double.NaN : (double)together / asked;

    /// <summary>Takes what a flush did.</summary>
    /// <param name="snapshot">The islands after it.</param>
    /// <param name="changes">Who was moved.</param>
    /// <param name="time">When it was, in Unix milliseconds; null when nobody says.</param>
    public void Note(IslandSnapshot snapshot, ReadOnlySpan<IslandChange> changes, double? time)
    {
        TimeSpan passed = time is { } now && lastTime is { } before ? TimeSpan.FromMilliseconds(Math.Clamp(now - before, 0, LongestGap.TotalMilliseconds)) : period;
        lastTime = time ?? lastTime;
        people += snapshot.Members.Length;
        islands += snapshot.Islands.Length;
        personHours += snapshot.Members.Length * passed.TotalHours;
        foreach (ref readonly IslandInfo island in snapshot.Islands)
            BiggestIsland = Math.Max(BiggestIsland, island.Count);
        foreach (ref readonly IslandChange change in changes)
            if (!change.From.IsNone)
                moved++;
        if (Flushes++ % SampleEvery == 0)
            Sample(snapshot);
    }

    private void Sample(IslandSnapshot snapshot)
    {
        ReadOnlySpan<IslandMember> members = snapshot.Members;
        int[] islandOf = new int[members.Length];
        for (int island = 0; island < snapshot.Islands.Length; island++)
            islandOf.AsSpan(snapshot.Islands[island].FirstMember, snapshot.Islands[island].Count).Fill(island);
        var cells = new Dictionary<(long, long), List<int>>();
        for (int i = 0; i < members.Length; i++)
        {
            ref List<int>? cell = ref CollectionsMarshal.GetValueRefOrAddDefault(cells, CellOf(members[i].Position), out _);
            (cell ??= []).Add(i);
        }
        var near = new List<(float Square, int Member)>();
        // Members stand island by island, so that every so manieth is a fair choice.
        for (double at = 0; at < members.Length; at += Math.Max(1, (double)members.Length / SamplePeople))
        {
            int person = (int)at;
            near.Clear();
            (long cellX, long cellZ) = CellOf(members[person].Position);
            for (long x = cellX - 1; x <= cellX + 1; x++)
                for (long z = cellZ - 1; z <= cellZ + 1; z++)
                    foreach (int other in cells.GetValueOrDefault((x, z)) ?? [])
                        if (other != person && SquareBetween(members[other].Position, members[person].Position) is var square && square <= Near * Near)
                            near.Add((square, other));
            near.Sort();
            foreach ((float _, int other) in near.Take(Nearest))
            {
                asked++;
                together += islandOf[other] == islandOf[person] ? 1 : 0;
            }
        }
    }

    private static (long X, long Z) CellOf(in Position place) => ((long)Math.Floor(place.X / Near), (long)Math.Floor(place.Z / Near));

    private static float SquareBetween(in Position a, in Position b) => ((a.X - b.X) * (a.X - b.X)) + ((a.Z - b.Z) * (a.Z - b.Z));
}
