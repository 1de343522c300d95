using System.Buffers;
using System.Text.Json;
using Archipelago.Hosting;
using Archipelago.Protocol;
using Archipelago.Stats.World;

namespace Archipelago.Stats.Live;

/// <summary>
/// What the readers of the live stream have been told, and what has changed since. In the stream a peer has a number, which is shorter than its address. One thread at a time.
/// </summary>
/// <param name="world">What is known.</param>
/// <param name="clock">Tells the time.</param>
internal sealed class LiveWorld(WorldState world, TimeProvider clock)
{
    private sealed record Told(Island Island, int[] Members);

    private readonly List<Peer> peers = [];
    private readonly List<Peer> came = [];
    private readonly List<Peer> moved = [];
    private readonly List<int> left = [];
    private readonly List<string> gone = [];
    private readonly List<(Told Now, bool SameMembers)> changed = [];
    private readonly ArrayBufferWriter<byte> buffer = new();
    private Dictionary<string, Told> islands = [];
    private IReadOnlyList<Island>? report;
    private FlushReport? flush;
    private LeaderStatus? leader;
    private bool healthy;
    private string version = "";
    private byte[]? whole;
    private int numbers;

    /// <summary>Takes note of the world as it is now; the frame that tells what is new, or null when nothing is.</summary>
    public byte[]? Advance()
    {
        string now = world.Version;
        LeaderStatus? leads = world.Leader;
        if (now == version && ReferenceEquals(flush, world.LastFlush) && ReferenceEquals(leader, leads) && healthy == world.IsCoreHealthy)
            return null;
        bool newFlush = !ReferenceEquals(flush, world.LastFlush), newLeader = !ReferenceEquals(leader, leads);
        (version, flush, leader, healthy) = (now, world.LastFlush, leads, world.IsCoreHealthy);
        NotePeers();
        NoteIslands();
        whole = null;
        return Frame("changes"u8, json => WriteChanges(json, newFlush, newLeader));
    }

    /// <summary>The frame that tells everything, as of the last <see cref="Advance"/>; the same for all who need it until the next.</summary>
    public byte[] Whole() => whole ??= Frame("world"u8, WriteWhole);

    private void NotePeers()
    {
        came.Clear();
        moved.Clear();
        left.Clear();
        for (int i = peers.Count - 1; i >= 0; i--)
        {
            if (!peers[i].IsGone)
                continue;
            left.Add(peers[i].StreamNumber);
            // As if it had never been here, whichever island still holds it.
            peers[i].StreamNumber = 0;
            peers[i] = peers[^1];
            peers.RemoveAt(peers.Count - 1);
        }
        PeerList all = world.Peers.All;
        for (int i = 0; i < all.Count; i++)
        {
            Peer peer = all[i];
            if (peer.IsGone)
                continue;
            PeerState state = peer.State;
            if (peer.StreamNumber == 0)
            {
                peer.StreamNumber = ++numbers;
                peers.Add(peer);
                came.Add(peer);
            }
            else if (!peer.StreamPlace.Equals((state.X, state.Z)))
            {
                moved.Add(peer);
            }
            peer.StreamPlace = (state.X, state.Z);
        }
    }

    private void NoteIslands()
    {
        changed.Clear();
        gone.Clear();
        if (ReferenceEquals(report, world.Islands) && came.Count == 0 && left.Count == 0)
            return;
        report = world.Islands;
        var now = new Dictionary<string, Told>(report.Count);
        foreach (Island island in report)
        {
            int[] members = [.. world.MembersOf(island).Select(m => m.StreamNumber).Where(n => n != 0)];
            var told = new Told(island, members);
            if (!now.TryAdd(island.Id, told))
                continue;
            bool known = islands.TryGetValue(island.Id, out Told? before), same = known && before!.Members.AsSpan().SequenceEqual(members);
            if (!same || before!.Island.CenterX != island.CenterX || before.Island.CenterZ != island.CenterZ || before.Island.Radius != island.Radius || before.Island.MaxPeers != island.MaxPeers)
                changed.Add((told, same));
        }
        gone.AddRange(islands.Keys.Where(id => !now.ContainsKey(id)));
        islands = now;
    }

    private void WriteWhole(Utf8JsonWriter json)
    {
        WriteTime(json);
        WritePeers(json, "peers", peers, named: true);
        json.WriteStartArray("islands");
        foreach (Told told in islands.Values)
            WriteIsland(json, told, sameMembers: false);
        json.WriteEndArray();
        WriteFlush(json);
        if (leader is not null)
            WriteLeader(json);
    }

