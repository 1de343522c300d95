using System.Text.Json.Nodes;
using Archipelago.Hosting;
using Archipelago.Hosting.Scenes;
using Archipelago.RealmProvider.Catalysts;

namespace Archipelago.RealmProvider;

/// <summary>What the RealmProvider is told through its environment; <c>docs/configuration.md</c> lists the variables.</summary>
internal sealed record RealmProviderOptions
{
    /// <summary>Where Stats answers, without trailing slash.</summary>
    public required string StatsUrl { get; init; }

    /// <summary>Where the Connector answers and listens for clients, without trailing slash.</summary>
    public required string ConnectorUrl { get; init; }

    /// <summary>Catalysts to probe; empty where the content server is fixed, or the list is the DAO's.</summary>
    public required IReadOnlyList<string> Catalysts { get; init; }

    /// <summary>The description of the fixed content server; null where catalysts are probed.</summary>
    public required JsonObject? Fixed { get; init; }

    /// <summary>The Ethereum network.</summary>
    public required string Network { get; init; }

    /// <summary>The Ethereum node that knows the DAO's contract; null where the configuration has the list.</summary>
    public required Uri? NodeUrl { get; init; }

    /// <summary>Keeps the DAO's list from one run to the next; null for nowhere.</summary>
    public required string? CatalystListFile { get; init; }

    /// <summary>A catalyst whose lower-cased URL contains one of these is not offered.</summary>
    public required IReadOnlyList<string> Blacklist { get; init; }

    /// <summary>How the world reaches us; null to take it from each request.</summary>
    public required string? BaseUrl { get; init; }

    /// <summary>The request header that has the visitor's country.</summary>
    public required string CountryHeader { get; init; }

    /// <summary>The status of <c>/main/about</c> while the main realm is unhealthy.</summary>
    public required int UnhealthyStatus { get; init; }

    /// <summary>How often each catalyst is asked how it is.</summary>
    public required TimeSpan ProbePeriod { get; init; }

    /// <summary>How long a catalyst, Stats or the Connector may take for an answer.</summary>
    public required TimeSpan ProbeTimeLimit { get; init; }

    /// <summary>How often Stats and the Connector are asked how they are.</summary>
    public required TimeSpan CommsProbePeriod { get; init; }

    /// <summary>When the content server is asked for hot scenes.</summary>
    public required HotScenesOptions HotScenes { get; init; }

    public static RealmProviderOptions Read(Settings settings)
    {
        string[] catalysts = [.. settings.Text("CATALYST_URLS").Split([',', ';', ' '], StringSplitOptions.RemoveEmptyEntries).Select(u => u.TrimEnd('/')).Distinct(StringComparer.Ordinal)];
        foreach (string url in catalysts.Where(u => !Uri.TryCreate(u, UriKind.Absolute, out Uri? parsed) || parsed.Scheme is not ("http" or "https")))
            settings.AddFault($"CATALYST_URLS holds \"{url}\"; each must be an http or https URL.");
        string? content = settings.HttpUrl("CATALYST_CONTENT_URL"), lambdas = settings.HttpUrl("CATALYST_LAMBDAS_URL");
        if (content is null != lambdas is null)
            settings.AddFault("one of CATALYST_CONTENT_URL and CATALYST_LAMBDAS_URL is set; a fixed content server needs both.");

        string network = settings.Text("ETH_NETWORK", "mainnet");
        if (!DaoContract.Networks.TryGetValue(network, out (int ChainId, string Contract) known))
            settings.AddFault($"ETH_NETWORK is \"{network}\"; it must be mainnet, sepolia or goerli.");
        bool isConfigured = catalysts.Length > 0 || (content is not null && lambdas is not null);
        string? node = settings.Find("ETH_RPC_URL") is null ? $"https://rpc.decentraland.org/{network}?project=realm-provider" : settings.HttpUrl("ETH_RPC_URL");
        if (!isConfigured && node is null)
            settings.AddFault("no content server is configured. Set ETH_RPC_URL to an Ethereum node that knows the DAO's list, CATALYST_URLS to catalysts to choose from, or CATALYST_CONTENT_URL and CATALYST_LAMBDAS_URL to one that is fixed.");
        int unhealthy = settings.Integer("ABOUT_UNHEALTHY_STATUS", StatusCodes.Status200OK);
        if (unhealthy is not (StatusCodes.Status200OK or StatusCodes.Status503ServiceUnavailable))
            settings.AddFault($"ABOUT_UNHEALTHY_STATUS is {unhealthy}; it must be 200 or 503.");
        return new RealmProviderOptions
        {
            StatsUrl = settings.HttpUrl("ARCHIPELAGO_STATS_URL") ?? "https://archipelago-stats.decentraland.org",
            ConnectorUrl = settings.HttpUrl("ARCHIPELAGO_WS_CONNECTOR_URL") ?? "https://archipelago-ws-connector.decentraland.org",
            Catalysts = catalysts,
            Fixed = isConfigured && catalysts.Length == 0 ? Describe(content, lambdas, known.ChainId) : null,
            Network = network,
            NodeUrl = isConfigured || node is null ? null : new Uri(node),
            CatalystListFile = settings.Text("CATALYST_LIST_FILE") is { Length: > 0 } file ? file : null,
            Blacklist = settings.Text("BLACKLISTED_CATALYST").Split(';', StringSplitOptions.RemoveEmptyEntries),
            BaseUrl = settings.HttpUrl("HTTP_BASE_URL"),
            CountryHeader = settings.Text("COUNTRY_HEADER", "CF-IPCountry"),
            UnhealthyStatus = unhealthy,
            ProbePeriod = TimeSpan.FromMilliseconds(settings.Number("CATALYST_PROBE_INTERVAL_MS", 10_000, 100, 3_600_000)),
            ProbeTimeLimit = TimeSpan.FromMilliseconds(settings.Number("PROBE_TIMEOUT_MS", 1_000, 10, 60_000)),
            CommsProbePeriod = TimeSpan.FromMilliseconds(settings.Number("COMMS_PROBE_INTERVAL_MS", 1_000, 100, 3_600_000)),
            HotScenes = HotScenesOptions.Read(settings),
        };
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
