using System.Globalization;
using System.Text;
using Archipelago.Benchmarks.Crowds;
using Archipelago.Core;

namespace Archipelago.Benchmarks.Plots;

/// <summary>Draws a crowd from above, each island in a colour of its own, as SVG.</summary>
internal static class CrowdPicture
{
    private const int Panel = 250, Gap = 20, Head = 34;

    /// <summary>A panel: what it is called, and where the people of each island are.</summary>
    private sealed record Snap(string Title, IReadOnlyList<IReadOnlyList<Position>> Islands, double Recall);

    /// <summary>A festival of a thousand under both policies, a quarter of an hour after its beginning.</summary>
    public static string Policies()
    {
        const int At = 450;
        return Draw([.. Take(CrowdPolicy.Plain, "plain", [At]), .. Take(CrowdPolicy.Coherent, "coherent", [At])]);
    }

    /// <summary>The same festival under the coherent policy, three times a minute apart.</summary>
    public static string Film() => Draw([.. Take(CrowdPolicy.Coherent, "", [450, 480, 510])]);

    private static List<Snap> Take(CrowdPolicy policy, string name, int[] flushes)
    {
        var snaps = new List<Snap>();
        var recall = new NeighbourRecall();
        CrowdProbe.Run(CrowdScenario.Make("1000", 1), new IslandOptions { Crowds = policy }, flushes[^1] + 1, (engine, flush) =>
        {
            if (!flushes.Contains(flush))
                return;
            engine.PublishSnapshot();
            using IslandSnapshot snapshot = engine.AcquireSnapshot();
            double share = recall.Sample(snapshot, snapshot.Members.Length).Mean;
            string title = name.Length > 0 ? name : string.Create(CultureInfo.InvariantCulture, $"minute {flush * 2 / 60}");
            snaps.Add(new Snap(title, [.. snapshot.Islands.ToArray().Select(i => snapshot.MembersOf(i).ToArray().Select(m => m.Position).ToArray())], share));
        });
        return snaps;
    }

    private static string Draw(IReadOnlyList<Snap> snaps)
    {
        int width = Gap + (snaps.Count * (Panel + Gap)), height = Head + Panel + Gap;
        var svg = new StringBuilder();
        Append(svg, $"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13"><rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>""");
        for (int i = 0; i < snaps.Count; i++)
        {
            int left = Gap + (i * (Panel + Gap));
            Append(svg, $"""<text x="{left}" y="23" fill="#12263a"><tspan font-weight="600">{snaps[i].Title}</tspan> · {snaps[i].Recall * 100:0} % of neighbours together</text>""");
            Append(svg, $"""<rect x="{left}" y="{Head}" width="{Panel}" height="{Panel}" fill="#eef3f5"/>""");
            for (int island = 0; island < snaps[i].Islands.Count; island++)
            {
                // A line of no length with round ends is a dot, in few bytes.
                string dots = string.Concat(snaps[i].Islands[island].Select(p => string.Create(CultureInfo.InvariantCulture, $"M{left + p.X:0} {Head + Panel - p.Z:0}h0")));
                Append(svg, $"""<path d="{dots}" stroke="hsl({island * 137 % 360} 68% {38 + (island % 3 * 9)}%)" stroke-width="5" stroke-linecap="round"/>""");
            }
        }
        return svg.Append("</svg>\n").ToString();
    }

    private static void Append(StringBuilder svg, FormattableString part) => svg.Append(part.ToString(CultureInfo.InvariantCulture)).Append('\n');
}
