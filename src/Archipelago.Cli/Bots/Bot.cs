using System.Buffers.Text;
using System.Diagnostics;
using System.Net.WebSockets;
using System.Text.Json;
using Archipelago.Ethereum;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Packet = Decentraland.Kernel.Comms.V3.ServerPacket.MessageOneofCase;

namespace Archipelago.Cli.Bots;

/// <summary>A message that the protocol does not allow here; the text says which.</summary>
internal sealed class ProtocolException(string message) : Exception(message);

/// <summary>One simulated person: a key of its own, a real handshake, a heartbeat a second while walking, and an eye on what it is told.</summary>
/// <param name="seed">Decides where it walks.</param>
/// <param name="clock">When it walks.</param>
/// <param name="reconnects">Whether it comes back when it has lost its connection.</param>
/// <param name="stands">Whether it stays where it is: then nothing but others moves it to another island.</param>
/// <param name="hearsAll">Whether it takes an island that it comes from and has not heard of for an error: on a bus that loses messages it is none.</param>
internal sealed class Bot(int seed, TimeProvider clock, bool reconnects = false, bool hearsAll = true, bool stands = false)
{
    private static readonly TimeSpan HeartbeatPeriod = TimeSpan.FromSeconds(1);
    private const int MaxPacket = 1024 * 1024;

    private readonly Walker walker = new(seed);
    private readonly EthereumKey owner = EthereumKey.Create();
    private ClientWebSocket socket = new();
    private byte[] buffer = new byte[4096];
    private long firstHeartbeat;
    private long? lostAt;

    private readonly TaskCompletionSource entered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when the bot has been welcomed, or has failed.</summary>
    public Task Entered => entered.Task;

    public string Address { get; private set; } = "";

    public bool Connected { get; private set; }

    public bool Welcomed { get; private set; }

    public bool Kicked { get; private set; }

    public long Heartbeats { get; private set; }

    public long IslandChanges { get; private set; }

    public double? FirstIslandMs { get; private set; }

    public string? Island { get; private set; }

    public string? Error { get; private set; }

    /// <summary>Times that it lost its connection and got in again.</summary>
    public int Reconnects { get; private set; }

    /// <summary>The longest time from a loss to an island again.</summary>
    public double LongestOutageMs { get; private set; }