    private void WriteChanges(Utf8JsonWriter json, bool newFlush, bool newLeader)
    {
        WriteTime(json);
        WritePeers(json, "came", came, named: true);
        WritePeers(json, "moved", moved, named: false);
        json.WriteStartArray("left");
        foreach (int number in left)
            json.WriteNumberValue(number);
        json.WriteEndArray();
        json.WriteStartArray("islands");
        foreach ((Told told, bool sameMembers) in changed)
            WriteIsland(json, told, sameMembers);
        json.WriteEndArray();
        json.WriteStartArray("gone");
        foreach (string id in gone)
            json.WriteStringValue(id);
        json.WriteEndArray();
        if (newFlush)
            WriteFlush(json);
        if (newLeader)
            WriteLeader(json);
    }

    private void WriteTime(Utf8JsonWriter json)
    {
        json.WriteNumber("time", clock.GetUtcNow().ToUnixTimeMilliseconds());
        json.WriteBoolean("healthy", healthy);
        json.WriteNumber("heartbeats", world.Heartbeats);
    }

    private static void WritePeers(Utf8JsonWriter json, string name, List<Peer> some, bool named)
    {
        json.WriteStartArray(name);
        foreach (Peer peer in some)
        {
            json.WriteStartArray();
            json.WriteNumberValue(peer.StreamNumber);
            if (named)
                json.WriteStringValue(peer.Json);
            WriteMetres(json, peer.StreamPlace.X);
            WriteMetres(json, peer.StreamPlace.Z);
            json.WriteEndArray();
        }
        json.WriteEndArray();
    }

    private static void WriteIsland(Utf8JsonWriter json, Told told, bool sameMembers)
    {
        Island island = told.Island;
        json.WriteStartObject();
        json.WriteString("id", island.Json);
        json.WriteNumber("max", island.MaxPeers);
        json.WritePropertyName("x");
        WriteMetres(json, island.CenterX);
        json.WritePropertyName("z");
        WriteMetres(json, island.CenterZ);
        json.WritePropertyName("radius");
        WriteMetres(json, island.Radius);
        if (!sameMembers)
        {
            json.WriteStartArray("peers");
            foreach (int member in told.Members)
                json.WriteNumberValue(member);
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    /// <summary>Who leads of several Services; null when nobody has said so for long, or there is only one.</summary>
    private void WriteLeader(Utf8JsonWriter json)
    {
        if (leader is not { } leads)
        {
            json.WriteNull("leader");
            return;
        }
        json.WriteStartObject("leader");
        json.WriteString("node", leads.Node);
        json.WriteNumber("term", leads.Term);
        json.WriteNumber("since", leads.Since);
        json.WriteString("cause", leads.Cause);
        json.WriteStartArray("standbys");
        foreach (StandbyStatus standby in leads.Standbys)
        {
            json.WriteStartObject();
            json.WriteString("node", standby.Node);
            json.WriteBoolean("ready", standby.Ready);
            WriteDouble(json, "lagMs", Math.Round(standby.LagMs, 1));
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private void WriteFlush(Utf8JsonWriter json)
    {
        if (flush is not { } done)
            return;
        json.WriteStartObject("flush");
        json.WriteNumber("number", done.Flush);
        WriteDouble(json, "seconds", done.Seconds);
        WriteDouble(json, "flushMs", done.FlushMs);
        WriteDouble(json, "slowestNewcomerFlushMs", done.SlowestNewcomerFlushMs);
        json.WriteNumber("newcomers", done.Newcomers);
        json.WriteNumber("splits", done.Splits);
        json.WriteNumber("merges", done.Merges);
        json.WriteNumber("crowdMoves", done.CrowdMoves);
        json.WriteNumber("crowdMembers", done.CrowdMembers);
        if (done.HasNeighbourRecall)
            WriteDouble(json, "neighbourRecall", done.NeighbourRecall);
        json.WriteNumber("left", done.Left);
        json.WriteNumber("heartbeats", done.Heartbeats);
        json.WriteEndObject();
    }

    /// <summary>The bus may tell anything, and what is no number is told as none.</summary>
    private static void WriteDouble(Utf8JsonWriter json, string name, double value)
    {
        json.WritePropertyName(name);
        json.WriteNumber(value);
    }

    /// <summary>Centimetres are enough to draw.</summary>
    private static void WriteMetres(Utf8JsonWriter json, double metres) => json.WriteNumber(Math.Round(metres, 2));

    private byte[] Frame(ReadOnlySpan<byte> kind, Action<Utf8JsonWriter> write)
    {
        buffer.ResetWrittenCount();
        buffer.Write("event: "u8);
        buffer.Write(kind);
        buffer.Write("\ndata: "u8);
        using (var json = new Utf8JsonWriter(buffer, Json.WriterOptions))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }
        buffer.Write("\n\n"u8);
        return buffer.WrittenSpan.ToArray();
    }
}
