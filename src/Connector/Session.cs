using System.Security.Cryptography;
using Archipelago.Ethereum;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Packet = Decentraland.Kernel.Comms.V3.ClientPacket.MessageOneofCase;

namespace Archipelago.Connector;

/// <summary>What all sessions of a Connector share.</summary>
internal sealed record SessionServices(
    SessionRegistry Registry, IMessageBus Bus, DenyList DenyList, Gatekeeper Gatekeeper, ConnectorOptions Options, SessionMetrics Metrics, TimeProvider Clock);

/// <summary>
/// One client from the opening of its socket to the end: asks it to sign a challenge, lets it in under the address that it proves, then forwards its
/// heartbeats to the bus and its island changes back. <see cref="HandleAsync"/> takes one message at a time; the rest may be called from any thread.
/// </summary>
internal sealed class Session : IDisposable
{
    private enum Stage
    {
        Start,
        ChallengeSent,
        Completed,
        Ended,
    }

    private const long Never = long.MinValue;

    private readonly SessionServices services;
    private readonly ISessionSocket socket;
    private readonly ITimer handshakeTimer;

    // Every change of stage is made under it, so that a kick, a time-out and a welcome cannot cross.
    private readonly Lock changing = new();
    private volatile Stage stage = Stage.Start;
    private readonly SemaphoreSlim publishing = new(1);
    private TaskCompletionSource? ended;
    private string challenge = "";
    private string address = "";
    private string heartbeatSubject = "";

    // What the island checks need: written by the bus's thread and the socket's, read by the checks; a stale value makes a check early or late.
    private byte[] island = [];
    private long firstHeartbeat = Never;
    private long lastCompared;

