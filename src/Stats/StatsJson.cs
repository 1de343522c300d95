using System.Text.Json;
using Archipelago.Hosting;

namespace Archipelago.Stats;

/// <summary>The JSON shapes of the Stats API, members in the order that its clients know.</summary>
internal static class StatsJson
{
    public static void WritePeer(Utf8JsonWriter json, PeerState peer)
    {
        (double x, double y) = peer.Parcel;
        json.WriteStartObject();
        json.WriteString("id", peer.Id);
        json.WriteString("address", peer.Id);
        json.WriteNumber("lastPing", peer.LastPing);
        json.WriteStartArray("parcel");
        json.WriteNumber(x);
        json.WriteNumber(y);
        json.WriteEndArray();
        json.WriteStartArray("position");
        json.WriteNumber(peer.X);
        json.WriteNumber(peer.Y);
        json.WriteNumber(peer.Z);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public static void WriteIsland(Utf8JsonWriter json, IslandState island, IEnumerable<PeerState> members)
    {
        json.WriteStartObject();
        json.WriteString("id", island.Id);
        json.WriteNumber("maxPeers", island.MaxPeers);
        json.WriteStartArray("center");
        json.WriteNumber(island.CenterX);
        json.WriteNumber(island.CenterY);
        json.WriteNumber(island.CenterZ);
        json.WriteEndArray();
        json.WritePropertyName("radius");
        json.WriteNumber(island.Radius);
        json.WriteStartArray("peers");
        foreach (PeerState peer in members)
            WritePeer(json, peer);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>Parcels with how many stand on them, in the order in which the first one came.</summary>
    public static void WriteParcels(Utf8JsonWriter json, IEnumerable<PeerState> peers)
    {
        json.WriteStartObject();
        json.WriteStartArray("parcels");
        foreach (IGrouping<(double X, double Y), PeerState> parcel in peers.GroupBy(p => p.Parcel))
        {
            json.WriteStartObject();
            json.WriteNumber("peersCount", parcel.Count());
            json.WriteStartObject("parcel");
            json.WritePropertyName("x");
            json.WriteNumber(parcel.Key.X);
            json.WritePropertyName("y");
            json.WriteNumber(parcel.Key.Y);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
