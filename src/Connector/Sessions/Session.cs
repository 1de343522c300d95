using System.Security.Cryptography;
using System.Text;
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
    SessionRegistry Registry, SessionClock Stamps, IMessageBus Bus, Doorkeeper Doorkeeper, Cooldowns Cooldowns, ConnectorOptions Options, SessionMetrics Metrics, TimeProvider Clock);

/// <summary>
/// One client from the opening of its socket to the end: asks it to sign a challenge, lets it in under the address that it proves, then forwards its
/// heartbeats to the bus and its island changes back. <see cref="HandleAsync"/> takes one message at a time; the rest may be called from any thread.
/// </summary>
internal sealed partial class Session : IDisposable
{
    private enum Stage
    {
        Start,
        ChallengeSent,
        Completed,
        Ended,
    }

    /// <summary>How a session ends, which decides what the bus is told.</summary>
    private enum Departure
    {
        Left,
        SupersededHere,
        SupersededElsewhere,
    }

    private const long Never = long.MinValue;

    private readonly SessionServices services;
    private readonly ISessionSocket socket;
    private readonly WaitingRoom.Place? place;
    private readonly ITimer handshakeTimer;

    // Every change of stage is made under it, so that a kick, a time-out and a welcome cannot cross.
    private readonly Lock changing = new();
    private volatile Stage stage = Stage.Start;
    private readonly PublishGate publishing = new();
    private TaskCompletionSource? ended;
    private Departure endedBy;
    private int refused;
    private string challenge = "";
    private string address = "";
    private string heartbeatSubject = "";
    private string key = "";
    private SessionStamp stamp;

    private RateLimit heartbeatRate;
    private HeartbeatThrottle? throttle;

