using System.Collections.Concurrent;
using System.Globalization;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Nats;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Archipelago.Service.Tests;

/// <summary>A register in this process.</summary>
internal sealed class MemoryRegister : ILeaseStore
{
    private readonly Lock changing = new();
    private long revision;
    private LeaseEntry? entry;

    /// <summary>Puts this there, whoever wrote last: as a server would that has forgotten something.</summary>
    public void Force(LeaseEntry to)
    {
        lock (changing)
            (entry, revision) = (to, revision + 1);
    }

    public Task<bool> OpenAsync(CancellationToken cancellationToken) => Task.FromResult(true);

    public Task<(long Revision, LeaseEntry? Entry)> ReadAsync(CancellationToken cancellationToken)
    {
        lock (changing)
            return Task.FromResult((revision, entry));
    }

    public Task<long?> TryWriteAsync(LeaseEntry written, long expected, CancellationToken cancellationToken)
    {
        lock (changing)
        {
            if (revision != expected)
                return Task.FromResult<long?>(null);
            entry = written;
            return Task.FromResult<long?>(++revision);
        }
    }
}

/// <summary>What lies between one Service and the others: it can be cut, and what the leader tells its standbys can be tampered with.</summary>
internal sealed class Wire(IMessageBus inner, ILeaseStore store) : IMessageBus, ILeaseStore
{
    public bool IsCut { get; set; }

    /// <summary>Given each message between leader and standbys with the handler that it is for; null hands it on.</summary>
    public Action<byte[], Action<byte[]>>? Tamper { get; set; }

    public bool IsConnected => !IsCut && inner.IsConnected;

    public int MaxPayload => inner.MaxPayload;

    public ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers) =>
        IsCut ? default : inner.PublishAsync(subject, payload, whenDisconnected, cancellationToken, headers);

    public IDisposable Subscribe(string pattern, MessageHandler handler) => inner.Subscribe(pattern, message =>
    {
        if (IsCut)
            return;
        if (!pattern.StartsWith(Subjects.Replica, StringComparison.Ordinal) || pattern == Subjects.ReplicaJoin || Tamper is not { } tamper)
        {
            handler(message);
            return;
        }
        byte[] subject = message.Subject.ToArray(), headers = message.Headers.ToArray();
        tamper(message.Payload.ToArray(), payload => handler(new BusMessage(subject, payload, headers)));
    });

    public Task FlushAsync(CancellationToken cancellationToken) => IsCut ? Task.Delay(Timeout.Infinite, cancellationToken) : inner.FlushAsync(cancellationToken);

    public Task<bool> OpenAsync(CancellationToken cancellationToken) => IsCut ? throw new NatsException("cut") : store.OpenAsync(cancellationToken);

    public Task<(long Revision, LeaseEntry? Entry)> ReadAsync(CancellationToken cancellationToken) => IsCut ? throw new NatsException("cut") : store.ReadAsync(cancellationToken);

    public Task<long?> TryWriteAsync(LeaseEntry entry, long revision, CancellationToken cancellationToken) => IsCut ? throw new NatsException("cut") : store.TryWriteAsync(entry, revision, cancellationToken);

    public ValueTask DisposeAsync() => inner.DisposeAsync();
}

/// <summary>One of several Services.</summary>
internal sealed class ServiceNode(WebApplication app, Wire wire) : IAsyncDisposable
{
    private bool isStopped;

    public Wire Wire => wire;

    public WebApplication App => app;

    public Leadership Leadership => app.Services.GetRequiredService<Leadership>();

    public FlushLoop Loop => app.Services.GetRequiredService<FlushLoop>();

    public T Services<T>()
        where T : notnull => app.Services.GetRequiredService<T>();

    public Worlds Worlds => app.Services.GetRequiredService<Worlds>();

    public bool Leads => Leadership.MaySpeak && Worlds.Follower is null;

    public bool StandsBy => Worlds.Follower is { IsLevel: true };

