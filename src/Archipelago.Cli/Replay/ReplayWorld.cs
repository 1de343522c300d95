using System.Text.Encodings.Web;
using System.Text.Json;
using Archipelago.Core;
using Archipelago.Protocol;

namespace Archipelago.Cli.Replay;

/// <summary>Options that stand whatever a recording says; null for those that do not.</summary>
/// <param name="Join">The join distance, in metres.</param>
/// <param name="Leave">The leave distance, in metres.</param>
/// <param name="Cap">The most members of an island.</param>
/// <param name="Crowds">How crowds are cut.</param>
internal sealed record ReplayOverrides(double? Join, double? Leave, int? Cap, CrowdPolicy? Crowds = null);

/// <summary>An engine that is driven by names, and writes what each flush did.</summary>
internal sealed class ReplayWorld
{
    private sealed record Peer(string Name, PeerHandle Handle, long Added);

    private readonly IslandEngine engine = new();
    private readonly IslandNames names = new(null);
    private readonly Dictionary<string, Peer> peers = new(StringComparer.Ordinal);
    private readonly Dictionary<PeerHandle, Peer> byHandle = [];
    private readonly Stream? output;
    private readonly Utf8JsonWriter json;
    private readonly ReplayMeasures? measures;
    private readonly ReplayOverrides overrides;
    private readonly List<Peer> sorting = [];
    private long flushes;

    /// <summary>Makes an empty one.</summary>
    /// <param name="output">Where the islands and changes of each flush go, a line of JSON each; null for nowhere.</param>
    /// <param name="measures">Hears of each flush.</param>
    /// <param name="overrides">Options that stand whatever the recording says.</param>
    /// <exception cref="ArgumentException">They do not go together.</exception>
    public ReplayWorld(Stream? output, ReplayMeasures? measures = null, ReplayOverrides? overrides = null)
    {
        (this.output, this.measures, this.overrides) = (output, measures, overrides ?? new ReplayOverrides(null, null, null));
        json = new Utf8JsonWriter(output ?? Stream.Null, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
        SetOptions(default);
    }

    public void SetOptions(in ReplayLine line) => engine.Options = new IslandOptions
    {
        JoinDistance = overrides.Join ?? line.JoinDistance ?? engine.Options.JoinDistance,
        LeaveDistance = overrides.Leave ?? line.LeaveDistance ?? engine.Options.LeaveDistance,
        MaxIslandSize = overrides.Cap ?? line.MaxIslandSize ?? engine.Options.MaxIslandSize,
        Crowds = overrides.Crowds ?? line.Crowds ?? engine.Options.Crowds,
    };

    public void Move(string name, in Position position, bool prefers, string? prefer)
    {
        IslandId wish = prefer is null ? IslandId.None : names.TryParse(prefer, out long number) ? new IslandId(number) : IslandId.Unknown;
        if (!peers.TryGetValue(name, out Peer? peer))
        {
            peer = new Peer(name, engine.Add(position, wish), flushes);
            peers.Add(name, peer);
            byHandle.Add(peer.Handle, peer);
            return;
        }
        engine.Move(peer.Handle, position);
        // Before its first flush a peer's last report decides alone.
        if (prefers || peer.Added == flushes)
            engine.Prefer(peer.Handle, wish);
    }

    public void Leave(string name)
    {
        if (!peers.Remove(name, out Peer? peer))
            return;
        byHandle.Remove(peer.Handle);
        engine.Remove(peer.Handle);
    }

    /// <summary>Flushes, and tells what it did.</summary>
    /// <param name="time">When it was, in Unix milliseconds; null when nobody says.</param>
    public void Flush(double? time)
    {
        flushes++;
        IslandChange[] changes = engine.Flush().Changes.ToArray();
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        measures?.Note(snapshot, changes, time);
        if (output is not null)
            Write(output, snapshot, changes);
    }

    private void Write(Stream to, IslandSnapshot snapshot, IslandChange[] changes)
    {
        json.WriteStartObject();
        json.WriteNumber("flush", flushes);
        json.WriteStartArray("islands");
        foreach (ref readonly IslandInfo island in snapshot.Islands)
            WriteIsland(snapshot, island);
        json.WriteEndArray();
        json.WriteStartArray("changes");
        foreach ((Peer peer, IslandChange change) in changes.Select(c => (byHandle[c.Peer], c)).OrderBy(c => c.Item1.Name, StringComparer.Ordinal))
            WriteChange(peer, change);
        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        json.Reset();
        to.WriteByte((byte)'\n');
    }

    private void WriteIsland(IslandSnapshot snapshot, in IslandInfo island)
    {
        sorting.Clear();
        foreach (ref readonly IslandMember member in snapshot.MembersOf(island))
            sorting.Add(byHandle[member.Peer]);
        sorting.Sort(static (a, b) => string.CompareOrdinal(a.Name, b.Name));
        json.WriteStartObject();
        json.WriteString("id", names.Format(island.Id.Value));
        json.WriteStartArray("peers");
        foreach (Peer peer in sorting)
            json.WriteStringValue(peer.Name);
        json.WriteEndArray();
        json.WriteStartArray("center");
        json.WriteNumberValue(island.CenterX);
        json.WriteNumberValue(0);
        json.WriteNumberValue(island.CenterZ);
        json.WriteEndArray();
        json.WriteNumber("radius", island.Radius);
        json.WriteEndObject();
    }

    private void WriteChange(Peer peer, in IslandChange change)
    {
        json.WriteStartObject();
        json.WriteString("peer", peer.Name);
        if (change.From.IsNone)
            json.WriteNull("from");
        else
            json.WriteString("from", names.Format(change.From.Value));
        json.WriteString("to", names.Format(change.To.Value));
        json.WriteEndObject();
    }
}
