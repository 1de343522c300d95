using System.ComponentModel;

namespace Archipelago.RealmProvider;

// The shapes of the answers, for their description alone: what is sent is written without making objects. Tests hold the one against the other.

[Description("The description of a realm (ADR-110): the chosen content server's own, its comms replaced by those of the main realm. Whatever else the server says of itself is passed on.")]
internal sealed record AboutShape(bool Healthy, bool AcceptingUsers, ConfigurationsShape Configurations, CommsShape Comms, ServiceShape Content, ServiceShape Lambdas);

internal sealed record ConfigurationsShape([property: Description("The name of the realm: main.")] string RealmName)
{
    [Description("1 for the Ethereum mainnet.")]
    public int? NetworkId { get; init; }

    public IReadOnlyList<string>? GlobalScenesUrn { get; init; }

    public IReadOnlyList<string>? ScenesUrn { get; init; }
}

internal sealed record CommsShape(
    bool Healthy,
    [property: Description("v3")] string Protocol,
    [property: Description("People whom the Service knows.")] long UsersCount,
    [property: Description("Where clients connect: archipelago:archipelago: and a WebSocket URL.")] string Adapter)
{
    public string? Version { get; init; }

    public string? CommitHash { get; init; }
}

internal sealed record ServiceShape([property: Description("Where it answers.")] string PublicUrl)
{
    public bool? Healthy { get; init; }

    public string? Version { get; init; }

    public string? SynchronizationStatus { get; init; }
}

internal sealed record RealmShape(string ServerName, string Url, double UsersCount);

internal sealed record HotSceneShape(
    string Id,
    IReadOnlyList<int> BaseCoords,
    [property: Description("People on its parcels, in all realms.")] long UsersTotalCount,
    IReadOnlyList<RealmCountShape> Realms,
    IReadOnlyList<IReadOnlyList<int>> Parcels)
{
    public string? Name { get; init; }

    public string? Thumbnail { get; init; }
}

internal sealed record RealmCountShape(string ServerName, long UsersCount);
