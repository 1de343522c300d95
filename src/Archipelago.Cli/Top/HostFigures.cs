using System.Globalization;

namespace Archipelago.Cli.Top;

/// <summary>What a host told of itself at one moment.</summary>
internal sealed class HostFigures
{
    private readonly Dictionary<string, double> values = new(StringComparer.Ordinal);

    /// <summary>Reads metrics in the Prometheus text format; several of one name are added up.</summary>
    /// <param name="metrics">The text.</param>
    /// <param name="at">When, in seconds of any clock that does not jump.</param>
    public HostFigures(string metrics, double at)
    {
        At = at;
        foreach (ReadOnlySpan<char> line in metrics.AsSpan().EnumerateLines())
        {
            int end = line.IndexOfAny('{', ' '), number = line.LastIndexOf(' ');
            if (end <= 0 || line[0] == '#' || !double.TryParse(line[(number + 1)..], NumberStyles.Float, CultureInfo.InvariantCulture, out double value))
                continue;
            string name = line[..end].ToString();
            values[name] = values.GetValueOrDefault(name) + value;
        }
    }

    /// <summary>When it was told.</summary>
    public double At { get; }

    /// <summary>Which host it is, by what only it tells.</summary>
    public string Kind =>
        Has("dcl_archipelago_islands_count") ? "Service" : Has("archipelago_sockets") ? "Connector" : Has("archipelago_stats_peers") ? "Stats" : Has("archipelago_catalysts_listed") ? "RealmProvider" : "?";

    public bool Has(string name) => values.ContainsKey(name);

    /// <summary>A figure; 0 when it is not told.</summary>
    public double this[string name] => values.GetValueOrDefault(name);

    /// <summary>How much a counter has grown a second since an earlier moment; 0 when it began anew.</summary>
    public double Rate(string name, HostFigures? before) => before is null || At <= before.At ? 0 : Math.Max(0, (this[name] - before[name]) / (At - before.At));
}
