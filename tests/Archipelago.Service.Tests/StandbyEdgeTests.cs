using System.Buffers;
using System.Text;
using Archipelago.Core;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Nats;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Archipelago.Service.Replication;
using Archipelago.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Position = Archipelago.Core.Position;

namespace Archipelago.Service.Tests;

/// <summary>What happens between two things that are simple by themselves.</summary>
public class StandbyEdgeTests
{
    [Fact]
    public async Task A_leader_that_is_asked_to_end_in_the_middle_of_a_beat_finishes_it_first()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        realm.Come("a", 40);
        await realm.AllTold();
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously), goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        leader.Loop.PhaseHook = phase =>
        {
            if (phase != FlushLoop.Phase.Begun || !begun.TrySetResult())
                return Task.CompletedTask;
            return goOn.Task;
        };
        await begun.Task;
        realm.Come("b", 40);
        await Eventually.TrueAsync(() => leader.Worlds.Now.Peers.Count == 80);
        Task stopping = leader.StopAsync();
        goOn.SetResult();
        await stopping;
        Assert.True(standby.Leads);
        realm.Come("c", 4);
        await realm.AllTold();
        realm.AssertNobodyMoved();
        Assert.Equal("handed", standby.Leadership.Now.Cause);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Whoever_ends_last_leaves_its_state(bool atOnce)
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
            // The standby first: there is nobody to hand over to, and it has said so.
            Task first = two.StopAsync();
            if (!atOnce)
                await first;
            await one.StopAsync();
            await first;
            Assert.NotEmpty(Directory.GetFiles(folder));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Who_leaves_or_comes_anew_before_a_restored_Service_leads_does_so_there_too()
    {
        string folder = Directory.CreateTempSubdirectory("standby").FullName;
        try
        {
            await using StandbyFixture realm = StandbyFixture.Create(null);
            Dictionary<string, string> state = new() { ["ARCHIPELAGO_STATE_FILE"] = Path.Combine(folder, "state") };
            ServiceNode one = await realm.StartAsync("one", state);
            realm.Come("a", 4);
            await realm.AllTold();
            await one.StopAsync();
            ServiceNode again = await realm.StartAsync("one", state);
            Assert.NotNull(again.Worlds.Follower);
            realm.Leave("a0");
            await Eventually.TrueAsync(() => again.Leads);
            await Eventually.TrueAsync(() => again.Worlds.Now.Engine.PeerCount == 3);
            Assert.False(again.Worlds.Now.Peers.TryFind("a0"u8, out _));
            realm.AssertNobodyMoved();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Ids_do_not_repeat_when_a_standby_knows_only_an_earlier_leader()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        (ServiceNode one, ServiceNode two) = await realm.StartTwoAsync();
        ServiceNode three = await realm.StartAsync("three");
        await Eventually.TrueAsync(() => three.StandsBy);
        realm.Come("a", 8);
        await realm.AllTold();
        // Nothing of the second leader gets to the third.
        three.Wire.Tamper = (message, deliver) =>
        {
            if (three.Leadership.LatestTerm == one.Leadership.Now.Term)
                deliver(message);
        };
        await one.DieAt(FlushLoop.Phase.Begun);
        await Eventually.TrueAsync(() => two.Leads || three.Leads);
        (ServiceNode second, ServiceNode last) = two.Leads ? (two, three) : (three, two);
        realm.Come("b", 8);
        await realm.AllTold();
        string[] known = [.. realm.Islands.Where(i => i.Key[0] == 'b').Select(i => i.Value).Distinct()];
        await second.DieAt(FlushLoop.Phase.Begun);
        for (int i = 0; i < 8; i++)
            realm.Leave($"b{i}");
        await Eventually.TrueAsync(() => last.Leads);
        realm.Come("c", 8);
        await realm.AllTold();
        Assert.Equal(2, known.Length);
        Assert.Empty(known.Intersect(realm.Islands.Where(i => i.Key[0] == 'c').Select(i => i.Value)));
    }

    /// <summary>A NATS server without JetStream.</summary>
    private sealed class NoStore : ILeaseStore
    {
        public async Task<bool> OpenAsync(CancellationToken cancellationToken)
        {
            await Task.Yield();
            return false;
        }

        public Task<(long Revision, LeaseEntry? Entry)> ReadAsync(CancellationToken cancellationToken) => throw new NatsException("There is none.");

        public Task<long?> TryWriteAsync(LeaseEntry entry, long revision, CancellationToken cancellationToken) => throw new NatsException("There is none.");
    }

    [Fact]
    public async Task Without_JetStream_a_second_Service_has_rooms_of_its_own()
    {
        var broker = new InProcessBroker();
        async Task<WebApplication> StartAsync()
        {
            Dictionary<string, string> values = Fixture.Values;
            (values["ARCHIPELAGO_FLUSH_FREQUENCY"], values["ARCHIPELAGO_NEWCOMER_INTERVAL_MS"]) = ("0.2", "10");
            values.Remove("ROOM_BOOT_PART");
            WebApplication app = ServiceHost.Build(new HostContext(RunningHost.Settings(values), broker.Connect(echo: false), TimeProvider.System), new NoStore());
            await app.StartAsync();
            await Eventually.TrueAsync(() => app.Services.GetRequiredService<Worlds>().Follower is null);
            return app;
        }
        await using WebApplication first = await StartAsync();
        for (int i = 0; i < 4; i++)
        {
            await using WebApplication other = await StartAsync();
            Assert.Equal(Role.Alone, other.Services.GetRequiredService<Leadership>().Role);
            Assert.NotEqual(first.Services.GetRequiredService<Worlds>().Now.Names.Prefix, other.Services.GetRequiredService<Worlds>().Now.Names.Prefix);
            await other.StopAsync();
        }
        await first.StopAsync();
    }

    [Fact]
    public async Task A_single_Service_without_prompt_newcomers_beats_at_every_period()
    {
        await using Fixture service = await Fixture.StartAsync(new() { ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "2", ["ARCHIPELAGO_NEWCOMER_INTERVAL_MS"] = "0" });
        int before = service.Reports.Count;
        for (int period = 1; period <= 20; period++)
        {
            // A timer is never quite on time.
            service.Clock.Advance(TimeSpan.FromSeconds(2) - TimeSpan.FromMilliseconds(period % 2 == 0 ? 1 : -1));
            await Eventually.TrueAsync(() => service.Reports.Count == before + period);
        }
    }

    [Fact]
    public void Who_comes_anew_while_a_flush_begins_is_one_person()
    {
        using var leader = new IslandEngine();
        PeerHandle old = leader.Add(default);
        leader.Flush();
        var saved = new ArrayBufferWriter<byte>();
        leader.Save(saved);
        var worlds = new Worlds(IslandWorld.Of(new IslandEngine(), new IslandNames("P"), TimeProvider.System));
        var follower = new Follower(new InProcessBroker().Connect(), worlds, new Arrivals(TimeProvider.System), "n", TimeSpan.FromMinutes(1), TimeProvider.System, NullLogger.Instance);
        void Send(ReplicaKind kind, ReadOnlySpan<byte> body)
        {
            var frame = new ArrayBufferWriter<byte>();
            new ReplicaHead(kind, 5, leader.FlushCount).Write(frame);
            frame.Write(body);
            follower.OnSnapshot(new BusMessage("s"u8, frame.WrittenSpan));
            follower.Pump();
        }
        ReadOnlySpan<byte> Delta(params Peer[] comers)
        {
            var body = new ArrayBufferWriter<byte>();
            Span<byte> head = body.GetSpan(13);
            head[..13].Clear();
            (head[8], head[9]) = (1, (byte)comers.Length);
            body.Advance(13);
            foreach (Peer comer in comers)
                ReplicaComers.Write(body, comer.Handle, comer);
            leader.SaveDelta(body);
            return body.WrittenSpan;
        }
        Send(ReplicaKind.Snapshot, new SavedState("P", saved.WrittenSpan.ToArray(), [new SavedPeer("x", old, null)]).ToBytes());
        // As when removals have been taken, then x leaves and comes, then newcomers are: its departure is in the next flush.
        PeerHandle again = leader.Add(new Position(1, 0, 0));
        leader.Flush();
        Send(ReplicaKind.Flush, Delta(new Peer("x", again, 0)));
        leader.Remove(old);
        leader.Flush();
        Send(ReplicaKind.Flush, Delta());
        Assert.True(follower.IsLevel);
        Assert.True(worlds.Now.Peers.TryFind("x"u8, out Peer? known));
        Assert.Equal(again, known.Handle);
        Assert.Equal(1, worlds.Now.Engine.PeerCount);
    }

    [Fact]
    public async Task A_register_that_has_forgotten_a_term_does_not_bring_back_an_earlier_one()
    {
        var register = new MemoryRegister();
        using var one = new Leadership(new LeadershipOptions("A", TimeSpan.FromMilliseconds(500), false), register, TimeProvider.System, NullLogger<Leadership>.Instance) { IsReady = true };
        await one.StartAsync(default);
        await Eventually.TrueAsync(() => one.MaySpeak);
        long first = one.Now.Term;
        register.Force(new LeaseEntry("B", first + 1));
        one.Hear(first + 1);
        await Eventually.TrueAsync(() => one.Role == Role.Standby);
        register.Force(new LeaseEntry("A", first));
        await Eventually.TrueAsync(() => one.MaySpeak);
        Assert.True(one.Now.Term > first + 1);
        await one.StopAsync(default);
    }

    [Fact]
    public async Task A_join_with_a_name_that_is_none_disturbs_nobody()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        foreach (string name in (string[])["", "a b", "*", "a.b", "ä", new string('x', 101)])
            leader.Services<Replicator>().OnJoin(new BusMessage("engine.replica.join"u8, Encoding.UTF8.GetBytes(name)));
        long snapshots = leader.Services<Replicator>().Snapshots, flush = leader.Worlds.Now.Engine.FlushCount;
        await Eventually.TrueAsync(() => leader.Worlds.Now.Engine.FlushCount > flush + 2);
        Assert.Equal(snapshots, leader.Services<Replicator>().Snapshots);
        Assert.True(standby.StandsBy);
    }

    [Fact]
    public async Task An_address_of_any_length_is_followed()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync();
        string name = new('x', 300);
        realm.Come(name, 1);
        await realm.AllTold();
        await leader.DieAt(FlushLoop.Phase.Done);
        await Eventually.TrueAsync(() => standby.Leads);
        Assert.True(standby.Worlds.Now.Peers.TryFind(Encoding.UTF8.GetBytes(name + "0"), out _));
        realm.AssertNobodyMoved();
    }

    [Fact]
    public async Task Beats_go_on_in_the_rhythm_of_the_leader_before()
    {
        await using StandbyFixture realm = StandbyFixture.Create(null);
        (ServiceNode leader, ServiceNode standby) = await realm.StartTwoAsync(new() { ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "3600" });
        realm.Come("a", 4);
        await realm.AllTold();
        // It walks away, and would be told at the next beat, which is in an hour.
        realm.Move("a0", -50_000, 0);
        Task died = leader.DieAt(FlushLoop.Phase.Replicated);
        realm.Come("b", 1);
        await died;
        await Eventually.TrueAsync(() => standby.Leads);
        realm.Come("c", 1);
        await realm.AllTold();
        Assert.Single(realm.Told, t => t.Address == "a0");
    }
}
