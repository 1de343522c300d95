using Archipelago.Messaging;
using Archipelago.Nats;
using Archipelago.Protocol;
using Archipelago.Testing;

namespace Archipelago.Service.Tests;

/// <summary>One Service dies, in whatever way, and nobody notices.</summary>
public class StandbyTests
{
    public static TheoryData<string, bool> Phases
    {
        get
        {
            var data = new TheoryData<string, bool>();
            foreach (FlushLoop.Phase phase in Enum.GetValues<FlushLoop.Phase>())
            {
                data.Add(phase.ToString(), false);
                data.Add(phase.ToString(), true);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Phases))]
    public async Task Wherever_in_a_beat_the_leader_dies_nobody_is_moved(string phase, bool onServer)
    {
        await using NatsServer? server = onServer ? await NatsServer.StartAsync(arguments: "-js -sd {folder}") : null;
        await using StandbyFixture realm = StandbyFixture.Create(server);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        realm.Come("a", 40);
        await realm.AllTold();
        // Those who come now may be told or not when it dies.
        Task died = leader.DieAt(Enum.Parse<FlushLoop.Phase>(phase));
        realm.Come("b", 40);
        await died;
        await Eventually.TrueAsync(() => standby.Leads);
        realm.Come("c", 8);
        await realm.AllTold();
        realm.AssertNobodyMoved();
        realm.AssertTermsRise();
        Assert.Equal((1, 0), standby.Loop.Takeovers);
        Assert.Equal("expired", standby.Leadership.Now.Cause);
        string[] islands = [.. realm.Islands.Values.Distinct()];
        Assert.Equal(22, islands.Length);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_leader_that_is_asked_to_end_hands_over_and_nothing_is_lost(bool onServer)
    {
        await using NatsServer? server = onServer ? await NatsServer.StartAsync(arguments: "-js -sd {folder}") : null;
        await using StandbyFixture realm = StandbyFixture.Create(server);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        realm.Come("a", 40);
        await realm.AllTold();
        realm.Come("b", 40);
        Task stopping = leader.StopAsync();
        realm.Come("c", 40);
        await stopping;
        Assert.True(standby.Leads);
        await realm.AllTold();
        realm.AssertNobodyMoved();
        realm.AssertTermsRise();
        Assert.Equal("handed", standby.Leadership.Now.Cause);
        Assert.Equal(0, realm.Dropped);
        string status = await standby.StatusAsync();
        Assert.Contains("\"role\":\"leader\"", status, StringComparison.Ordinal);
        Assert.Contains("\"cause\":\"handed\"", status, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Leadership_goes_round_among_three_and_ids_never_repeat()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        (ServiceNode one, ServiceNode two) = await realm.StartTwoAsync();
        ServiceNode three = await realm.StartAsync("three");
        await Eventually.TrueAsync(() => three.StandsBy);
        Assert.Contains("\"standbys\":[{\"node\":\"t", await one.StatusAsync(), StringComparison.Ordinal);
        realm.Come("a", 20);
        await realm.AllTold();
        var islands = new HashSet<string>(realm.Islands.Values);
        List<ServiceNode> alive = [one, two, three];
        foreach (char group in "bc")
        {
            ServiceNode leader = alive.Find(n => n.Leads)!;
            await leader.DieAt(FlushLoop.Phase.Begun);
            alive.Remove(leader);
            await Eventually.TrueAsync(() => alive.Exists(n => n.Leads));
            realm.Come(group.ToString(), 20);
            await realm.AllTold();
            Assert.Equal(5, realm.Islands.Where(i => i.Key[0] == group).Select(i => i.Value).Distinct().Count(islands.Add));
            await Eventually.TrueAsync(() => alive.TrueForAll(n => n.Leads || n.StandsBy));
        }
        realm.AssertNobodyMoved();
        realm.AssertTermsRise();
    }

    [Fact]
    public async Task Who_left_or_came_anew_just_before_the_leader_died_is_treated_as_if_it_had_not()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        realm.Come("a", 8);
        await realm.AllTold();
        await leader.DieAt(FlushLoop.Phase.Begun);
        realm.Leave("a0");
        realm.Leave("a5");
        realm.Come("b", 4);
        realm.Move("a1", -5000, 0);
        await Eventually.TrueAsync(() => standby.Leads);
        await Eventually.TrueAsync(() => realm.Told.Count(t => t.Address == "a1") == 2);
        await realm.AllTold();
        await Eventually.TrueAsync(() => standby.Worlds.Now.Peers.Count == 10);
        Assert.False(standby.Worlds.Now.Peers.TryFind("a0"u8, out _));
        Assert.Equal(13, realm.Told.Count);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_leader_that_is_cut_off_falls_silent_and_is_a_standby_when_it_is_back(bool onServer)
    {
        await using NatsServer? server = onServer ? await NatsServer.StartAsync(arguments: "-js -sd {folder}") : null;
        await using StandbyFixture realm = StandbyFixture.Create(server);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        realm.Come("a", 40);
        await realm.AllTold();
        leader.Wire.IsCut = true;
        await Eventually.TrueAsync(() => standby.Leads);
        Assert.False(leader.Leads);
        realm.Come("b", 20);
        await realm.AllTold();
        leader.Wire.IsCut = false;
        await Eventually.TrueAsync(() => leader.StandsBy);
        // And the other way round.
        await standby.DieAt(FlushLoop.Phase.Told);
        await Eventually.TrueAsync(() => leader.Leads);
        realm.Come("c", 20);
        await realm.AllTold();
        realm.AssertNobodyMoved();
        realm.AssertTermsRise();
        Assert.Equal((1, 1), leader.Loop.Takeovers);
    }

    [Fact]
    public async Task A_standby_that_was_cut_off_catches_up()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        realm.Come("a", 20);
        await realm.AllTold();
        standby.Wire.IsCut = true;
        realm.Come("b", 20);
        await realm.AllTold();
        Assert.True(leader.Leads);
        standby.Wire.IsCut = false;
        await Eventually.TrueAsync(() => standby.StandsBy && standby.Worlds.Now.Peers.Count == 40);
        await leader.DieAt(FlushLoop.Phase.Done);
        await Eventually.TrueAsync(() => standby.Leads);
        realm.Come("c", 4);
        await realm.AllTold();
        realm.AssertNobodyMoved();
    }

    [Fact]
    public async Task Messages_that_are_lost_doubled_or_out_of_order_are_noticed()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        var random = new Random(1);
        byte[]? held = null;
        var fates = new int[4];
        standby.Wire.Tamper = (message, deliver) =>
        {
            int fate = random.Next(4);
            fates[fate]++;
            if (fate == 1)
            {
                deliver(message);
                deliver(message);
            }
            else if (fate == 2 && held is null)
            {
                held = message;
            }
            else if (fate != 0)
            {
                deliver(message);
                if (held is not null)
                    deliver(held);
                held = null;
            }
        };
        for (char group = 'a'; group < 'k'; group++)
        {
            realm.Come(group.ToString(), 8);
            await realm.AllTold();
        }
        await Eventually.TrueAsync(() => fates.All(f => f > 3));
        standby.Wire.Tamper = null;
        await Eventually.TrueAsync(() => standby.StandsBy && standby.Worlds.Now.Peers.Count == 80);
        await leader.DieAt(FlushLoop.Phase.Done);
        await Eventually.TrueAsync(() => standby.Leads);
        realm.Come("z", 4);
        await realm.AllTold();
        realm.AssertNobodyMoved();
    }

