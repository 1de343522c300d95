using System.Text.Json;

namespace Archipelago.Core.Tests;

/// <summary>Replays what the reference engine did: memberships, surviving ids and the set of changed peers must match.</summary>
public class EngineVectorTests
{
    private static readonly JsonElement Scenarios =
        JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors", "engine.json"))).RootElement.GetProperty("scenarios");

    public static TheoryData<string> Core => Names("core");

    public static TheoryData<string> NonFinite => Names("non-finite");

    private static TheoryData<string> Names(string kind) =>
        [.. Scenarios.EnumerateArray().Where(s => s.GetProperty("kind").GetString() == kind).Select(s => s.GetProperty("name").GetString()!)];

    [Fact]
    public void All_31_core_scenarios_are_replayed() => Assert.Equal(31, Core.Count);

    [Theory]
    [MemberData(nameof(Core))]
    public void Replays(string name)
    {
        using var replay = new Replay(Find(name));
        foreach (JsonElement step in Find(name).GetProperty("steps").EnumerateArray())
            replay.Step(step);
    }

    [Fact]
    public void A_peer_that_reports_NaN_stays_where_it_was()
    {
        using var replay = new Replay(Find("NaN in an existing island"));
        JsonElement[] steps = [.. Find("NaN in an existing island").GetProperty("steps").EnumerateArray()];
        replay.Step(steps[0]);
        replay.Step(steps[1]);
        string before = replay.Partition();
        replay.Report(steps[2]);
        replay.Flush();
        Assert.Equal(before, replay.Partition());
        Assert.Empty(replay.Changed);
    }

    [Fact]
    public void A_newcomer_that_reports_NaN_is_refused_until_its_position_is_valid()
    {
        using var replay = new Replay(Find("NaN position isolates the peer"));
        JsonElement[] steps = [.. Find("NaN position isolates the peer").GetProperty("steps").EnumerateArray()];
        replay.Report(steps[0]);
        replay.Flush();
        Assert.Equal(["v1", "v2"], replay.Changed.Order());
        replay.Report(steps[2]);
        replay.Flush();
        Assert.Equal("n,v1,v2", replay.Partition());
    }

    private static JsonElement Find(string name) =>
        Scenarios.EnumerateArray().Single(s => s.GetProperty("name").GetString() == name);

    private sealed class Replay(JsonElement scenario) : IDisposable
    {
        private readonly IslandEngine engine = new(new IslandOptions
        {
            JoinDistance = scenario.GetProperty("joinDistance").GetDouble(),
            LeaveDistance = scenario.GetProperty("leaveDistance").GetDouble(),
            MaxIslandSize = scenario.GetProperty("maxIslandSize").GetInt32(),
        });

        private readonly Dictionary<string, PeerHandle> handles = [];
        private readonly HashSet<string> pending = [];
        private Dictionary<string, IslandId> ours = [];

        public List<string> Changed { get; private set; } = [];

        public void Dispose() => engine.Dispose();

        public void Step(JsonElement step)
        {
            switch (step.GetProperty("op").GetString())
            {
                case "positions": Report(step); break;
                case "disconnect": Disconnect(step); break;
                case "flush":
                    Flush();
                    Compare(step);
                    break;
                default: throw new InvalidOperationException("Not a step for the engine.");
            }
        }

        public void Report(JsonElement step)
        {
            foreach (JsonElement change in step.GetProperty("changes").EnumerateArray())
            {
                string id = change.GetProperty("id").GetString()!;
                float[] p = [.. change.GetProperty("position").EnumerateArray().Select(v => v.ValueKind == JsonValueKind.String ? float.NaN : v.GetSingle())];
                var position = new Position(p[0], p[1], p[2]);
                IslandId preferred = change.TryGetProperty("preferred", out JsonElement wish)
                    ? ours.GetValueOrDefault(wish.GetString()!, IslandId.Unknown)
                    : IslandId.None;
                if (!handles.TryGetValue(id, out PeerHandle handle))
                {
                    if (!position.IsFinite)
                        continue;
                    handles[id] = engine.Add(position, preferred);
                    pending.Add(id);
                    continue;
                }
                Assert.Equal(position.IsFinite, engine.Move(handle, position));
                if (pending.Contains(id) || !preferred.IsNone)
                    engine.Prefer(handle, preferred);
            }
        }

        public void Flush()
        {
            Dictionary<PeerHandle, string> names = handles.ToDictionary(h => h.Value, h => h.Key);
            Changed = [.. engine.Flush().Changes.ToArray().Select(c => names[c.Peer])];
            pending.Clear();
            engine.PublishSnapshot();
        }

        public string Partition()
        {
            Dictionary<PeerHandle, string> names = handles.ToDictionary(h => h.Value, h => h.Key);
            using IslandSnapshot snapshot = engine.AcquireSnapshot();
            return Text(snapshot.Islands.ToArray().Select(i => snapshot.MembersOf(i).ToArray().Select(m => names[m.Peer])));
        }

        private void Disconnect(JsonElement step)
        {
            foreach (JsonElement id in step.GetProperty("ids").EnumerateArray())
                if (handles.Remove(id.GetString()!, out PeerHandle handle))
                    Assert.True(engine.Remove(handle));
        }

        private static string Text(IEnumerable<IEnumerable<string>> islands) =>
            string.Join(" | ", islands.Select(m => string.Join(",", m.Order(StringComparer.Ordinal))).Order(StringComparer.Ordinal));

        private void Compare(JsonElement step)
        {
            JsonElement[] expected = [.. step.GetProperty("islands").EnumerateArray()];
            Assert.Equal(Text(expected.Select(i => i.GetProperty("peers").EnumerateArray().Select(p => p.GetString()!))), Partition());

            using IslandSnapshot snapshot = engine.AcquireSnapshot();
            var now = new Dictionary<string, IslandId>();
            foreach (JsonElement island in expected)
            {
                string id = island.GetProperty("id").GetString()!;
                PeerHandle member = handles[island.GetProperty("peers")[0].GetString()!];
                Assert.True(snapshot.TryFindIsland(member, out IslandInfo info));
                now[id] = info.Id;
                if (ours.TryGetValue(id, out IslandId before))
                    Assert.Equal(before, info.Id);
                else
                    Assert.DoesNotContain(info.Id, ours.Values);
                if (!island.TryGetProperty("center", out JsonElement recorded))
                    continue;
                double[] center = [.. recorded.EnumerateArray().Select(v => v.GetDouble())];
                Assert.Equal(center[0], info.CenterX, 1e-4);
                Assert.Equal(center[2], info.CenterZ, 1e-4);
                Assert.Equal(island.GetProperty("radius").GetDouble(), info.Radius, 1e-4);
            }
            ours = now;

            var updated = step.GetProperty("updates").EnumerateArray()
                .Where(u => u.GetProperty("action").GetString() == "changeTo").Select(u => u.GetProperty("peer").GetString()!);
            Assert.Equal(updated.Order(), Changed.Order());
        }
    }
}
