using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Archipelago.Benchmarks.Plots;

/// <summary><c>bench plots</c>: draws the pictures of the documents.</summary>
internal static partial class PlotsCommand
{
    public static Command Create(Option<string> results)
    {
        var from = new Option<string>("--of") { Description = "Which processor's results.", DefaultValueFactory = _ => "amd-epyc-2-cores" };
        var to = new Option<string?>("--to") { Description = "Folder for the pictures; without it that of the documents." };
        var command = new Command("plots", "Draws the pictures of the documents, from results that are filed and from crowds that are run.") { results, from, to };
        command.SetAction(parsed =>
        {
            string root = parsed.GetValue(results)!, folder = Path.Combine(root, parsed.GetValue(from)!), images = parsed.GetValue(to) ?? Path.Combine(root, "..", "..", "docs", "images");
            Directory.CreateDirectory(images);
            File.WriteAllText(Path.Combine(images, "flush.svg"), DrawFlushes(Path.Combine(folder, "flush.jsonl")));
            File.WriteAllText(Path.Combine(images, "engine.svg"), DrawEngines(Path.Combine(folder, "FlushBenchmarks.md")));
            File.WriteAllText(Path.Combine(images, "crowd.svg"), CrowdPicture.Policies());
            File.WriteAllText(Path.Combine(images, "crowd-film.svg"), CrowdPicture.Film());
            return 0;
        });
        return command;
    }

    private static string People(double count) => count >= 1e6 ? $"{count / 1e6} million people" : string.Create(CultureInfo.InvariantCulture, $"{count:#,0}");

    private static string Time(double milliseconds) => milliseconds >= 1000 ? $"{milliseconds / 1000} s" : milliseconds >= 1 ? $"{milliseconds} ms" : string.Create(CultureInfo.InvariantCulture, $"{milliseconds * 1000:0} µs");

    private static string DrawFlushes(string file)
    {
        List<JsonElement> lines = [.. File.ReadLines(file).Select(l => JsonDocument.Parse(l).RootElement)];
        Series Worst(string name, string colour, double moving, string measure) => new(name, colour, [.. lines
            .Where(l => l.GetProperty("moving").GetDouble() == moving && l.GetProperty("threads").GetInt32() == 1).GroupBy(l => l.GetProperty("peers").GetDouble()).OrderBy(g => g.Key)
            .Select(g => (g.Key, g.Max(l => l.GetProperty(measure).GetDouble())))]);
        return new LineChart("A flush, on one thread, in the slowest of four worlds", People, Time).Draw([
            Worst("all new", "#c2415a", 1, "coldMs"),
            Worst("everybody moved, p99", "#e0a458", 1, "p99Ms"),
            Worst("everybody moved, median", "#b86e00", 1, "medianMs"),
            Worst("1 % moved, median", "#0b7a75", 0.01, "medianMs"),
        ]);
    }

    /// <summary>Rows like <c>| Engine | city | 10000 | 4,321.0 μs |</c>, with bold or not.</summary>
    [GeneratedRegex(@"^\|\s*(?<method>[A-Za-z]+)\s*\|\s*city\s*\|\s*(?<peers>\d+)\s*\|\s*(?<mean>[\d.,]+) (?<unit>ns|μs|ms|s)\s*\|")]
    private static partial Regex Row();

    private static string DrawEngines(string file)
    {
        var names = new Dictionary<string, (string Name, string Colour)>
        {
            ["BruteForce"] = ("every pair", "#8d99a6"),
            ["NetTopologySuiteTree"] = ("NetTopologySuite", "#c2415a"),
            ["DictionaryGrid"] = ("dictionary grid", "#b86e00"),
            ["Engine"] = ("this engine", "#0b7a75"),
        };
        var rows = File.ReadLines(file).Select(l => Row().Match(l.Replace("*", "", StringComparison.Ordinal))).Where(m => m.Success)
            .Select(m => (Method: m.Groups["method"].Value, Peers: double.Parse(m.Groups["peers"].Value, CultureInfo.InvariantCulture), Milliseconds: Milliseconds(m)))
            .Where(r => r.Method != "BruteForce" || r.Peers <= 10_000) // it is not run with more, and returns at once
            .ToLookup(r => r.Method, r => (r.Peers, r.Milliseconds));
        return new LineChart("A city in which everybody moved; all but this engine only find components", People, Time).Draw([.. names.Select(n => new Series(n.Value.Name, n.Value.Colour, [.. rows[n.Key].OrderBy(p => p.Peers)]))]);
    }

    private static double Milliseconds(Match row) => double.Parse(row.Groups["mean"].Value, CultureInfo.InvariantCulture)
        * (row.Groups["unit"].Value switch { "ns" => 1e-6, "μs" => 1e-3, "ms" => 1, _ => 1e3 });
}
