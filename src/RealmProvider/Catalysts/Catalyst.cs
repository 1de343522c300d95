using System.Text.Json.Nodes;

namespace Archipelago.RealmProvider.Catalysts;

/// <summary>A content server: its URL as listed, and what its <c>/about</c> said. Any thread may read it.</summary>
internal sealed class Catalyst
{
    /// <summary>Reads what is needed of the document once.</summary>
    /// <param name="url">Its URL as listed.</param>
    /// <param name="about">What it said; not to be changed any more.</param>
    /// <exception cref="InvalidOperationException">A text is none.</exception>
    public Catalyst(string url, JsonObject about)
    {
        (Url, About, text) = (url, about, about.ToJsonString());
        IsOpen = IsTruthy(about["healthy"]) && IsTruthy(about["acceptingUsers"]);
        ContentVersion = ServiceVersion.Parse(Text(about["content"], "version"));
        LambdasVersion = ServiceVersion.Parse(Text(about["lambdas"], "version"));
        RealmName = Text(about["configurations"], "realmName") is { Length: > 0 } name ? name : null;
        if (about["comms"] is JsonObject comms)
            UsersCount = comms["usersCount"] is JsonValue count && count.TryGetValue(out double users) && double.IsFinite(users) ? users : 0;
    }

    private readonly string text;

    /// <summary>True when both say the same.</summary>
    public bool Says(Catalyst other) => text == other.text;

    public string Url { get; }

    /// <summary>What it said. Take a copy to change it.</summary>
    public JsonObject About { get; }

    /// <summary>True when the server says that it is healthy and accepts users, with JavaScript's idea of truth.</summary>
    public bool IsOpen { get; }

    public ServiceVersion ContentVersion { get; }

    public ServiceVersion LambdasVersion { get; }

    /// <summary>The name of its own realm; null when it has none.</summary>
    public string? RealmName { get; }

    /// <summary>People on comms of its own; null when it has none.</summary>
    public double? UsersCount { get; }

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