    public Session(SessionServices services, ISessionSocket socket)
    {
        this.services = services;
        this.socket = socket;
        services.Metrics.Opened();
        handshakeTimer = services.Clock.CreateTimer(static s => ((Session)s!).OnHandshakeTimeout(), this, services.Options.HandshakeTimeout, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The proved address in lower case; empty before.</summary>
    public string Address => address;

    /// <summary>Handles one message of the client.</summary>
    public async ValueTask HandleAsync(ReadOnlyMemory<byte> frame, CancellationToken cancellationToken)
    {
        if (stage != Stage.Completed)
            handshakeTimer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        if (!ClientFrames.TryDecode(frame.Span, out ClientPacket? packet))
        {
            Refuse(CloseReason.Undecodable, "undecodable");
            return;
        }
        switch (stage)
        {
            case Stage.Start:
                await OnChallengeRequestAsync(packet, cancellationToken);
                break;
            case Stage.ChallengeSent:
                await OnSignedChallengeAsync(packet, cancellationToken);
                break;
            case Stage.Completed when packet.MessageCase == Packet.Heartbeat:
                await ForwardAsync(packet.Heartbeat, cancellationToken);
                break;
        }
    }

    /// <summary>Sends an island change that came from the bus; nothing before the welcome.</summary>
    public void SendIslandChange(ReadOnlySpan<byte> message)
    {
        if (stage != Stage.Completed)
            return;
        if (IslandChangeWriter.TryReadIsland(message, out ReadOnlySpan<byte> told))
        {
            // An answer to a question may cross the message that was thought lost.
            if (told.SequenceEqual(Volatile.Read(ref island)))
                return;
            Volatile.Write(ref island, told.ToArray());
            Volatile.Write(ref lastCompared, services.Clock.GetTimestamp());
        }
        if (socket.TrySend(ServerFrames.IslandChanged(message)))
            services.Metrics.IslandChangeSent();
    }

    /// <summary>
    /// Asks, when it is time, whether the island that the client was last told is the one that it is in: the bus may lose a message. Until it has been told of
    /// any it asks ten times as often.
    /// </summary>
    public async ValueTask CompareIslandAsync(CancellationToken cancellationToken)
    {
        if (stage != Stage.Completed || Volatile.Read(ref firstHeartbeat) is var first && first == Never)
            return;
        byte[] heard = Volatile.Read(ref island);
        TimeSpan period = heard.Length == 0 ? services.Options.IslandCheckPeriod / 10 : services.Options.IslandCheckPeriod;
        if (services.Clock.GetElapsedTime(Math.Max(first, Volatile.Read(ref lastCompared))) < period)
            return;
        Volatile.Write(ref lastCompared, services.Clock.GetTimestamp());
        services.Metrics.IslandAsked();
        await services.Bus.PublishAsync(Subjects.Ask(address), heard, WhenDisconnected.Drop, cancellationToken);
    }

    /// <summary>Tells the client that it is no longer wanted, and ends the session.</summary>
    public async ValueTask KickAsync(CloseReason reason)
    {
        socket.TrySend(ServerFrames.Kicked);
        socket.Close(reason);
        await EndAsync();
    }

    /// <summary>
    /// Ends the session, whatever the cause; once. Whoever calls later waits for the first, so that a newer session of the address comes in only
    /// after this one has been announced as gone.
    /// </summary>
    public Task EndAsync()
    {
        Stage before;
        TaskCompletionSource completion;
        lock (changing)
        {
            if (ended is not null)
                return ended.Task;
            ended = completion = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            before = stage;
            stage = Stage.Ended;
        }
        return EndOnceAsync(before, completion);
    }

    private async Task EndOnceAsync(Stage before, TaskCompletionSource completion)
    {
        await handshakeTimer.DisposeAsync();
        if (before != Stage.Completed)
        {
            services.Metrics.NoLongerWaiting();
            completion.SetResult();
            return;
        }
        // A heartbeat that is on its way goes first; after the departure it would bring the peer back.
        await publishing.WaitAsync();
        try
        {
            await services.Bus.PublishAsync(Subjects.Disconnect(address), default);
        }
        finally
        {
            publishing.Release();
            services.Registry.Unregister(address, this);
            completion.SetResult();
        }
    }

    public void Dispose()
    {
        // The semaphore stays: a late caller may still wait on it, and it holds nothing that needs disposing.
        handshakeTimer.Dispose();
    }

    private async ValueTask OnChallengeRequestAsync(ClientPacket packet, CancellationToken cancellationToken)
    {
        if (packet.MessageCase != Packet.ChallengeRequest)
        {
            Refuse(CloseReason.UnexpectedPacket, "unexpected packet");
            return;
        }
        string claimed = packet.ChallengeRequest.Address;
        if (!EthereumAddress.IsAddress(claimed))
        {
            Refuse(CloseReason.BadAddress, "bad address");
            return;
        }
        claimed = claimed.ToLowerInvariant();
        if (await services.DenyList.ContainsAsync(claimed, cancellationToken))
        {
            Refuse(CloseReason.NotAllowed, "denied");
            return;
        }
        challenge = "dcl-" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        if (TryAdvance(Stage.Start, Stage.ChallengeSent) && socket.TrySend(ServerFrames.ChallengeResponse(challenge, services.Registry.IsConnected(claimed))))
            handshakeTimer.Change(services.Options.HandshakeTimeout, Timeout.InfiniteTimeSpan);
    }

    private async ValueTask OnSignedChallengeAsync(ClientPacket packet, CancellationToken cancellationToken)
    {
        if (packet.MessageCase != Packet.SignedChallenge)
        {
            Refuse(CloseReason.UnexpectedPacket, "unexpected packet");
            return;
        }
        if (Authenticate(packet.SignedChallenge.AuthChainJson) is not { } proved)
        {
            Refuse(CloseReason.BadAuthentication, "bad authentication");
            return;
        }
        if (await services.DenyList.ContainsAsync(proved, cancellationToken))
        {
            Refuse(CloseReason.NotAllowed, "denied");
            return;
        }
        if (await services.Gatekeeper.IsBannedAsync(proved, cancellationToken))
        {
            socket.TrySend(ServerFrames.Kicked);
            Refuse(CloseReason.NotAllowed, "banned");
            return;
        }
        await WelcomeAsync(proved);
    }

    private string? Authenticate(string authChain) =>
        AuthChain.TryParse(authChain, out AuthChain? chain) && AuthChainValidator.Validate(chain, challenge, services.Clock.GetUtcNow()) is { Ok: true } result
            ? result.Address
            : null;

    private async ValueTask WelcomeAsync(string proved)
    {
        address = proved;
        heartbeatSubject = Subjects.Heartbeat(proved);
        bool welcomed = false;
        try
        {
            // The previous session is announced as gone before this one can send its first heartbeat.
            if (services.Registry.Register(proved, this) is { } previous)
                await previous.KickAsync(CloseReason.NewSession);
            welcomed = TryWelcome(proved);
        }
        finally
        {
            if (!welcomed)
                services.Registry.Unregister(proved, this);
        }
        // Whoever knows the address from an earlier session, which may have ended without a word, starts it afresh: otherwise the client would not be told
        // the island that it is in already. Its first heartbeat waits for this.
        if (welcomed)
            await services.Bus.PublishAsync(Subjects.Connect(proved), default);
    }

    private bool TryWelcome(string proved)
    {
        lock (changing)
        {
            // Queued before the stage allows island changes, so none can overtake it.
            if (stage == Stage.ChallengeSent && socket.TrySend(ServerFrames.Welcome(proved)))
            {
                stage = Stage.Completed;
                services.Metrics.NoLongerWaiting();
                services.Metrics.Handshake("welcomed");
                return true;
            }
        }
        return false;
    }

    private async ValueTask ForwardAsync(Heartbeat heartbeat, CancellationToken cancellationToken)
    {
        if (heartbeat.Position is { } position && !ClientFrames.IsFinite(position))
        {
            services.Metrics.HeartbeatDropped();
            return;
        }
        await publishing.WaitAsync(cancellationToken);
        try
        {
            if (stage != Stage.Completed)
                return;
            await services.Bus.PublishAsync(heartbeatSubject, heartbeat.ToByteArray(), WhenDisconnected.Drop, cancellationToken);
            if (firstHeartbeat == Never)
                Volatile.Write(ref firstHeartbeat, services.Clock.GetTimestamp());
            services.Metrics.HeartbeatForwarded();
        }
        finally
        {
            publishing.Release();
        }
    }

    private void OnHandshakeTimeout()
    {
        if (stage is Stage.Start or Stage.ChallengeSent)
            Refuse(CloseReason.HandshakeTimeout, "timeout");
    }

    private void Refuse(CloseReason reason, string outcome)
    {
        if (stage is Stage.Start or Stage.ChallengeSent)
            services.Metrics.Handshake(outcome);
        socket.Close(reason);
    }

    private bool TryAdvance(Stage from, Stage to)
    {
        lock (changing)
        {
            if (stage != from)
                return false;
            stage = to;
            return true;
        }
    }
}