    [Fact]
    public async Task A_standby_that_does_not_understand_the_leader_says_so_and_is_better_than_none()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        ServiceNode leader = await realm.StartAsync("one");
        await Eventually.TrueAsync(() => leader.Leads);
        realm.Come("a", 8);
        await realm.AllTold();
        ServiceNode standby = await realm.StartAsync("two");
        await Eventually.TrueAsync(() => standby.StandsBy);
        // The next version of the leader speaks another way.
        standby.Wire.Tamper = (message, deliver) =>
        {
            message[0] = 9;
            deliver(message);
        };
        await Eventually.TrueAsync(() => !standby.StandsBy);
        Assert.Contains("version 9", await standby.StatusAsync(), StringComparison.Ordinal);
        Assert.Contains("\"fail\"", await standby.StatusAsync("/health/ready"), StringComparison.Ordinal);
        await leader.DieAt(FlushLoop.Phase.Done);
        await Eventually.TrueAsync(() => standby.Leads);
        Assert.Contains("\"pass\"", await standby.StatusAsync("/health/ready"), StringComparison.Ordinal);
        realm.Come("b", 8);
        await realm.AllTold();
        realm.AssertNobodyMoved();
    }

    /// <summary>A wall clock that says what the test wants.</summary>
    private sealed class JumpyClock : TimeProvider
    {
        public TimeSpan Jump { get; set; }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Jump;
    }

    [Fact]
    public async Task Clocks_that_jump_change_nothing()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        JumpyClock one = new(), two = new() { Jump = TimeSpan.FromDays(-400) };
        ServiceNode leader = await realm.StartAsync("one", clock: one);
        await Eventually.TrueAsync(() => leader.Leads);
        ServiceNode standby = await realm.StartAsync("two", clock: two);
        await Eventually.TrueAsync(() => standby.StandsBy);
        realm.Come("a", 8);
        await realm.AllTold();
        long term = leader.Leadership.Now.Term;
        foreach (double days in (double[])[1, -2, 800])
        {
            one.Jump = TimeSpan.FromDays(days);
            long flush = leader.Worlds.Now.Engine.FlushCount;
            await Eventually.TrueAsync(() => leader.Worlds.Now.Engine.FlushCount > flush + 5);
            Assert.True(leader.Leads);
            Assert.Equal(term, leader.Leadership.Now.Term);
        }
        await leader.DieAt(FlushLoop.Phase.Done);
        await Eventually.TrueAsync(() => standby.Leads);
        Assert.Equal(term + 1, standby.Leadership.Now.Term);
        realm.Come("b", 4);
        await realm.AllTold();
        realm.AssertNobodyMoved();
    }

    [Fact]
    public async Task Both_are_asked_to_end_and_the_last_one_leaves_its_state()
    {
        string folder = Directory.CreateTempSubdirectory("standby").FullName;
        Dictionary<string, string> State(string name) => new() { ["ARCHIPELAGO_STATE_FILE"] = Path.Combine(folder, name) };
        try
        {
            await using StandbyFixture realm = StandbyFixture.Create(null);
            ServiceNode one = await realm.StartAsync("one", State("one"));
            await Eventually.TrueAsync(() => one.Leads);
            ServiceNode two = await realm.StartAsync("two", State("two"));
            await Eventually.TrueAsync(() => two.StandsBy);
            realm.Come("a", 20);
            await realm.AllTold();
            await one.StopAsync();
            await two.StopAsync();
            Assert.Equal(["two"], Directory.GetFiles(folder).Select(Path.GetFileName));
            ServiceNode again = await realm.StartAsync("two", State("two"));
            await Eventually.TrueAsync(() => again.Leads);
            realm.Come("b", 4);
            await realm.AllTold();
            realm.AssertNobodyMoved();
            realm.AssertTermsRise();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task The_server_is_restarted_and_nobody_is_moved()
    {
        await using NatsServer server = await NatsServer.StartAsync(arguments: "-js -sd {folder}");
        await using StandbyFixture realm = StandbyFixture.Create(server);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        realm.Come("a", 20);
        await realm.AllTold();
        await server.KillAsync();
        await Eventually.TrueAsync(() => !leader.Leads);
        await server.StartAgainAsync();
        await Eventually.TrueAsync(() => (leader.Leads && standby.StandsBy) || (standby.Leads && leader.StandsBy));
        realm.Come("b", 20);
        await realm.AllTold();
        realm.AssertNobodyMoved();
        realm.AssertTermsRise();
    }

    [Fact]
    public async Task A_server_that_has_forgotten_the_bucket_gets_another()
    {
        await using NatsServer server = await NatsServer.StartAsync(arguments: "-js -sd {folder}/js");
        await using StandbyFixture realm = StandbyFixture.Create(server);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        realm.Come("a", 20);
        await realm.AllTold();
        long term = leader.Leadership.Now.Term;
        await server.KillAsync();
        Directory.Delete(Path.Combine(server.Folder, "js"), recursive: true);
        await server.StartAgainAsync();
        await Eventually.TrueAsync(() => Math.Max(leader.Leadership.Now.Term, standby.Leadership.Now.Term) > term);
        await Eventually.TrueAsync(() => (leader.Leads && standby.StandsBy) || (standby.Leads && leader.StandsBy));
        realm.Come("b", 20);
        await realm.AllTold();
        realm.AssertNobodyMoved();
        realm.AssertTermsRise();
    }

    /// <summary>Three servers, of which two are enough.</summary>
    [Fact]
    public async Task Any_server_of_three_may_be_lost()
    {
        int[] ports = [.. Enumerable.Range(0, 6).Select(_ => NatsServer.FreePort())];
        string routes = string.Join(',', ports[3..].Select(p => $"nats://127.0.0.1:{p}"));
        var servers = new NatsServer[3];
        for (int i = 0; i < 3; i++)
            servers[i] = await NatsServer.StartAsync(arguments: $"-js -sd {{folder}}/js -n s{i} --cluster_name c -cluster nats://127.0.0.1:{ports[3 + i]} -routes {routes}", port: ports[i]);
        await using NatsServer first = servers[0], second = servers[1], third = servers[2];
        await using StandbyFixture realm = StandbyFixture.OnServers([.. servers.Select(s => s.Url)], replicas: 3);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        Assert.Equal(3, await CopiesAsync(servers[0].Url));
        realm.Come("a", 20);
        await realm.AllTold();
        char group = 'b';
        foreach (NatsServer server in servers)
        {
            // One of the three leads the bucket, and each is lost once.
            await server.KillAsync();
            await realm.AllHaveLeft(server.Url);
            await Eventually.TrueAsync(() => leader.Leads != standby.Leads && (leader.StandsBy || standby.StandsBy), 40);
            realm.Come(group.ToString(), 8);
            await Eventually.TrueAsync(() => realm.Everybody.All(realm.Islands.ContainsKey), 40);
            await server.StartAgainAsync();
            await Eventually.TrueAsync(async () => await CopiesAsync(server.Url) == 3, 40);
            group++;
        }
        realm.AssertNobodyMoved();
        realm.AssertTermsRise();
        // And a Service, on top.
        (ServiceNode dying, ServiceNode next) = (leader, standby);
        await Eventually.TrueAsync(() =>
        {
            (dying, next) = leader.Leads ? (leader, standby) : (standby, leader);
            return dying.Leads && next.StandsBy;
        });
        await dying.DieAt(FlushLoop.Phase.Told);
        await Eventually.TrueAsync(() => next.Leads);
        realm.Come("z", 4);
        await realm.AllTold();
        realm.AssertNobodyMoved();
    }

    /// <summary>How many servers have the whole bucket, as its leader knows; 0 while there is none.</summary>
    private static async Task<int> CopiesAsync(Uri server)
    {
        await using NatsConnection connection = await NatsConnection.ConnectAsync(new NatsOptions { Servers = [server] });
        try
        {
            NatsReply reply = await connection.RequestAsync("$JS.API.STREAM.INFO.KV_archipelago", default, TimeSpan.FromSeconds(1));
            using var answer = System.Text.Json.JsonDocument.Parse(reply.Payload);
            return answer.RootElement.TryGetProperty("cluster", out System.Text.Json.JsonElement cluster) && cluster.TryGetProperty("leader", out _) && cluster.TryGetProperty("replicas", out System.Text.Json.JsonElement replicas)
                ? 1 + replicas.EnumerateArray().Count(r => r.GetProperty("current").GetBoolean())
                : 0;
        }
        catch (Exception e) when (e is TimeoutException or NatsException)
        {
            return 0;
        }
    }
}