    /// <summary>Begins with a socket that has just been opened.</summary>
    /// <param name="services">What all sessions share.</param>
    /// <param name="socket">The way out to the client.</param>
    /// <param name="place">Its place among those who wait; given up when it is in, or has gone.</param>
    public Session(SessionServices services, ISessionSocket socket, WaitingRoom.Place? place = null)
    {
        this.services = services;
        this.socket = socket;
        this.place = place;
        handshakeTimer = services.Clock.CreateTimer(static s => ((Session)s!).OnHandshakeTimeout(), this, services.Options.HandshakeTimeout, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The proved address in lower case; empty before.</summary>
    public string Address => address;

    /// <summary>The session that had the address before; ends no later than this one.</summary>
    public Session? Predecessor { get; set; }

    /// <summary>What metrics call the stage that it is in.</summary>
    public string StageName => StageNames[(int)stage];

    /// <summary>The stage of whoever is on the way out.</summary>
    public const string Closing = "closing";

    /// <summary>What metrics call the stages.</summary>
    public static readonly string[] StageNames = ["start", "challenged", "authenticated", Closing];

    /// <summary>True once the client is in, until it has gone.</summary>
    public bool IsCompleted => stage == Stage.Completed;

    /// <summary>True when this is the session's key.</summary>
    public bool HasKey(ReadOnlySpan<byte> text) => Ascii.Equals(text, key);

    /// <summary>Handles one message of the client.</summary>
    /// <param name="frame">The message; read before the returned task completes.</param>
    public ValueTask HandleAsync(ReadOnlyMemory<byte> frame)
    {
        services.Metrics.Received(frame.Length);
        if (stage == Stage.Completed && HeartbeatFrame.TryFind(frame.Span, out int start, out HeartbeatView heartbeat))
            return ForwardAsync(frame[start..], heartbeat.X, heartbeat.Y, heartbeat.Z);
        return HandlePacketAsync(frame);
    }

    /// <summary>What came was no message, or none that is read.</summary>
    public void OnBadMessage(CloseReason reason, string outcome)
    {
        CountOutcome(outcome);
        socket.Close(reason);
    }

    /// <summary>Tells that the session must make room for newer ones, if the client is not in yet.</summary>
    public void SendAway() => Refuse(CloseReason.Crowded, "crowded out");

    /// <summary>
    /// Another Connector has told of a session of this address. Ends this one if that is the later. If this is, the other has not heard of it, and is told by a question
    /// for the island, which everybody who assigns may hear without harm.
    /// </summary>
    /// <param name="other">Which it is; null when its Connector does not say, as none but ours do: then it is believed to be the later.</param>
    public void OnOtherSession(SessionStamp? other)
    {
        if (other == stamp)
            return;
        if (other is not { } known || known.CompareTo(stamp) > 0)
            _ = KickAsync(CloseReason.NewSession, Departure.SupersededElsewhere).AsTask();
        else if (stage == Stage.Completed)
            _ = AskIslandAsync(CancellationToken.None).AsTask();
    }

    /// <summary>True when the other is the later.</summary>
    public bool IsOlderThan(SessionStamp other) => other.CompareTo(stamp) > 0;

    /// <summary>True when this is the session that a message names, or it names none.</summary>
    public bool IsOrUnnamed(ReadOnlySpan<byte> headers) => !SessionHeaders.TryRead(headers, out SessionStamp named) || named == stamp;

    /// <summary>Tells the client that it is no longer wanted, and ends the session.</summary>
    public ValueTask KickAsync(CloseReason reason) => KickAsync(reason, Departure.Left);

    /// <summary>
    /// Ends the session, whatever the cause; once. Whoever calls later waits for the first, so that a newer session of the address comes in only
    /// after this one has been announced as gone.
    /// </summary>
    public Task EndAsync() => EndAsync(Departure.Left);

    public void Dispose()
    {
        handshakeTimer.Dispose();
        throttle?.Dispose();
    }

    private async ValueTask HandlePacketAsync(ReadOnlyMemory<byte> frame)
    {
        if (stage != Stage.Completed)
            handshakeTimer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        if (!ClientFrames.TryDecode(frame.Span, out ClientPacket? packet))
        {
            OnBadMessage(CloseReason.Undecodable, "undecodable");
            return;
        }
        switch (stage)
        {
            case Stage.Start:
                await OnChallengeRequestAsync(packet);
                break;
            case Stage.ChallengeSent:
                await OnSignedChallengeAsync(packet);
                break;
            case Stage.Completed when packet.MessageCase == Packet.Heartbeat:
                Decentraland.Common.Position position = packet.Heartbeat.Position ?? new Decentraland.Common.Position();
                await ForwardAsync(packet.Heartbeat.ToByteArray(), position.X, position.Y, position.Z);
                break;
        }
    }

    private async ValueTask KickAsync(CloseReason reason, Departure departure)
    {
        socket.TrySend(ServerFrames.Kicked);
        socket.Close(reason);
        await EndAsync(departure);
    }

    private Task EndAsync(Departure departure)
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
            endedBy = departure;
        }
        return EndOnceAsync(before, departure, completion);
    }

    private async Task EndOnceAsync(Stage before, Departure departure, TaskCompletionSource completion)
    {
        place?.Leave();
        await handshakeTimer.DisposeAsync();
        if (before != Stage.Completed)
        {
            CountOutcome("left");
            try
            {
                // Whoever takes the address from this one must not be heard before the departure of the one before.
                await EndPredecessorAsync();
            }
            finally
            {
                completion.SetResult();
            }
            return;
        }
        services.Metrics.SessionEnded();
        // A heartbeat that is on its way goes first; after the departure it would bring the peer back.
        await publishing.CloseAsync();
        throttle?.Dispose();
        try
        {
            // The address lives on at the Connector that has the newer session, so its departure must not be told.
            if (departure != Departure.SupersededElsewhere)
                await services.Bus.PublishAsync(Subjects.Disconnect(address), default, headers: stamp.ToHeaders());
            if (departure != Departure.Left)
                await TellSupersededAsync();
        }
        finally
        {
            if (services.Registry.Unregister(address, this) && departure == Departure.Left)
                services.Cooldowns.End(address);
            completion.SetResult();
        }
    }

    private ValueTask TellSupersededAsync()
    {
        services.Metrics.Superseded();
        services.Cooldowns.Start(address);
        return services.Bus.PublishAsync(Subjects.Superseded(address), default);
    }

