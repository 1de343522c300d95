namespace Archipelago.Nats.Internals;

/// <summary>
/// The servers known so far: those of the configuration, which stay, and those that servers have told of, which go when they fail. Hands them out in turn,
/// with a pause after each round in vain. One thread at a time, but for <see cref="Learn"/>.
/// </summary>
internal sealed class ServerPool(NatsOptions options, Random random)
{
    private readonly Lock gate = new();
    private readonly List<Uri> servers = [.. options.Servers];
    private readonly HashSet<Uri> configured = [.. options.Servers];
    private int next;
    private int failures;

    public int Count
    {
        get
        {
            lock (gate)
                return servers.Count;
        }
    }

    /// <summary>The next to try, and how long to wait before.</summary>
    public (Uri Server, TimeSpan Pause) Next()
    {
        lock (gate)
        {
            next %= servers.Count;
            int rounds = failures / servers.Count;
            bool firstOfRound = failures % servers.Count == 0;
            return (servers[next++], rounds == 0 || !firstOfRound ? TimeSpan.Zero : Pause(rounds));
        }
    }

    public void Succeeded()
    {
        lock (gate)
            failures = 0;
    }

    /// <summary>The server could not be reached, or refused.</summary>
    public void Failed(Uri server)
    {
        lock (gate)
        {
            failures++;
            if (!configured.Contains(server) && servers.Remove(server))
                next = Math.Max(0, next - 1);
        }
    }

    /// <summary>A connection that worked has ended: the same server comes last now.</summary>
    public void Lost(Uri server)
    {
        lock (gate)
            next = servers.IndexOf(server) + 1;
    }

    /// <summary>Takes in what a server tells of its cluster, given as host:port; they share the scheme and the credentials of the one that tells.</summary>
    public void Learn(Uri from, IReadOnlyList<string> addresses)
    {
        lock (gate)
        {
            foreach (string address in addresses)
            {
                if (!Uri.TryCreate($"{from.Scheme}://{(from.UserInfo.Length > 0 ? from.UserInfo + "@" : "")}{address}", UriKind.Absolute, out Uri? server) || server.Host.Length == 0)
                    continue;
                if (!servers.Exists(known => known.Host == server.Host && known.Port == server.Port))
                    servers.Add(server);
            }
        }
    }

    private TimeSpan Pause(int rounds)
    {
        double pause = Math.Min(options.LongestPause.TotalMilliseconds, options.FirstPause.TotalMilliseconds * Math.Pow(2, Math.Min(30, rounds - 1)));
        return TimeSpan.FromMilliseconds(pause * (0.5 + (random.NextDouble() / 2)));
    }
}