    /// <summary>Lives until the token is cancelled; what goes wrong ends up in <see cref="Error"/>, unless it tries again.</summary>
    public async Task RunAsync(Uri url, CancellationToken cancellationToken)
    {
        await LiveAsync(url, cancellationToken);
        var random = new Random(seed);
        while (reconnects && !Kicked && !cancellationToken.IsCancellationRequested)
        {
            lostAt ??= Stopwatch.GetTimestamp();
            (Error, Island, Welcomed, Connected) = (null, null, false, false);
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(100, 500)), clock, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            socket = new ClientWebSocket();
            await LiveAsync(url, cancellationToken);
        }
        owner.Dispose();
    }

    private async Task LiveAsync(Uri url, CancellationToken cancellationToken)
    {
        try
        {
            await HandshakeAsync(url, cancellationToken);
            using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            Task walking = WalkAsync(ending.Token);
            try
            {
                await ListenAsync(ending.Token);
            }
            finally
            {
                await ending.CancelAsync();
                await walking.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The end of the show.
        }
        catch (Exception e) when (e is WebSocketException or ProtocolException or InvalidProtocolBufferException or JsonException or OperationCanceledException)
        {
            if (!cancellationToken.IsCancellationRequested)
                Error = e.Message;
        }
        finally
        {
            entered.TrySetResult();
            socket.Dispose();
        }
    }

    private async Task HandshakeAsync(Uri url, CancellationToken cancellationToken)
    {
        using var identity = new EphemeralIdentity(owner, clock.GetUtcNow().AddDays(1));
        Address = identity.Address;
        socket.Options.AddSubProtocol("archipelago");
        await socket.ConnectAsync(url, cancellationToken);
        Connected = true;

        await SendAsync(new ClientPacket { ChallengeRequest = new ChallengeRequestMessage { Address = identity.Address } }, cancellationToken);
        ServerPacket challenge = await ReceiveAsync(Packet.ChallengeResponse, cancellationToken);
        string chain = identity.SignChain(challenge.ChallengeResponse.ChallengeToSign);
        await SendAsync(new ClientPacket { SignedChallenge = new SignedChallengeMessage { AuthChainJson = chain } }, cancellationToken);
        ServerPacket welcome = await ReceiveAsync(Packet.Welcome, cancellationToken);
        if (welcome.Welcome.PeerId != identity.Address)
            throw new ProtocolException($"welcomed as {welcome.Welcome.PeerId}, not as {identity.Address}");
        Welcomed = true;
        entered.TrySetResult();
    }

    private async Task WalkAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(HeartbeatPeriod, clock);
        firstHeartbeat = Stopwatch.GetTimestamp();
        do
        {
            Core.Position at = walker.Position;
            await SendAsync(new ClientPacket { Heartbeat = new Heartbeat { Position = new Position { X = at.X, Y = at.Y, Z = at.Z } } }, cancellationToken);
            Heartbeats++;
            if (!stands)
                walker.Step((float)HeartbeatPeriod.TotalSeconds);
        }
        while (await timer.WaitForNextTickAsync(cancellationToken));
    }

    private async Task ListenAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            ServerPacket packet = await ReceiveAsync(null, cancellationToken);
            switch (packet.MessageCase)
            {
                case Packet.IslandChanged:
                    OnIslandChanged(packet.IslandChanged);
                    break;
                case Packet.Kicked:
                    Kicked = true;
                    return;
                default:
                    throw new ProtocolException($"unexpected {packet.MessageCase} after the welcome");
            }
        }
    }

    private void OnIslandChanged(IslandChangedMessage change)
    {
        FirstIslandMs ??= Stopwatch.GetElapsedTime(firstHeartbeat).TotalMilliseconds;
        IslandChanges++;
        if (lostAt is { } lost)
        {
            Reconnects++;
            LongestOutageMs = Math.Max(LongestOutageMs, Stopwatch.GetElapsedTime(lost).TotalMilliseconds);
            lostAt = null;
        }
        if (change.IslandId == Island)
            throw new ProtocolException($"told island {Island} twice in succession");
        if (hearsAll && change.HasFromIslandId && change.FromIslandId != Island)
            throw new ProtocolException($"told to come from {change.FromIslandId}, but was in {Island}");
        if (!change.Peers.ContainsKey(Address))
            throw new ProtocolException($"not among the peers of its own island {change.IslandId}");
        CheckToken(change.ConnStr, change.IslandId, Address);
        Island = change.IslandId;
    }

    /// <summary>The connection string must be for this room and this identity.</summary>
    internal static void CheckToken(string connection, string room, string identity)
    {
        const string Marker = "?access_token=";
        int at = connection.IndexOf(Marker, StringComparison.Ordinal);
        string[] parts = at < 0 ? [] : connection[(at + Marker.Length)..].Split('.');
        if (!connection.StartsWith("livekit:", StringComparison.Ordinal) || parts.Length != 3)
            throw new ProtocolException($"\"{connection}\" is no LiveKit connection string");
        try
        {
            using JsonDocument claims = JsonDocument.Parse(Base64Url.DecodeFromChars(parts[1]));
            string? forRoom = claims.RootElement.GetProperty("video").GetProperty("room").GetString();
            string? forPeer = claims.RootElement.GetProperty("sub").GetString();
            if (forRoom != room || forPeer != identity)
                throw new ProtocolException($"got a token of {forPeer} for room {forRoom} in island {room}");
        }
        catch (Exception e) when (e is FormatException or JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new ProtocolException($"got a token that cannot be read: {e.Message}");
        }
    }

    private ValueTask SendAsync(ClientPacket packet, CancellationToken cancellationToken) =>
        socket.SendAsync(packet.ToByteArray().AsMemory(), WebSocketMessageType.Binary, endOfMessage: true, cancellationToken);

    private async Task<ServerPacket> ReceiveAsync(Packet? expected, CancellationToken cancellationToken)
    {
        int length = 0;
        while (true)
        {
            ValueWebSocketReceiveResult result = await socket.ReceiveAsync(buffer.AsMemory(length), cancellationToken);
            if (result.MessageType == WebSocketMessageType.Close)
                throw new ProtocolException($"closed by the server: {(int?)socket.CloseStatus} {socket.CloseStatusDescription}");
            length += result.Count;
            if (result.EndOfMessage)
                break;
            if (length == buffer.Length)
                Array.Resize(ref buffer, length < MaxPacket ? length * 2 : throw new ProtocolException("a packet over 1 MiB"));
        }
        ServerPacket packet = ServerPacket.Parser.ParseFrom(buffer, 0, length);
        if (expected is { } kind && packet.MessageCase != kind)
            throw new ProtocolException($"got {packet.MessageCase} where {kind} was due");
        return packet;
    }
}
