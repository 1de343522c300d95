using System.Diagnostics;
using System.Text.Json;

namespace Archipelago.Cli.Top;

/// <summary>A host as it was when it was last looked at.</summary>
/// <param name="Address">Where it answers.</param>
/// <param name="Health">What it said of its health: <c>ready</c>, or why not.</param>
/// <param name="Now">Its figures; null when it does not answer.</param>
/// <param name="Before">Those of the look before.</param>
internal sealed record HostView(Uri Address, string Health, HostFigures? Now, HostFigures? Before);

/// <summary>Looks at hosts once a second, and follows the live stream of the first that has one.</summary>
/// <param name="addresses">Where the hosts answer.</param>
internal sealed class Watch(IReadOnlyList<Uri> addresses) : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1), Patience = TimeSpan.FromSeconds(2);

    private readonly HttpClient http = new() { Timeout = Timeout.InfiniteTimeSpan };
    private readonly Lock changing = new();
    private readonly WorldFigures world = new();
    private readonly HostView?[] hosts = new HostView?[addresses.Count];
    private Task following = Task.CompletedTask;

    /// <summary>True once every host has been looked at, and the world has been told where there is a host that tells it.</summary>
    public bool HasSeenAll { get; private set; }

    private bool hasWorld;

    /// <summary>Looks until it is cancelled.</summary>
    /// <param name="looked">Called after each look.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task RunAsync(Action looked, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(Period);
        do
        {
            HostView[] now = await Task.WhenAll(Enumerable.Range(0, addresses.Count).Select(i => LookAsync(addresses[i], hosts[i]?.Now, cancellationToken)));
            now.CopyTo(hosts, 0);
            HostView? stats = Array.Find(now, h => h.Now?.Kind == "Stats");
            if (stats is not null && following.IsCompleted)
                following = FollowAsync(stats.Address, cancellationToken);
            lock (changing)
                HasSeenAll = hasWorld || stats is null;
            looked();
        }
        while (await timer.WaitForNextTickAsync(cancellationToken));
    }

    /// <summary>Shows what is known now.</summary>
    public T Show<T>(Func<IReadOnlyList<HostView>, WorldFigures, T> show)
    {
        lock (changing)
            return show([.. hosts.OfType<HostView>()], world);
    }

    public void Dispose() => http.Dispose();

    private async Task<HostView> LookAsync(Uri address, HostFigures? before, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Patience);
        try
        {
            using HttpResponseMessage ready = await http.GetAsync(new Uri(address, "/health/ready"), limit.Token);
            string metrics = await http.GetStringAsync(new Uri(address, "/metrics"), limit.Token);
            return new HostView(address, ready.IsSuccessStatusCode ? "ready" : "not ready", new HostFigures(metrics, Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency), before);
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return new HostView(address, e is OperationCanceledException ? "no answer" : "not there", null, null);
        }
    }

    /// <summary>Follows a stream until it ends; the next look begins anew.</summary>
    private async Task FollowAsync(Uri address, CancellationToken cancellationToken)
    {
        try
        {
            using HttpResponseMessage response = await http.GetAsync(new Uri(address, "/stream"), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            response.EnsureSuccessStatusCode();
            using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancellationToken));
            string kind = "";
            while (await reader.ReadLineAsync(cancellationToken) is { } line)
            {
                if (line.StartsWith("event: ", StringComparison.Ordinal))
                    kind = line[7..];
                else if (line.StartsWith("data: ", StringComparison.Ordinal))
                    Take(kind, line);
            }
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            // The next look tells whether the host is there.
        }
    }

    private void Take(string kind, string line)
    {
        using JsonDocument frame = JsonDocument.Parse(line.AsMemory(6));
        lock (changing)
        {
            world.Take(kind, frame.RootElement);
            hasWorld = true;
        }
    }
}
