using System.Text.Json.Nodes;

namespace Archipelago.RealmProvider;

/// <summary>Puts together the documents that describe realms (ADR-110).</summary>
internal static class RealmDocuments
{
    /// <summary>The catalyst's own description, with the comms of the main realm in place of its own; whatever else it says is passed on.</summary>
    public static JsonObject About(Catalyst catalyst, MainRealmStatus status, string adapter)
    {
        var about = (JsonObject)catalyst.About.DeepClone();
        if (about["configurations"] is not JsonObject configurations)
            about["configurations"] = configurations = [];
        configurations["realmName"] = MainRealm.Name;
        about["healthy"] = status.Healthy;
        about["acceptingUsers"] = status.Healthy;

        var comms = new JsonObject();
        if (status.Version is not null)
            comms["version"] = status.Version;
        if (status.CommitHash is not null)
            comms["commitHash"] = status.CommitHash;
        comms["healthy"] = status.Healthy;
        comms["protocol"] = "v3";
        comms["usersCount"] = status.UserCount;
        comms["adapter"] = adapter;
        about["comms"] = comms;

        if (about["bff"] is JsonObject bff)
            bff["userCount"] = status.UserCount;
        return about;
    }

    /// <summary>Every catalyst that is a realm of its own, then the main realm if it is healthy.</summary>
    public static JsonArray Realms(IEnumerable<Catalyst> healthy, MainRealmStatus status, string baseUrl)
    {
        var realms = new JsonArray();
        foreach (Catalyst catalyst in healthy)
            if (catalyst.RealmName is { } name && catalyst.About["comms"] is JsonObject comms)
                realms.Add((JsonNode)Realm(name, catalyst.Url, comms["usersCount"]?.DeepClone() ?? 0));
        if (status.Healthy)
            realms.Add((JsonNode)Realm(MainRealm.Name, baseUrl + "/main", status.UserCount));
        return realms;
    }

    private static JsonObject Realm(string name, string url, JsonNode users) =>
        new() { ["serverName"] = name, ["url"] = url, ["usersCount"] = users };
}
