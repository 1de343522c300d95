using System.Text.Json.Nodes;

namespace Archipelago.RealmProvider;

/// <summary>A healthy content server: its URL as configured, and what its <c>/about</c> said. The document is never changed; take a copy.</summary>
internal sealed record Catalyst(string Url, JsonObject About)
{
    /// <summary>True when the server says that it is healthy and accepts users, with JavaScript's idea of truth.</summary>
    public bool IsOpen => IsTruthy(About["healthy"]) && IsTruthy(About["acceptingUsers"]);

    public ServiceVersion ContentVersion => ServiceVersion.Parse(Text(About["content"], "version"));

    public ServiceVersion LambdasVersion => ServiceVersion.Parse(Text(About["lambdas"], "version"));

    public string? RealmName => Text(About["configurations"], "realmName") is { Length: > 0 } name ? name : null;

    private static string? Text(JsonNode? parent, string member) =>
        parent is JsonObject o && o[member] is JsonValue v && v.TryGetValue(out string? text) ? text : null;

    private static bool IsTruthy(JsonNode? node) => node switch
    {
        null => false,
        JsonValue v when v.TryGetValue(out bool b) => b,
        JsonValue v when v.TryGetValue(out double d) => d != 0,
        JsonValue v when v.TryGetValue(out string? s) => s.Length > 0,
        _ => true,
    };
}

/// <summary>A version of three numbers; what is missing or no number counts as 0.</summary>
internal readonly record struct ServiceVersion(double Major, double Minor, double Patch) : IComparable<ServiceVersion>
{
    public static ServiceVersion Parse(string? text)
    {
        string[] parts = (text ?? "").Split('.');
        return new ServiceVersion(Part(parts, 0), Part(parts, 1), Part(parts, 2));
    }

    public int CompareTo(ServiceVersion other) => (Major, Minor, Patch).CompareTo((other.Major, other.Minor, other.Patch));

    private static double Part(string[] parts, int index) =>
        index < parts.Length && double.TryParse(parts[index], System.Globalization.CultureInfo.InvariantCulture, out double value) && double.IsFinite(value) ? value : 0;
}