    /// <summary>The next time that it gets to a phase of a beat, nothing of it is heard any more, as if it had been killed.</summary>
    public Task DieAt(FlushLoop.Phase phase)
    {
        var died = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Loop.PhaseHook = at =>
        {
            if (at != phase)
                return Task.CompletedTask;
            wire.IsCut = true;
            died.TrySetResult();
            return Task.Delay(Timeout.Infinite, app.Lifetime.ApplicationStopping);
        };
        return died.Task;
    }

    public async Task StopAsync()
    {
        isStopped = true;
        await app.StopAsync();
    }

    public async Task<string> StatusAsync(string path = "/status")
    {
        using var http = new HttpClient { BaseAddress = HostRunner.AddressOf(app) };
        return await (await http.GetAsync(new Uri(path, UriKind.Relative))).Content.ReadAsStringAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (!isStopped)
        {
            wire.IsCut = true;
            await app.StopAsync();
        }
        await app.DisposeAsync();
    }
}

/// <summary>Several Services on one bus, people who say where they are, and what a Connector makes of what it hears.</summary>
internal sealed class StandbyFixture : IAsyncDisposable
{
    private readonly Func<IMessageBus> connect;
    private readonly Func<IMessageBus, ILeaseStore> open;
    private readonly List<ServiceNode> nodes = [];
    private readonly ConcurrentBag<NatsConnection> connections = [];
    private readonly IMessageBus people;
    private readonly TermFence fence = new(TimeProvider.System);
    private readonly ConcurrentDictionary<string, (float X, float Z)> places = new();
    private readonly CancellationTokenSource ending = new();
    private readonly Task walking;

    private StandbyFixture(Func<IMessageBus> connect, Func<IMessageBus, ILeaseStore> open)
    {
        this.open = open;
        this.connect = () =>
        {
            IMessageBus bus = connect();
            if (bus is NatsBus nats)
                connections.Add(nats.Connection);
            return bus;
        };
        people = this.connect();
        people.Subscribe(Subjects.Leader, m => fence.Admits(m.Headers));
        people.Subscribe(Subjects.AllIslandChanges, OnChange);
        people.Subscribe(Subjects.AllSessionIslandChanges, OnChange);
        walking = SpeakAsync();
    }

    /// <summary>Everything that a Connector would have passed on, in order.</summary>
    public ConcurrentQueue<(string Address, string Island, long Term)> Told { get; } = new();

    /// <summary>The island that everybody has been told last.</summary>
    public ConcurrentDictionary<string, string> Islands { get; } = new();

    /// <summary>What came from a Service that no longer led.</summary>
    public long Dropped => fence.Dropped;

    public IReadOnlyCollection<string> Everybody => [.. places.Keys];

    /// <param name="server">A NATS server with JetStream; null for a bus and a register in this process.</param>
    public static StandbyFixture Create(NatsServer? server) => server is null ? InProcess() : OnServers([server.Url]);

    public static StandbyFixture OnServers(Uri[] servers, int replicas = 1) => new(
        () => new NatsBus(NatsConnection.Start(new NatsOptions { Servers = servers, RetryFirstConnect = true, Echo = false, PingInterval = TimeSpan.FromMilliseconds(500) })),
        bus => new JetStreamLeaseStore(((NatsBus)bus).Connection, new NatsKeyValueOptions("archipelago") { Timeout = TimeSpan.FromMilliseconds(250), Replicas = replicas }));

    /// <summary>
    /// Until all have noticed that a server is gone, and are with another. Until then what is said may be lost on its way to a server that is no more: a word to a standby, too, which notices
    /// the gap with the next; but were it to lead before, whoever had come in between might be moved.
    /// </summary>
    public Task AllHaveLeft(Uri server) => Eventually.TrueAsync(() => connections.All(c => c.State == NatsState.Connected && c.Server is { } now && now.Port != server.Port), 40);

    private static StandbyFixture InProcess()
    {
        var broker = new InProcessBroker();
        var register = new MemoryRegister();
        return new StandbyFixture(() => broker.Connect(echo: false), _ => register);
    }

