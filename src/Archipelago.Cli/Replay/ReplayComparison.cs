using System.Globalization;
using System.Text;
using Archipelago.Core;

namespace Archipelago.Cli.Replay;

/// <summary>Sets what people would have noticed of a day under some options beside what they did notice.</summary>
internal static class ReplayComparison
{
    /// <summary>Reads options such as <c>join=48,leave=64,cap=150,crowds=coherent</c>, each optional.</summary>
    /// <returns>Null and what is wrong with the text, or the options.</returns>
    public static (ReplayOverrides? Options, string? Fault) Parse(string text)
    {
        double? join = null, leave = null;
        int? cap = null;
        CrowdPolicy? crowds = null;
        foreach (string part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            string[] pair = part.Split('=', 2, StringSplitOptions.TrimEntries);
            bool isNumber = pair.Length == 2 && double.TryParse(pair[1], NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) && number > 0;
            double value = isNumber ? double.Parse(pair[1], CultureInfo.InvariantCulture) : 0;
            switch (pair[0])
            {
                case "join" when isNumber: join = value; break;
                case "leave" when isNumber: leave = value; break;
                case "cap" when isNumber && value is >= 1 and <= int.MaxValue && value == Math.Floor(value): cap = (int)value; break;
                case "crowds" when pair.Length == 2 && PolicyOf(pair[1]) is { } policy: crowds = policy; break;
                default: return (null, $"\"{part}\" is no option to compare with; it must be join=METRES, leave=METRES, cap=PEOPLE or crowds=plain or coherent, several separated by commas.");
            }
        }
        return (new ReplayOverrides(join, leave, cap, crowds), null);
    }

    /// <summary>The policy that a recording or an option names; null when there is none of that name.</summary>
    public static CrowdPolicy? PolicyOf(string? name) => name switch { "plain" => CrowdPolicy.Plain, "coherent" => CrowdPolicy.Coherent, _ => null };

    /// <summary>A table for people.</summary>
    /// <param name="columns">What each column is called, and what it holds.</param>
    public static string Table(IReadOnlyList<(string Name, ReplayMeasures Measures)> columns)
    {
        (string Label, Func<ReplayMeasures, string> Value)[] rows =
        [
            ("flushes", m => Text(m.Flushes, "0")),
            ("people, mean", m => Text(m.People, "0.#")),
            ("islands, mean", m => Text(m.Islands, "0.#")),
            ("biggest island, most", m => Text(m.BiggestIsland, "0")),
            ("moves to another island, a person an hour", m => Text(m.MovesAPersonAnHour, "0.###")),
            ("ten nearest neighbours in the same island", m => Percent(m.Together)),
            ("the same for the lowest tenth of people", m => Percent(m.LowestTenth)),
        ];
        int label = rows.Max(r => r.Label.Length);
        int width = Math.Max(14, columns.Max(c => c.Name.Length) + 2);
        var table = new StringBuilder().Append(' ', label);
        foreach ((string name, _) in columns)
            table.Append(name.PadLeft(width));
        table.AppendLine();
        foreach ((string text, Func<ReplayMeasures, string> value) in rows)
        {
            table.Append(text.PadRight(label));
            foreach ((_, ReplayMeasures measures) in columns)
                table.Append(value(measures).PadLeft(width));
            table.AppendLine();
        }
        return table.ToString();
    }

    private static string Percent(double share) => double.IsNaN(share) ? "-" : Text(share * 100, "0.0") + " %";

    private static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
