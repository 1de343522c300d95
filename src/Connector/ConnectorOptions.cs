using System.Net;
using Archipelago.Hosting;

namespace Archipelago.Connector;

/// <summary>What the Connector is told through its environment; <c>docs/configuration.md</c> lists the variables.</summary>
internal sealed record ConnectorOptions
{
    private const string PublicDenyList = "https://config.decentraland.org/denylist.json";
    private const string PublicNode = "https://rpc.decentraland.org/";

    /// <summary>How long a client may take for each step before it is in.</summary>
    public required TimeSpan HandshakeTimeout { get; init; }

    /// <summary>Where the list of denied wallets is; null when there is none.</summary>
    public required string? DenyListUrl { get; init; }

    /// <summary>How often those who are in are checked for bans.</summary>
    public required TimeSpan BanSweepPeriod { get; init; }

    /// <summary>How often a session compares the island that it heard of last; ten times as often while it has heard of none. Zero: never.</summary>
    public required TimeSpan IslandCheckPeriod { get; init; }

    /// <summary>Where an Ethereum node answers for contract wallets; null when there is none.</summary>
    public required string? EthereumUrl { get; init; }

    /// <summary>Delegations that are remembered; 0 for none.</summary>
    public required int RememberedDelegations { get; init; }

    /// <summary>Threads that recover signers.</summary>
    public required int SignatureThreads { get; init; }

    /// <summary>Clients that may be under verification.</summary>
    public required Limit SignatureQueue { get; init; }

    /// <summary>Connections that may wait before they have proved an address.</summary>
    public required Limit WaitingSockets { get; init; }

    /// <summary>Proxies whose <c>X-Forwarded-For</c> is believed.</summary>
    public required IReadOnlyList<IPNetwork> TrustedProxies { get; init; }

    /// <summary>Bytes of a client's message.</summary>
    public required Limit MessageBytes { get; init; }

    /// <summary>Heartbeats a second of one session.</summary>
    public required Limit HeartbeatsPerSecond { get; init; }

    /// <summary>Milliseconds that a client may leave what was sent to it unread.</summary>
    public required Limit SendTimeout { get; init; }

    /// <summary>Milliseconds for which an address may not come again after a newer session of it has ended an older.</summary>
    public required Limit SupersedeCooldown { get; init; }

    /// <summary>Where heartbeats may come from; null for everywhere.</summary>
    public required Area? World { get; init; }

    /// <summary>Over how long the connections are closed when the host stops.</summary>
    public required TimeSpan DrainWindow { get; init; }

    public static ConnectorOptions Read(Settings settings)
    {
        double timeout = settings.Number("HANDSHAKE_TIMEOUT", 60_000, 0, 3_600_000);
        return new ConnectorOptions
        {
            HandshakeTimeout = TimeSpan.FromMilliseconds(timeout == 0 ? 60_000 : timeout),
            DenyListUrl = settings.Find("DENYLIST_URL") is null ? PublicDenyList : settings.HttpUrl("DENYLIST_URL"),
            BanSweepPeriod = TimeSpan.FromMilliseconds(settings.Number("BAN_SWEEP_INTERVAL_MS", 30_000, 1, 86_400_000)),
            IslandCheckPeriod = TimeSpan.FromMilliseconds(settings.Number("ISLAND_CHECK_INTERVAL_MS", 30_000, 0, 86_400_000)),
            EthereumUrl = settings.Find("ETH_RPC_URL") is null
                ? $"{PublicNode}{Uri.EscapeDataString(settings.Text("ETH_NETWORK", "sepolia"))}?project=archipelago"
                : settings.HttpUrl("ETH_RPC_URL"),
            RememberedDelegations = settings.Integer("REMEMBERED_DELEGATIONS", 65_536, 0, 10_000_000),
            SignatureThreads = settings.Integer("SIGNATURE_THREADS", Math.Max(1, Environment.ProcessorCount / 2), 1, 1024),
            SignatureQueue = settings.Limit("MAX_VERIFYING", 4096, 1_000_000),
            WaitingSockets = settings.Limit("MAX_WAITING_SOCKETS", 4096, 10_000_000),
            TrustedProxies = ReadNetworks(settings),
            MessageBytes = settings.Limit("MAX_MESSAGE_BYTES", 16 * 1024, 64 * 1024 * 1024),
            HeartbeatsPerSecond = settings.Limit("MAX_HEARTBEATS_PER_SECOND", 20, 1000),
            SendTimeout = settings.Limit("SEND_TIMEOUT_MS", 10_000, 3_600_000),
            SupersedeCooldown = settings.Limit("SUPERSEDE_COOLDOWN_MS", 5_000, 3_600_000),
            World = ReadWorld(settings),
            DrainWindow = TimeSpan.FromMilliseconds(settings.Number("DRAIN_WINDOW_MS", 10_000, 0, 600_000)),
        };
    }

    private static IReadOnlyList<IPNetwork> ReadNetworks(Settings settings)
    {
        var networks = new List<IPNetwork>();
        foreach (string text in settings.Text("TRUSTED_PROXIES").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (IPNetwork.TryParse(text, out IPNetwork network))
                networks.Add(network);
            else if (IPAddress.TryParse(text, out IPAddress? address))
                networks.Add(new IPNetwork(address, address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork ? 32 : 128));
            else
                settings.AddFault($"TRUSTED_PROXIES has \"{text}\"; it must be IP addresses or networks such as 10.0.0.0/8, separated by commas.");
        }
        return networks;
    }

    private static Area? ReadWorld(Settings settings)
    {
        string text = settings.Text("WORLD_BOUNDS");
        if (text.Length == 0)
            return null;
        if (Area.TryParse(text, out Area area))
            return area;
        settings.AddFault($"WORLD_BOUNDS is \"{text}\"; it must be {Area.Form}.");
        return null;
    }
}
