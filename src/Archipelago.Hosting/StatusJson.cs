using System.Text.Json;

namespace Archipelago.Hosting;

/// <summary>The answer of <c>/status</c>: which build runs, and its clock.</summary>
public static class StatusJson
{
    /// <summary>Writes <c>version</c>, <c>currentTime</c> in Unix milliseconds and <c>commitHash</c>.</summary>
    /// <param name="json">Receives one object.</param>
    /// <param name="context">The host.</param>
    /// <param name="userCount">Adds <c>userCount</c>, where the host has users.</param>
    public static void Write(Utf8JsonWriter json, HostContext context, int? userCount = null)
    {
        ArgumentNullException.ThrowIfNull(json);
        ArgumentNullException.ThrowIfNull(context);
        json.WriteStartObject();
        WriteBuild(json, context);
        if (userCount is { } count)
            json.WriteNumber("userCount", count);
        json.WriteEndObject();
    }

    /// <summary>Writes the same into an object that the caller has begun.</summary>
    public static void WriteBuild(Utf8JsonWriter json, HostContext context)
    {
        ArgumentNullException.ThrowIfNull(json);
        ArgumentNullException.ThrowIfNull(context);
        json.WriteString("version", context.Build.Version);
        json.WriteNumber("currentTime", context.Clock.GetUtcNow().ToUnixTimeMilliseconds());
        json.WriteString("commitHash", context.Build.CommitHash ?? "");
    }
}
