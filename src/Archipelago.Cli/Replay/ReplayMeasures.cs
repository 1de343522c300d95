using Archipelago.Core;

namespace Archipelago.Cli.Replay;

/// <summary>What people would have noticed of a recorded day: how often they were moved, and who was with them.</summary>
/// <param name="period">Time between flushes that do not say when they were.</param>
internal sealed class ReplayMeasures(TimeSpan period)
{
    private const int SampleEvery = 15, SamplePeople = 200;
    private static readonly TimeSpan LongestGap = TimeSpan.FromMinutes(10);

    private double? lastTime;
    private double personHours;
    private double people;
    private double islands;
    private long moved;

    // Neighbours are those within earshot, whatever the options say, so that different options can be compared.
    private readonly NeighbourRecall recall = new();
    private long asked;
    private double together;
    private double lowest;

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
    public double Together => asked == 0 ? double.NaN : together / asked;

    /// <summary>The same for the lowest tenth of people.</summary>
    public double LowestTenth => asked == 0 ? double.NaN : lowest / asked;

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
        if (Flushes++ % SampleEvery != 0)
            return;
        RecallFigures figures = recall.Sample(snapshot, SamplePeople);
        asked += figures.People;
        together += figures.People == 0 ? 0 : figures.Mean * figures.People;
        lowest += figures.People == 0 ? 0 : figures.LowestTenth * figures.People;
    }
}
