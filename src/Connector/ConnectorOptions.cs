using Archipelago.Hosting;

namespace Archipelago.Connector;

/// <summary>What the Connector is told through its environment; <c>docs/configuration.md</c> lists the variables.</summary>
/// <param name="HandshakeTimeout">How long a client may take for each step before it is in.</param>
/// <param name="DenyListUrl">Where the list of denied wallets is; null when there is none.</param>
/// <param name="BanSweepPeriod">How often those who are in are checked for bans.</param>
/// <param name="IslandCheckPeriod">How often a session compares the island that it heard of last; ten times as often while it has heard of none. Zero: never.</param>
internal sealed record ConnectorOptions(TimeSpan HandshakeTimeout, string? DenyListUrl, TimeSpan BanSweepPeriod, TimeSpan IslandCheckPeriod)
{
    private const string PublicDenyList = "https://config.decentraland.org/denylist.json";

    public static ConnectorOptions Read(Settings settings)
    {
        double timeout = settings.Number("HANDSHAKE_TIMEOUT", 60_000, 0, 3_600_000);
        return new ConnectorOptions(
            TimeSpan.FromMilliseconds(timeout == 0 ? 60_000 : timeout),
            settings.Find("DENYLIST_URL") is null ? PublicDenyList : settings.HttpUrl("DENYLIST_URL"),
            TimeSpan.FromMilliseconds(settings.Number("BAN_SWEEP_INTERVAL_MS", 30_000, 1, 86_400_000)),
            TimeSpan.FromMilliseconds(settings.Number("ISLAND_CHECK_INTERVAL_MS", 30_000, 0, 86_400_000)));
    }
}