    public async Task<ServiceNode> StartAsync(string name, Dictionary<string, string>? more = null, TimeProvider? clock = null)
    {
        IMessageBus bus = connect();
        var wire = new Wire(bus, open(bus));
        Dictionary<string, string> values = Fixture.Values;
        (values["ARCHIPELAGO_FLUSH_FREQUENCY"], values["ARCHIPELAGO_NEWCOMER_INTERVAL_MS"]) = ("0.2", "10");
        (values["ARCHIPELAGO_NODE"], values["ARCHIPELAGO_LEASE_MS"]) = (name, "1500");
        // Long enough for a machine that is busy with other tests: a leader that stalls for longer is followed by another, which is right and not what is tested.
        values.Remove("ROOM_BOOT_PART");
        foreach ((string variable, string value) in more ?? [])
            values[variable] = value;
        WebApplication app = ServiceHost.Build(new HostContext(RunningHost.Settings(values), wire, clock ?? TimeProvider.System), wire);
        await app.StartAsync();
        var node = new ServiceNode(app, wire);
        nodes.Add(node);
        return node;
    }

    /// <summary>Two of which the first leads and the second could.</summary>
    public async Task<(ServiceNode Leader, ServiceNode Standby)> StartTwoAsync(Dictionary<string, string>? more = null)
    {
        ServiceNode leader = await StartAsync("one", more);
        await Eventually.TrueAsync(() => leader.Leads);
        ServiceNode standby = await StartAsync("two", more);
        await Eventually.TrueAsync(() => standby.StandsBy);
        return (leader, standby);
    }

    /// <summary>People come, four to an island, and go on saying where they are.</summary>
    public void Come(string group, int count)
    {
        for (int i = 0; i < count; i++)
            places[$"{group}{i.ToString(CultureInfo.InvariantCulture)}"] = (((group[0] * 1000) + (i / 4)) * 300f, i % 4 * 10f);
    }

    public void Move(string address, float x, float z) => places[address] = (x, z);

    public void Leave(string address)
    {
        places.TryRemove(address, out _);
        people.PublishAsync(Subjects.Disconnect(address), default).AsTask().Wait();
    }

    /// <summary>Everybody has been told an island.</summary>
    public Task AllTold() => Eventually.TrueAsync(() => places.Keys.All(Islands.ContainsKey));

    /// <summary>Nobody has been told two islands, and those who stand together are together.</summary>
    public void AssertNobodyMoved()
    {
        foreach (IGrouping<string, (string Address, string Island, long Term)> one in Told.GroupBy(t => t.Address))
            Assert.True(one.Select(t => t.Island).Distinct().Count() == 1, $"{one.Key} was moved: {string.Join(", ", one)}");
        foreach (IGrouping<(int, float), KeyValuePair<string, (float X, float Z)>> group in places.GroupBy(p => ((int)p.Key[0], p.Value.X)))
            Assert.Single(group.Select(p => Islands[p.Key]).Distinct());
    }

    /// <summary>Terms never go back.</summary>
    public void AssertTermsRise()
    {
        long latest = 0;
        foreach ((string _, string _, long term) in Told)
        {
            Assert.True(term >= latest);
            latest = term;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await ending.CancelAsync();
        await walking;
        foreach (ServiceNode node in nodes)
            await node.DisposeAsync();
        await people.DisposeAsync();
        ending.Dispose();
    }

    private void OnChange(BusMessage message)
    {
        if (!fence.Admits(message.Headers) || !Subjects.TryGetEnginePeer(message.Subject, out ReadOnlySpan<byte> token))
            return;
        string address = Subjects.Text(token), island = IslandChangedMessage.Parser.ParseFrom(message.Payload).IslandId;
        // As a Connector does: the same island is not told twice in succession.
        if (Islands.TryGetValue(address, out string? known) && known == island)
            return;
        Islands[address] = island;
        Told.Enqueue((address, island, TermFence.Read(message.Headers)));
    }

    private async Task SpeakAsync()
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        try
        {
            do
                foreach ((string address, (float x, float z)) in places)
                    await people.PublishAsync(Subjects.Heartbeat(address), new Heartbeat { Position = new Position { X = x, Z = z } }.ToByteArray(), WhenDisconnected.Drop);
            while (await timer.WaitForNextTickAsync(ending.Token));
        }
        catch (OperationCanceledException)
        {
            // The test is over.
        }
    }
}
