using System.Globalization;
using System.Text.Json;

namespace Archipelago.Hosting.Scenes;

/// <summary>A scene as a content server describes it.</summary>
/// <param name="Id">The entity's id.</param>
/// <param name="BaseX">Its base parcel.</param>
/// <param name="BaseY">Its base parcel.</param>
/// <param name="Parcels">Its parcels as they are listed, such as <c>-7,3</c>; one may be listed twice.</param>
public sealed record Scene(string Id, int BaseX, int BaseY, IReadOnlyList<string> Parcels)
{
    /// <summary>Its title.</summary>
    public string? Name { get; init; }

    /// <summary>The URL of its picture.</summary>
    public string? Thumbnail { get; init; }

    /// <summary>Who made it.</summary>
    public string? Creator { get; init; }

    /// <summary>The project that it was made from.</summary>
    public string? ProjectId { get; init; }

    /// <summary>What it says of itself.</summary>
    public string? Description { get; init; }

    /// <summary>Reads an entity of a content server's answer.</summary>
    /// <param name="entity">The entity.</param>
    /// <param name="contentUrl">The content server, without trailing slash.</param>
    /// <returns>Null when it is no scene that can stand in a list: without an id, a base parcel or parcels that are one.</returns>
    public static Scene? Read(JsonElement entity, string contentUrl)
    {
        JsonElement metadata = Member(entity, "metadata"), place = Member(metadata, "scene"), display = Member(metadata, "display");
        if (Text(entity, "id") is not { } id || Text(place, "base") is not { } origin || !TryReadParcel(origin, out int x, out int y)
            || Member(place, "parcels") is not { ValueKind: JsonValueKind.Array } listed)
            return null;
        var parcels = new List<string>(listed.GetArrayLength());
        foreach (JsonElement parcel in listed.EnumerateArray())
        {
            if (parcel.ValueKind != JsonValueKind.String || !TryReadParcel(parcel.GetString()!, out _, out _))
                return null;
            parcels.Add(parcel.GetString()!);
        }
        return new Scene(id, x, y, parcels)
        {
            Name = Text(display, "title"),
            Thumbnail = ThumbnailOf(entity, Text(display, "navmapThumbnail"), contentUrl),
            Creator = Text(Member(metadata, "contact"), "name"),
            ProjectId = Text(Member(metadata, "source"), "projectId"),
            Description = Text(display, "description"),
        };
    }

    /// <summary>Reads a parcel such as <c>-7,3</c>.</summary>
    public static bool TryReadParcel(string text, out int x, out int y)
    {
        ArgumentNullException.ThrowIfNull(text);
        y = 0;
        string[] parts = text.Split(',');
        return int.TryParse(parts[0], NumberStyles.Integer, CultureInfo.InvariantCulture, out x)
            && parts.Length == 2 && int.TryParse(parts[1], NumberStyles.Integer, CultureInfo.InvariantCulture, out y);
    }

    private static string? ThumbnailOf(JsonElement entity, string? thumbnail, string contentUrl)
    {
        if (thumbnail is null || thumbnail.StartsWith("http", StringComparison.Ordinal))
            return thumbnail;
        if (Member(entity, "content") is { ValueKind: JsonValueKind.Array } content)
            foreach (JsonElement file in content.EnumerateArray())
                if (Text(file, "file") == thumbnail && Text(file, "hash") is { } hash)
                    return $"{contentUrl}/contents/{hash}";
        return null;
    }

    private static JsonElement Member(JsonElement parent, string name) =>
        parent.ValueKind == JsonValueKind.Object && parent.TryGetProperty(name, out JsonElement member) ? member : default;

    private static string? Text(JsonElement parent, string name) =>
        Member(parent, name) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;
}
