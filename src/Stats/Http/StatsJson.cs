using System.Text.Json;
using Archipelago.Hosting;
using Archipelago.Hosting.Scenes;
using Archipelago.Stats.World;

namespace Archipelago.Stats.Http;

/// <summary>The JSON shapes of the Stats API, members in the order that its clients know.</summary>
internal static class StatsJson
{
    private static readonly JsonEncodedText Id = Name("id"), Address = Name("address"), LastPing = Name("lastPing"), Parcel = Name("parcel"), Position = Name("position");

    public static void WritePeer(Utf8JsonWriter json, Peer peer, in PeerState state)
    {
        (double x, double y) = state.Parcel;
        json.WriteStartObject();
        json.WriteString(Id, peer.Json);
        json.WriteString(Address, peer.Json);
        json.WriteNumber(LastPing, state.LastPing);
        json.WriteStartArray(Parcel);
        json.WriteNumber(x);
        json.WriteNumber(y);
        json.WriteEndArray();
        json.WriteStartArray(Position);
        json.WriteNumber(state.X);
        json.WriteNumber(state.Y);
        json.WriteNumber(state.Z);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>Writes an island without its end; its members follow, and then <see cref="WriteIslandEnd"/>.</summary>
    public static void WriteIslandStart(Utf8JsonWriter json, Island island)
    {
        json.WriteStartObject();
        json.WriteString(Id, island.Json);
        json.WriteNumber("maxPeers", island.MaxPeers);
        json.WriteStartArray("center");
        json.WriteNumber(island.CenterX);
        json.WriteNumber(island.CenterY);
        json.WriteNumber(island.CenterZ);
        json.WriteEndArray();
        json.WritePropertyName("radius");
        json.WriteNumber(island.Radius);
        json.WriteStartArray("peers");
    }

    public static void WriteIslandEnd(Utf8JsonWriter json)
    {
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public static void WriteParcel(Utf8JsonWriter json, (double X, double Y) parcel, int peers)
    {
        json.WriteStartObject();
        json.WriteNumber("peersCount", peers);
        json.WriteStartObject(Parcel);
        json.WritePropertyName("x");
        json.WriteNumber(parcel.X);
        json.WritePropertyName("y");
        json.WriteNumber(parcel.Y);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    public static void WriteHotScene(Utf8JsonWriter json, HotScene hot)
    {
        json.WriteStartObject();
        hot.WriteHead(json);
        hot.WriteParcels(json);
        WriteIfPresent(json, "creator", hot.Scene.Creator);
        WriteIfPresent(json, "projectId", hot.Scene.ProjectId);
        WriteIfPresent(json, "description", hot.Scene.Description);
        json.WriteEndObject();
    }

    private static void WriteIfPresent(Utf8JsonWriter json, string name, string? value)
    {
        if (value is not null)
            json.WriteString(name, value);
    }

    private static JsonEncodedText Name(string text) => JsonEncodedText.Encode(text);
}
