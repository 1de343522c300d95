using System.Diagnostics.Metrics;
using Archipelago.Ethereum;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Connector.Tests;

/// <summary>A socket whose client keeps all that it is sent.</summary>
internal sealed class FakeSocket : ISessionSocket
{
    public List<ServerPacket> Sent { get; } = [];

    public CloseReason? Closed { get; private set; }

    public bool IsClosing => Closed is not null;

    public bool TrySend(ReadOnlyMemory<byte> frame)
    {
        if (Closed is not null)
            return false;
        Sent.Add(ServerPacket.Parser.ParseFrom(frame.Span));
        return true;
    }

    public bool TrySendIslandChange(ReadOnlySpan<byte> message)
    {
        byte[] frame = new byte[Protocol.ServerFrames.IslandChangedLength(message.Length)];
        Protocol.ServerFrames.WriteIslandChanged(message, frame);
        return TrySend(frame);
    }

    public void Close(CloseReason reason) => Closed ??= reason;
}

/// <summary>What a Connector is made of, without its web server.</summary>
internal sealed class TestConnector : IAsyncDisposable
{
    private readonly ServiceProvider meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly SessionWatch watch;
    private readonly PrometheusExporter exporter;

    public TestConnector(IMessageBus bus, ManualClock clock, Dictionary<string, string> values)
    {
        values.TryAdd("DENYLIST_URL", "");
        values.TryAdd("ETH_RPC_URL", "");
        Settings settings = RunningHost.Settings(values);
        Options = ConnectorOptions.Read(settings);
        settings.ThrowIfFaulty();
        exporter = new PrometheusExporter(meters.GetRequiredService<IMeterFactory>());
        var throttle = new LogThrottle(clock, TimeSpan.FromSeconds(10));
        Metrics = new SessionMetrics(meters.GetRequiredService<IMeterFactory>());
        DenyList = new DenyList(Options, clock, throttle, NullLogger<DenyList>.Instance);
        Gatekeeper = new Gatekeeper(settings.HttpUrl("COMMS_GATEKEEPER_URL"), settings.Text("BANS_FAIL_CLOSED") == "true", clock, throttle, NullLogger<Gatekeeper>.Instance);
        Signatures = new SignatureQueue(Options, Metrics);
        Cooldowns = new Cooldowns(Options, clock);
        var stamps = new SessionClock(clock);
        var doorkeeper = new Doorkeeper(
            DenyList, Gatekeeper, Signatures, new AuthChainValidator(null, new DelegationCache(100), Signatures.RecoverAsync), Cooldowns, Options, Metrics, clock);
        Services = new SessionServices(Registry, stamps, bus, doorkeeper, Cooldowns, Options, Metrics, clock);
        watch = new SessionWatch(bus, Registry, stamps, Cooldowns);
        _ = watch.StartAsync(default);
    }

    public SessionRegistry Registry { get; } = new();

    public ConnectorOptions Options { get; }

    public SessionMetrics Metrics { get; }

    public DenyList DenyList { get; }

    public Gatekeeper Gatekeeper { get; }

    public Cooldowns Cooldowns { get; }

    public SignatureQueue Signatures { get; }

    public SessionServices Services { get; }

    public string Scrape() => exporter.Scrape();

    public async ValueTask DisposeAsync()
    {
        await watch.StopAsync(default);
        Signatures.Dispose();
        exporter.Dispose();
        await meters.DisposeAsync();
    }
}

/// <summary>Sessions on a bus in the process, a clock that stands still, and clients that can sign.</summary>
public abstract class SessionTestBase : IAsyncLifetime
{
    private readonly InProcessBroker broker = new();
    private readonly List<TestConnector> started = [];
    private protected TestConnector connector;

    protected SessionTestBase()
    {
        Wire = broker.Connect();
        Wire.Subscribe("peer.>", m =>
        {
            if (!Recording)
                return;
            Published.Add(System.Text.Encoding.UTF8.GetString(m.Subject));
            Payloads.Add(m.Payload.ToArray());
        });
        connector = Start([]);
    }

    internal ManualClock Clock { get; } = new();

    /// <summary>The test's own connection to the bus.</summary>
    protected IMessageBus Wire { get; }

    /// <summary>Whether what is published is kept.</summary>
    protected bool Recording { get; set; } = true;

    protected List<string> Published { get; } = [];

    protected List<byte[]> Payloads { get; } = [];

    protected EthereumKey Owner { get; } = EthereumKey.Create();

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (TestConnector each in started)
            await each.DisposeAsync();
        Owner.Dispose();
    }

    /// <summary>One more Connector on the same bus.</summary>
    private protected TestConnector Start(Dictionary<string, string> values)
    {
        // As over NATS, nobody hears himself.
        var made = new TestConnector(broker.Connect(echo: false), Clock, values);
        started.Add(made);
        return made;
    }

    private protected (Session Session, FakeSocket Socket) Open(TestConnector? at = null)
    {
        var socket = new FakeSocket();
        return (new Session((at ?? connector).Services, socket), socket);
    }

    private protected static ValueTask Send(Session session, ClientPacket packet) => session.HandleAsync(packet.ToByteArray());

    private protected static ClientPacket Request(string address) => new() { ChallengeRequest = new ChallengeRequestMessage { Address = address } };

    private protected static ClientPacket Beat(float x, string? room = null)
    {
        var heartbeat = new Heartbeat { Position = new Position { X = x } };
        if (room is not null)
            heartbeat.DesiredRoom = room;
        return new ClientPacket { Heartbeat = heartbeat };
    }

    private protected ClientPacket Signed(FakeSocket socket, EthereumKey? key = null)
    {
        using EphemeralIdentity identity = Device(key);
        return Signed(socket, identity);
    }

    private protected EphemeralIdentity Device(EthereumKey? key = null) => new(key ?? Owner, Clock.GetUtcNow().AddHours(1));

    private protected static ClientPacket Signed(FakeSocket socket, EphemeralIdentity device) =>
        new() { SignedChallenge = new SignedChallengeMessage { AuthChainJson = device.SignChain(socket.Sent[^1].ChallengeResponse.ChallengeToSign) } };

    private protected async Task<(Session Session, FakeSocket Socket)> WelcomedAsync(EthereumKey? key = null, TestConnector? at = null)
    {
        (Session session, FakeSocket socket) = await AnsweredAsync(at, key);
        Assert.Equal((key ?? Owner).Address, socket.Sent[^1].Welcome?.PeerId);
        return (session, socket);
    }

    /// <summary>Somebody who has asked and signed, whatever came of it.</summary>
    private protected async Task<(Session Session, FakeSocket Socket)> AnsweredAsync(TestConnector? at = null, EthereumKey? key = null, EphemeralIdentity? device = null)
    {
        (Session session, FakeSocket socket) = Open(at);
        await Send(session, Request((key ?? Owner).Address));
        await Send(session, device is null ? Signed(socket, key) : Signed(socket, device));
        return (session, socket);
    }

    /// <summary>What was published of the owner, without the address.</summary>
    private protected IEnumerable<string> Words() => Published.Select(subject => subject[$"peer.{Owner.Address}.".Length..]);

    private protected string Scrape() => connector.Scrape();

    private protected async Task<bool> IsDeniedAsync() => await connector.DenyList.CheckAsync(Owner.Address) == BanStatus.Banned;
}
