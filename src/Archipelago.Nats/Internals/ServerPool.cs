using System.Net;

namespace Archipelago.Nats.Internals;

/// <summary>A server that may be tried.</summary>
/// <param name="Address">Where it is.</param>
/// <param name="TlsName">The name that its certificate must have: servers tell of one another by IP address, and have certificates for the name of their cluster.</param>
internal sealed record KnownServer(Uri Address, string TlsName)
{
    public override string ToString() => $"{Address.Host}:{Address.Port}";
}

/// <summary>
/// The servers known so far: those of the configuration, which stay, and those that servers have told of, which go when they fail. Hands them out in
/// rounds, in each of which every one is tried once, with a growing pause before each round that follows one in vain.
/// </summary>
internal sealed class ServerPool
{
    private const int DefaultPort = 4222;

    private readonly Lock gate = new();
    private readonly NatsOptions options;
    private readonly Random random;
    private readonly List<KnownServer> servers = [];
    private readonly int configured;
    private readonly Queue<KnownServer> round = new();
    private int roundsInVain;

    public ServerPool(NatsOptions options, Random random)
    {
        this.options = options;
        this.random = random;
        foreach (Uri address in options.Servers)
            Add(address, address.Host);
        configured = servers.Count;
    }

    public int Count
    {
        get
        {
            lock (gate)
                return servers.Count;
        }
    }

    /// <summary>The next to try, and how long to wait before.</summary>
    public (KnownServer Server, TimeSpan Pause) Next()
    {
        lock (gate)
        {
            TimeSpan pause = TimeSpan.Zero;
            if (round.Count == 0)
            {
                pause = roundsInVain == 0 ? TimeSpan.Zero : Pause(roundsInVain);
                roundsInVain++;
                servers.ForEach(round.Enqueue);
            }
            return (round.Dequeue(), pause);
        }
    }

    /// <summary>The server could not be reached, or refused; true when that was the last of a round.</summary>
    public bool Failed(KnownServer server)
    {
        lock (gate)
        {
            if (servers.IndexOf(server) >= configured)
                servers.Remove(server);
            return round.Count == 0;
        }
    }

    /// <summary>
    /// A link that worked has ended after this time. One that lasted begins anew, with the others first; one that did not counts as tried in vain, or a
    /// server that lets in and throws out would be stormed.
    /// </summary>
    public void Lost(KnownServer server, TimeSpan lasted)
    {
        if (lasted < options.LongestPause)
            return;
        lock (gate)
        {
            round.Clear();
            int at = servers.IndexOf(server);
            for (int i = 1; i <= servers.Count; i++)
                round.Enqueue(servers[(at + i) % servers.Count]);
            roundsInVain = 1;
        }
    }

    /// <summary>Takes in what a server that let us in tells of its cluster, given as host:port; they share its scheme, its credentials and, for TLS, its name.</summary>
    public void Learn(KnownServer from, IReadOnlyList<string> addresses)
    {
        string user = from.Address.UserInfo.Length > 0 ? from.Address.UserInfo + "@" : "";
        lock (gate)
        {
            foreach (string address in addresses)
                if (Uri.TryCreate($"{from.Address.Scheme}://{user}{address}", UriKind.Absolute, out Uri? server) && server.Host.Length > 0)
                    Add(server, IPAddress.TryParse(server.Host, out _) ? from.TlsName : server.Host);
        }
    }

    private void Add(Uri address, string tlsName)
    {
        if (address.Port < 0)
            address = new UriBuilder(address) { Port = DefaultPort }.Uri;
        if (!servers.Exists(known => known.Address.Host == address.Host && known.Address.Port == address.Port))
            servers.Add(new KnownServer(address, tlsName));
    }

    private TimeSpan Pause(int rounds)
    {
        double pause = Math.Min(options.LongestPause.TotalMilliseconds, options.FirstPause.TotalMilliseconds * Math.Pow(2, Math.Min(30, rounds - 1)));
        return TimeSpan.FromMilliseconds(pause * (0.5 + (random.NextDouble() / 2)));
    }
}
