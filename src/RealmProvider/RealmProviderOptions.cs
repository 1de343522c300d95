using System.Text.Json.Nodes;
using Archipelago.Hosting;

namespace Archipelago.RealmProvider;

/// <summary>What the RealmProvider is told through its environment; <c>docs/configuration.md</c> lists the variables.</summary>
/// <param name="StatsUrl">Where Stats answers, without trailing slash.</param>
/// <param name="ConnectorUrl">Where the Connector answers and listens for clients, without trailing slash.</param>
/// <param name="Catalysts">Catalysts to probe; empty where the content server is fixed.</param>
/// <param name="Fixed">The description of the fixed content server; null where catalysts are probed.</param>
/// <param name="Blacklist">A catalyst whose lower-cased URL contains one of these is not offered.</param>
/// <param name="BaseUrl">How the world reaches us; null to take it from each request.</param>
/// <param name="ProbePeriod">How often each catalyst is asked how it is.</param>
internal sealed record RealmProviderOptions(
    string StatsUrl,
    string ConnectorUrl,
    IReadOnlyList<string> Catalysts,
    JsonObject? Fixed,
    IReadOnlyList<string> Blacklist,
    string? BaseUrl,
    TimeSpan ProbePeriod)
{
    private static readonly Dictionary<string, int> ChainIds = new() { ["mainnet"] = 1, ["sepolia"] = 11155111, ["goerli"] = 5 };

    public static RealmProviderOptions Read(Settings settings)
    {
        string[] catalysts = settings.Text("CATALYST_URLS").Split([',', ';', ' '], StringSplitOptions.RemoveEmptyEntries);
        foreach (string url in catalysts.Where(u => !Uri.TryCreate(u, UriKind.Absolute, out Uri? parsed) || parsed.Scheme is not ("http" or "https")))
            settings.AddFault($"CATALYST_URLS holds \"{url}\"; each must be an http or https URL.");
        string? content = settings.HttpUrl("CATALYST_CONTENT_URL"), lambdas = settings.HttpUrl("CATALYST_LAMBDAS_URL");
        if (catalysts.Length == 0 && (content is null || lambdas is null))
            settings.AddFault("no content server is configured. Set CATALYST_URLS to catalysts to choose from, or CATALYST_CONTENT_URL and CATALYST_LAMBDAS_URL to one that is fixed.");

        string network = settings.Text("ETH_NETWORK", "mainnet");
        if (!ChainIds.TryGetValue(network, out int chainId))
            settings.AddFault($"ETH_NETWORK is \"{network}\"; it must be mainnet, sepolia or goerli.");
        return new RealmProviderOptions(
            settings.HttpUrl("ARCHIPELAGO_STATS_URL") ?? "https://archipelago-stats.decentraland.org",
            settings.HttpUrl("ARCHIPELAGO_WS_CONNECTOR_URL") ?? "https://archipelago-ws-connector.decentraland.org",
            catalysts,
            catalysts.Length == 0 ? Describe(content, lambdas, chainId) : null,
            settings.Text("BLACKLISTED_CATALYST").Split(';', StringSplitOptions.RemoveEmptyEntries),
            settings.HttpUrl("HTTP_BASE_URL"),
            TimeSpan.FromMilliseconds(settings.Number("CATALYST_PROBE_INTERVAL_MS", 10_000, 100, 3_600_000)));
    }

    /// <summary>A fixed content server is described as its operator gave it; nobody asks it how it is.</summary>
    private static JsonObject Describe(string? content, string? lambdas, int chainId) => new()
    {
        ["healthy"] = true,
        ["acceptingUsers"] = true,
        ["configurations"] = new JsonObject { ["networkId"] = chainId, ["globalScenesUrn"] = new JsonArray(), ["scenesUrn"] = new JsonArray() },
        ["content"] = new JsonObject { ["healthy"] = true, ["publicUrl"] = content + "/", ["synchronizationStatus"] = "Synced" },
        ["lambdas"] = new JsonObject { ["healthy"] = true, ["publicUrl"] = lambdas + "/" },
    };
}
