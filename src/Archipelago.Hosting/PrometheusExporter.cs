using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace Archipelago.Hosting;

/// <summary>
/// Gathers what the meters of one host measure and writes it as Prometheus text (format 0.0.4). Instruments are named as the metric shall be, others are left out;
/// the description becomes the help text. Histograms use the buckets that they advise, or else those of the services replaced.
/// </summary>
/// <remarks>
/// A host whose hot path counts does so in a plain field and shows it through an observable instrument, which costs nothing until somebody asks.
/// </remarks>
public sealed class PrometheusExporter : IDisposable
{
    private static readonly double[] Usual = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    private sealed class Series(int buckets)
    {
        public double Sum;
        public long Count;
        public readonly long[] Below = new long[buckets];
    }

    private sealed class Metric(Instrument instrument)
    {
        public Instrument Instrument => instrument;

        public ConcurrentDictionary<string, Series> Series { get; } = new(StringComparer.Ordinal);

        public string Kind => instrument.GetType().Name switch
        {
            var n when n.StartsWith("Histogram", StringComparison.Ordinal) => "histogram",
            var n when n.StartsWith("Counter", StringComparison.Ordinal) || n.StartsWith("ObservableCounter", StringComparison.Ordinal) => "counter",
            _ => "gauge",
        };

        public bool IsObservable => instrument.IsObservable;

        /// <summary>The upper ends of a histogram's buckets: those that the instrument advises, or the usual ones.</summary>
        public IReadOnlyList<double> Buckets { get; } = (instrument as Instrument<double>)?.Advice?.HistogramBucketBoundaries ?? Usual;
    }

    private readonly ConcurrentDictionary<string, Metric> metrics = new(StringComparer.Ordinal);
    private readonly MeterListener listener = new();

    /// <summary>Listens to the meters that this factory makes, and to no others of the process.</summary>
    public PrometheusExporter(IMeterFactory factory)
    {
        listener.InstrumentPublished = (instrument, l) =>
        {
            // The web server's own meters come from the same factory; their names have dots, which the format does not allow.
            if (ReferenceEquals(instrument.Meter.Scope, factory) && instrument.Name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_'))
                l.EnableMeasurementEvents(instrument, metrics.GetOrAdd(instrument.Name, _ => new Metric(instrument)));
        };
        listener.SetMeasurementEventCallback<long>((_, value, tags, state) => Record((Metric)state!, value, tags));
        listener.SetMeasurementEventCallback<int>((_, value, tags, state) => Record((Metric)state!, value, tags));
        listener.SetMeasurementEventCallback<double>((_, value, tags, state) => Record((Metric)state!, value, tags));
        listener.Start();
    }

    /// <summary>All metrics as text, in alphabetical order.</summary>
    public string Scrape()
    {
        listener.RecordObservableInstruments();
        var text = new StringBuilder();
        foreach (Metric metric in metrics.Values.OrderBy(m => m.Instrument.Name, StringComparer.Ordinal))
            Write(text, metric);
        return text.ToString();
    }

    /// <inheritdoc/>
    public void Dispose() => listener.Dispose();

    private static void Record(Metric metric, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        Series series = metric.Series.GetOrAdd(Labels(tags), static (_, m) => new Series(m.Buckets.Count), metric);
        lock (series)
        {
            series.Count++;
            series.Sum = metric.IsObservable ? value : series.Sum + value;
            if (metric.Kind == "histogram")
                for (int i = 0; i < metric.Buckets.Count; i++)
                    if (value <= metric.Buckets[i])
                        series.Below[i]++;
        }
    }

    private static string Labels(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.IsEmpty)
            return "";
        var text = new StringBuilder();
        foreach ((string key, object? value) in tags)
        {
            text.Append(text.Length == 0 ? "" : ",").Append(key).Append("=\"");
            foreach (char c in Convert.ToString(value, CultureInfo.InvariantCulture) ?? "")
                _ = c switch { '\\' => text.Append(@"\\"), '"' => text.Append("\\\""), '\n' => text.Append("\\n"), _ => text.Append(c) };
            text.Append('"');
        }
        return text.ToString();
    }

    private static void Write(StringBuilder text, Metric metric)
    {
        string name = metric.Instrument.Name;
        text.Append("# HELP ").Append(name).Append(' ').AppendLine(metric.Instrument.Description)
            .Append("# TYPE ").Append(name).Append(' ').AppendLine(metric.Kind);
        foreach ((string labels, Series series) in metric.Series.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            lock (series)
            {
                if (metric.Kind != "histogram")
                {
                    Line(text, name, labels, series.Sum);
                    continue;
                }
                string comma = labels.Length == 0 ? "" : ",";
                for (int i = 0; i < metric.Buckets.Count; i++)
                    Line(text, name + "_bucket", FormattableString.Invariant($"{labels}{comma}le=\"{metric.Buckets[i]}\""), series.Below[i]);
                Line(text, name + "_bucket", $"{labels}{comma}le=\"+Inf\"", series.Count);
                Line(text, name + "_sum", labels, series.Sum);
                Line(text, name + "_count", labels, series.Count);
            }
        }
    }

    private static void Line(StringBuilder text, string name, string labels, double value)
    {
        text.Append(name);
        if (labels.Length > 0)
            text.Append('{').Append(labels).Append('}');
        text.Append(' ').AppendLine(value.ToString("R", CultureInfo.InvariantCulture));
    }
}