    private async ValueTask OnChallengeRequestAsync(ClientPacket packet)
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
        if (await services.Doorkeeper.CheckClaimAsync(claimed) is { } refusal)
        {
            Refuse(refusal.Reason, refusal.Outcome);
            return;
        }
        challenge = "dcl-" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        if (TryAdvance(Stage.Start, Stage.ChallengeSent) && socket.TrySend(ServerFrames.ChallengeResponse(challenge, services.Registry.IsConnected(claimed))))
            handshakeTimer.Change(services.Options.HandshakeTimeout, Timeout.InfiniteTimeSpan);
    }

    private async ValueTask OnSignedChallengeAsync(ClientPacket packet)
    {
        if (packet.MessageCase != Packet.SignedChallenge)
        {
            Refuse(CloseReason.UnexpectedPacket, "unexpected packet");
            return;
        }
        Verdict verdict = await services.Doorkeeper.VerifyAsync(packet.SignedChallenge.AuthChainJson, challenge);
        if (verdict.Refusal is { } refusal)
        {
            if (refusal.Kicked)
                socket.TrySend(ServerFrames.Kicked);
            Refuse(refusal.Reason, refusal.Outcome);
            return;
        }
        await WelcomeAsync(verdict.Address!, verdict.SessionKey!);
    }

    private async ValueTask WelcomeAsync(string proved, string sessionKey)
    {
        // Somebody who cannot be let in any more must not end the session that is there.
        if (socket.IsClosing)
            return;
        (address, key, stamp, heartbeatSubject) = (proved, sessionKey, services.Stamps.Next(), Subjects.Heartbeat(proved));
        bool welcomed = false, superseded = false, left = false;
        try
        {
            // The previous session is announced as gone before this one can send its first heartbeat.
            services.Registry.Register(proved, this);
            superseded = await EndPredecessorAsync();
            welcomed = TryWelcome(proved);
        }
        finally
        {
            // Somewhere else the address lives on.
            left = !welcomed && services.Registry.Unregister(proved, this) && endedBy != Departure.SupersededElsewhere;
            if (left)
                services.Cooldowns.End(proved);
        }
        // Others hold the address off while the newer session is there, which it is not, and nobody else is.
        if (superseded && left)
            await services.Bus.PublishAsync(Subjects.Disconnect(proved), default, headers: stamp.ToHeaders());
        // Other Connectors end what session of the address they have, and whoever assigns starts it afresh: otherwise the client would not be told the island that the
        // address is in already. Its first heartbeat waits for this.
        if (welcomed)
            await services.Bus.PublishAsync(Subjects.Connect(proved), Encoding.UTF8.GetBytes(sessionKey), headers: stamp.ToHeaders());
    }

    private async ValueTask<bool> EndPredecessorAsync()
    {
        if (Predecessor is not { } previous)
            return false;
        await previous.KickAsync(CloseReason.NewSession, Departure.SupersededHere);
        Predecessor = null;
        return true;
    }

    private bool TryWelcome(string proved)
    {
        lock (changing)
        {
            // Queued before the stage allows island changes, so none can overtake it.
            if (stage != Stage.ChallengeSent || !socket.TrySend(ServerFrames.Welcome(proved)))
                return false;
            stage = Stage.Completed;
            services.Metrics.SessionBegan();
        }
        place?.Leave();
        CountOutcome("welcomed");
        return true;
    }

    private void OnHandshakeTimeout() => Refuse(CloseReason.HandshakeTimeout, "timeout");

    private void Refuse(CloseReason reason, string outcome)
    {
        // Somebody may have been let in at the very moment.
        lock (changing)
            if (stage is Stage.Completed)
                return;
        CountOutcome(outcome);
        socket.Close(reason);
    }

    /// <summary>Counts how the handshake ended, which it does once.</summary>
    private void CountOutcome(string outcome)
    {
        if (Interlocked.Exchange(ref refused, 1) == 0)
            services.Metrics.Handshake(outcome);
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
