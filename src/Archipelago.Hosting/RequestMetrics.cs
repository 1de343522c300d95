using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace Archipelago.Hosting;

/// <summary>Counts requests and the time that they take, under the names of the services replaced. Any thread.</summary>
public sealed class RequestMetrics
{
    private readonly Counter<long> requests;
    private readonly Histogram<double> durations;

    /// <summary>Makes the instruments, for one host.</summary>
    /// <param name="meters">The host's own.</param>
    public RequestMetrics(IMeterFactory meters)
    {
        ArgumentNullException.ThrowIfNull(meters);
        Meter meter = meters.Create("archipelago.http");
        requests = meter.CreateCounter<long>("http_requests_total", description: "Total number of HTTP requests");
        durations = meter.CreateHistogram<double>("http_request_duration_seconds", description: "Request duration in seconds.");
    }

    /// <summary>Counts one request.</summary>
    /// <param name="method">Its method.</param>
    /// <param name="handler">The route that answered, parameters as <c>:id</c>; empty for none.</param>
    /// <param name="code">The status.</param>
    /// <param name="elapsed">How long it took; for a WebSocket, until it was accepted.</param>
    public void Measure(string method, string handler, int code, TimeSpan elapsed)
    {
        var tags = new TagList { { "method", method }, { "handler", handler }, { "code", code.ToString(CultureInfo.InvariantCulture) } };
        requests.Add(1, tags);
        durations.Record(elapsed.TotalSeconds, tags);
    }
}
