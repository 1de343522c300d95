using System.Text.Json;
using Archipelago.Hosting;
using Archipelago.Stats.World;
using Microsoft.Extensions.ObjectPool;
using Microsoft.Extensions.Primitives;

namespace Archipelago.Stats.Http;

/// <summary>
/// Peers, islands and parcels over HTTP. Who is in an answer, and in which order, is as of the moment at which the request came; where each of them is, as of the moment
/// at which it is written. Nothing is copied for a request, and nobody who reports waits for it.
/// </summary>
/// <param name="world">What is known.</param>
internal sealed class WorldRoutes(WorldState world)
{
    private readonly ObjectPool<OrderedDictionary<(double X, double Y), int>> tallies = new DefaultObjectPool<OrderedDictionary<(double X, double Y), int>>(new TallyPolicy());

    /// <summary>Adds the routes under a prefix.</summary>
    public void Map(IEndpointRouteBuilder app, string prefix)
    {
        const string Box = "Only a part of the world: x1,z1,x2,z2 in metres, the lower ends first.";
        app.MapRoute(prefix + "/parcels", ParcelsAsync)
            .Answers<ParcelsShape>("Parcels with people on them, in the order in which the first of them came.").Or(StatusCodes.Status304NotModified);
        app.MapRoute(prefix + "/peers", PeersAsync)
            .Answers<PeersShape>("Who is here, in the order of arrival.").Or(StatusCodes.Status304NotModified).Or<ErrorShape>(StatusCodes.Status400BadRequest)
            .WithQuery("id", "Only these addresses, in any case.", repeats: true).WithQuery("bbox", Box);
        app.MapRoute(prefix + "/peers/:id", PeerAsync).Answers<OnePeerShape>("One of them.").Or<OnePeerShape>(StatusCodes.Status404NotFound);
        app.MapRoute(prefix + "/islands", IslandsAsync)
            .Answers<IslandsShape>("The islands of the last flush, with their members.").Or(StatusCodes.Status304NotModified).Or<ErrorShape>(StatusCodes.Status400BadRequest)
            .WithQuery("bbox", Box);
        app.MapRoute(prefix + "/islands/:id", IslandAsync).Answers<IslandShape>("One of them.").Or(StatusCodes.Status404NotFound);
    }

    private Task ParcelsAsync(HttpContext http) => EntityTags.IsKnown(http, world.Version) ? Task.CompletedTask : Json.WriteInPagesAsync(http, WriteParcels);

    /// <summary>People by parcel, in the order in which the first of them came.</summary>
    public static void Tally(PeerList peers, OrderedDictionary<(double X, double Y), int> tally)
    {
        for (int i = 0; i < peers.Count; i++)
        {
            if (peers[i].IsGone)
                continue;
            (double X, double Y) parcel = peers[i].State.Parcel;
            if (!tally.TryAdd(parcel, 1, out int index))
                tally.SetAt(index, tally.GetAt(index).Value + 1);
        }
    }

    private IEnumerable<bool> WriteParcels(Utf8JsonWriter json)
    {
        OrderedDictionary<(double X, double Y), int> tally = tallies.Get();
        try
        {
            Tally(world.Peers.All, tally);
            json.WriteStartObject();
            json.WriteStartArray("parcels");
            for (int i = 0; i < tally.Count; i++)
            {
                StatsJson.WriteParcel(json, tally.GetAt(i).Key, tally.GetAt(i).Value);
                yield return true;
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        finally
        {
            tallies.Return(tally);
        }
    }

    internal Task PeersAsync(HttpContext http)
    {
        if (!TryReadArea(http, out Area? area))
            return RefuseAreaAsync(http);
        if (EntityTags.IsKnown(http, world.Version))
            return Task.CompletedTask;
        StringValues ids = http.Request.Query["id"];
        HashSet<string>? wanted = ids.Count == 0 ? null : new HashSet<string>(ids.OfType<string>(), StringComparer.OrdinalIgnoreCase);
        return Json.WriteInPagesAsync(http, json => WritePeers(json, wanted, area));
    }

    private IEnumerable<bool> WritePeers(Utf8JsonWriter json, HashSet<string>? wanted, Area? area)
    {
        json.WriteStartObject();
        json.WriteBoolean("ok", true);
        json.WriteStartArray("peers");
        PeerList peers = world.Peers.All;
        for (int i = 0; i < peers.Count; i++)
        {
            Peer peer = peers[i];
            if (peer.IsGone || wanted?.Contains(peer.Id) == false)
                continue;
            PeerState state = peer.State;
            if (area?.Contains(state.X, state.Z) == false)
                continue;
            StatsJson.WritePeer(json, peer, state);
            yield return true;
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private Task PeerAsync(HttpContext http)
    {
        bool known = world.Peers.TryFind((string)http.Request.RouteValues["id"]!, out Peer? peer);
        return Json.WriteAsync(http, known ? StatusCodes.Status200OK : StatusCodes.Status404NotFound, json =>
        {
            json.WriteStartObject();
            json.WriteBoolean("ok", known);
            json.WritePropertyName("peer");
            if (known)
                StatsJson.WritePeer(json, peer!, peer!.State);
            else
                json.WriteNullValue();
            json.WriteEndObject();
        });
    }

    private Task IslandsAsync(HttpContext http)
    {
        if (!TryReadArea(http, out Area? area))
            return RefuseAreaAsync(http);
        return EntityTags.IsKnown(http, world.Version) ? Task.CompletedTask : Json.WriteInPagesAsync(http, json => WriteIslands(json, area));
    }

    private IEnumerable<bool> WriteIslands(Utf8JsonWriter json, Area? area)
    {
        json.WriteStartObject();
        json.WriteBoolean("ok", true);
        json.WriteStartArray("islands");
        foreach (Island island in world.Islands)
        {
            if (area?.Touches(island.CenterX, island.CenterZ, island.Radius) == false)
                continue;
            foreach (bool page in WriteIsland(json, island))
                yield return page;
            yield return true;
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private IEnumerable<bool> WriteIsland(Utf8JsonWriter json, Island island)
    {
        StatsJson.WriteIslandStart(json, island);
        foreach (Peer member in world.MembersOf(island))
        {
            StatsJson.WritePeer(json, member, member.State);
            yield return true;
        }
        StatsJson.WriteIslandEnd(json);
    }

    private Task IslandAsync(HttpContext http)
    {
        string id = (string)http.Request.RouteValues["id"]!;
        if (world.Islands.FirstOrDefault(i => i.Id == id) is { } island)
            return Json.WriteInPagesAsync(http, json => WriteIsland(json, island));
        http.Response.StatusCode = StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }

    private static bool TryReadArea(HttpContext http, out Area? area)
    {
        area = null;
        StringValues text = http.Request.Query["bbox"];
        if (text.Count == 0)
            return true;
        bool isOne = Area.TryParse(text.ToString(), out Area read);
        area = read;
        return isOne;
    }

    private static Task RefuseAreaAsync(HttpContext http) => Json.WriteErrorAsync(http, StatusCodes.Status400BadRequest, $"bbox must be {Area.Form}, such as -160,-160,160,160.");

    private sealed class TallyPolicy : PooledObjectPolicy<OrderedDictionary<(double X, double Y), int>>
    {
        public override OrderedDictionary<(double X, double Y), int> Create() => [];

        public override bool Return(OrderedDictionary<(double X, double Y), int> obj)
        {
            obj.Clear();
            return true;
        }
    }
}
