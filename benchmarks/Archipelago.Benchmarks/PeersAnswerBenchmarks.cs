using System.Globalization;
using System.Text.Json;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Stats.Http;
using Archipelago.Stats.World;
using BenchmarkDotNet.Attributes;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Benchmarks;

/// <summary>The answer about a hundred thousand peers, without the network: objects made for a serializer, a writer told member by member, and the routes of Stats.</summary>
[MemoryDiagnoser]
public class PeersAnswerBenchmarks
{
    private const int Peers = 100_000;

    private readonly WorldState world = new(TimeProvider.System, new LogThrottle(TimeProvider.System, TimeSpan.FromSeconds(10)), NullLogger<WorldState>.Instance);
    private readonly WorldRoutes routes;
    private readonly JsonSerializerOptions web = new(JsonSerializerDefaults.Web);

    public PeersAnswerBenchmarks()
    {
        routes = new WorldRoutes(world);
        var random = new Random(1);
        for (int i = 0; i < Peers; i++)
        {
            var heartbeat = new Heartbeat { Position = new Position { X = (float)(random.NextDouble() * 50_000), Y = 0, Z = (float)(random.NextDouble() * 50_000) } };
            world.OnHeartbeat(new BusMessage(System.Text.Encoding.UTF8.GetBytes(Subjects.Heartbeat("0x" + i.ToString("x40", CultureInfo.InvariantCulture))), heartbeat.ToByteArray()));
        }
    }

    private sealed record PeerShape(string Id, string Address, long LastPing, double[] Parcel, double[] Position);

    private sealed record Answer(bool Ok, List<PeerShape> Peers);

    [Benchmark(Baseline = true)]
    public Task ObjectsAndSerializer()
    {
        var peers = new List<PeerShape>();
        PeerList all = world.Peers.All;
        for (int i = 0; i < all.Count; i++)
        {
            PeerState s = all[i].State;
            peers.Add(new PeerShape(all[i].Id, all[i].Id, s.LastPing, [s.Parcel.X, s.Parcel.Y], [s.X, s.Y, s.Z]));
        }
        return JsonSerializer.SerializeAsync(Stream.Null, new Answer(true, peers), web);
    }

    [Benchmark]
    public Task WriterMemberByMember() => Json.WriteInPagesAsync(Request(), Members);

    [Benchmark]
    public Task Routes() => routes.PeersAsync(Request());

    private IEnumerable<bool> Members(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteBoolean("ok", true);
        json.WriteStartArray("peers");
        PeerList all = world.Peers.All;
        for (int i = 0; i < all.Count; i++)
        {
            PeerState s = all[i].State;
            json.WriteStartObject();
            json.WriteString("id", all[i].Id);
            json.WriteString("address", all[i].Id);
            json.WriteNumber("lastPing", s.LastPing);
            json.WriteStartArray("parcel");
            json.WriteNumberValue(s.Parcel.X);
            json.WriteNumberValue(s.Parcel.Y);
            json.WriteEndArray();
            json.WriteStartArray("position");
            json.WriteNumberValue((double)s.X);
            json.WriteNumberValue((double)s.Y);
            json.WriteNumberValue((double)s.Z);
            json.WriteEndArray();
            json.WriteEndObject();
            yield return true;
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static DefaultHttpContext Request()
    {
        var context = new DefaultHttpContext();
        context.Response.Body = Stream.Null;
        return context;
    }
}
