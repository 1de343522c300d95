using System.Text.Json;
using Archipelago.Hosting;
using Archipelago.Hosting.Scenes;
using Archipelago.Stats.World;

namespace Archipelago.Stats.Http;

/// <summary>The JSON shapes of the Stats API, members in the order that its clients know.</summary>
internal static class StatsJson
{
    private const int NumberLength = 32, RowLength = 64 + (6 * NumberLength);

    /// <summary>Writes one peer. There may be a hundred thousand of them in an answer, so that it is put together here and not member by member.</summary>
    public static void WritePeer(Utf8JsonWriter json, Peer peer, in PeerState state)
    {
        ReadOnlySpan<byte> id = peer.Json.EncodedUtf8Bytes;
        int length = RowLength + (2 * id.Length);
        Span<byte> row = length <= 1024 ? stackalloc byte[length] : new byte[length];
        (double x, double y) = state.Parcel;
        int at = 0;
        Put(row, "{\"id\":\""u8, ref at);
        Put(row, id, ref at);
        Put(row, "\",\"address\":\""u8, ref at);
        Put(row, id, ref at);
        Put(row, "\",\"lastPing\":"u8, ref at);
        Put(row, state.LastPing, ref at);
        Put(row, ",\"parcel\":["u8, ref at);
        Put(row, x, ref at);
        row[at++] = (byte)',';
        Put(row, y, ref at);
        Put(row, "],\"position\":["u8, ref at);
        Put(row, state.X, ref at);
        row[at++] = (byte)',';
        Put(row, state.Y, ref at);
        row[at++] = (byte)',';
        Put(row, state.Z, ref at);
        Put(row, "]}"u8, ref at);
        json.WriteRawValue(row[..at], skipInputValidation: true);
    }

    /// <summary>Writes an island without its end; its members follow, and then <see cref="WriteIslandEnd"/>.</summary>
    public static void WriteIslandStart(Utf8JsonWriter json, Island island)
    {
        json.WriteStartObject();
        json.WriteString("id", island.Json);
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
        json.WriteStartObject("parcel");
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

    private static void Put(Span<byte> row, ReadOnlySpan<byte> text, ref int at)
    {
        text.CopyTo(row[at..]);
        at += text.Length;
    }

    private static void Put(Span<byte> row, double number, ref int at) => at += Json.FormatNumber(row[at..], number);
}
