using Archipelago.Nats;
using Archipelago.Protocol;

namespace Archipelago.Service.Election;

/// <summary>What a Service is among several.</summary>
internal enum Role
{
    /// <summary>It does not know yet whether there can be others.</summary>
    Deciding,

    /// <summary>There can be no others: without JetStream, on the in-process bus, or because it was told so.</summary>
    Alone,

    /// <summary>It could take the leader's place.</summary>
    Standby,

    /// <summary>It leads, or has led and has not been followed by anybody.</summary>
    Leader,
}

/// <summary>How several Services share the work of one.</summary>
/// <param name="Node">This one's name; no two have the same.</param>
/// <param name="Lease">How long a leader may be silent.</param>
/// <param name="IsRequired">Whether it waits for JetStream rather than run alone.</param>
internal sealed record LeadershipOptions(string Node, TimeSpan Lease, bool IsRequired)
{
    /// <summary>Of the lease: so much earlier a leader falls silent, renews, and so often the others look.</summary>
    public LeaseTimes Times(TimeProvider clock)
    {
        long length = (long)(Lease.TotalSeconds * clock.TimestampFrequency);
        return new LeaseTimes(length, length / 10, length / 4, length / 10);
    }
}

/// <summary>
/// Says whether this Service leads, and keeps it so: does what its <see cref="Lease"/> says over the register. Its properties may be read by any thread at any time.
/// </summary>
internal sealed partial class Leadership : BackgroundService
{
    private readonly LeadershipOptions options;
    private readonly ILeaseStore? store;
    private readonly TimeProvider clock;
    private readonly ILogger<Leadership> log;
    private readonly Lock changing = new();
    private readonly SemaphoreSlim nudge = new(0);
    private volatile Lease lease;
    private volatile Role role;
    private volatile Standing standing;
    private volatile bool isReady;
    private volatile bool isLeaving;
    private long latestTerm;
    private int nudges;
    private long complainedAt;

    /// <summary>2020-01-01, from which the seconds of the first term are counted.</summary>
    private const long Epoch = 1_577_836_800;

    /// <summary>How long a server may leave the question for its JetStream unanswered: one that may not be asked never answers.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    public Leadership(LeadershipOptions options, ILeaseStore? store, TimeProvider clock, ILogger<Leadership> log)
    {
        (this.options, this.store, this.clock, this.log) = (options, store, clock, log);
        lease = new Lease(options.Node, options.Times(clock));
        role = store is null ? Role.Alone : Role.Deciding;
        standing = new Standing(0, [], clock.GetUtcNow(), "alone");
    }

    /// <summary>One leadership of this Service.</summary>
    /// <param name="Term">Its number; 0 when it is alone.</param>
    /// <param name="Headers">What goes with everything that it publishes.</param>
    /// <param name="Since">When it began.</param>
    /// <param name="Cause">Why.</param>
    internal sealed record Standing(long Term, byte[] Headers, DateTimeOffset Since, string Cause);

    /// <summary>This Service's name.</summary>
    public string Node => options.Node;

    public Role Role => role;

    /// <summary>The leadership that it has, or had last.</summary>
    public Standing Now => standing;

    /// <summary>The latest term that it has heard of, its own among them.</summary>
    public long LatestTerm => Volatile.Read(ref latestTerm);

    /// <summary>True while it may speak as the one that leads. Asked before everything that is published.</summary>
    public bool MaySpeak => role == Role.Alone || (role == Role.Leader && lease.MaySpeak(clock.GetTimestamp()));

    /// <summary>Whether it could take over without anybody being moved; who could not waits longer.</summary>
    public bool IsReady
    {
        get => isReady;
        set => isReady = value;
    }

    /// <summary>Takes note of a term that somebody speaks in. True when it is the latest.</summary>
    public bool Hear(long term)
    {
        for (long known = LatestTerm; term > known; known = LatestTerm)
            Interlocked.CompareExchange(ref latestTerm, term, known);
        Change(l => l.OnHeard(term, clock.GetTimestamp()));
        return term >= LatestTerm;
    }

    /// <summary>The leader has said that it leaves: it is worth to look at once.</summary>
    public void Nudge()
    {
        Interlocked.Increment(ref nudges);
        Change(l => l.Nudged(clock.GetTimestamp()));
        nudge.Release();
    }

    /// <summary>Falls silent, and names who is to lead; empty for anybody.</summary>
    /// <returns>False when it did not lead, or nobody knows whether the word arrived.</returns>
    public async Task<bool> HandOverAsync(string to, CancellationToken cancellationToken)
    {
        isLeaving = true;
        nudge.Release();
        // A renewal that is on its way would be in the way.
        if (ExecuteTask is { } renewing)
            await renewing.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        (Lease Lease, LeaseAction Action)? handing = null;
        lock (changing)
        {
            handing = role == Role.Leader ? lease.HandOver(to, clock.GetTimestamp()) : null;
            if (handing is { } begun)
                lease = begun.Lease;
        }
        if (handing is not { } given)
            return false;
        try
        {
            return await store!.TryWriteAsync(given.Action.Entry, given.Action.Revision, cancellationToken) is not null;
        }
        catch (Exception e) when (e is NatsException or TimeoutException)
        {
            return false;
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (store is null || !await OpenAsync(stoppingToken))
            return;
        role = Role.Standby;
        while (!stoppingToken.IsCancellationRequested && !isLeaving)
        {
            LeaseAction action = lease.Next(clock.GetTimestamp(), new LeaseView(IsReady, LatestTerm, Math.Max(1, clock.GetUtcNow().ToUnixTimeSeconds() - Epoch)));
            if (action.Step == LeaseStep.Wait)
                await WaitAsync(action.At, stoppingToken);
            else
                await ActAsync(action, stoppingToken);
            Settle();
        }
    }

    /// <summary>Waits until the register is there, or it is known that there is none.</summary>
    private async Task<bool> OpenAsync(CancellationToken cancellationToken)
    {
        TimeSpan unanswered = TimeSpan.Zero;
        while (true)
        {
            long asked = clock.GetTimestamp();
            try
            {
                if (await store!.OpenAsync(cancellationToken))
                    return true;
                if (!options.IsRequired)
                {
                    LogAlone(log);
                    role = Role.Alone;
                    return false;
                }
                Complain(() => LogNoStore(log));
            }
            catch (NatsJetStreamException e)
            {
                Complain(() => LogRefused(log, e.Message));
            }
            catch (TimeoutException)
            {
                unanswered += clock.GetElapsedTime(asked);
                Complain(() => LogUnanswered(log));
                if (!options.IsRequired && unanswered >= Patience)
                {
                    LogAloneUnanswered(log);
                    role = Role.Alone;
                    return false;
                }
            }
            catch (NatsException)
            {
                // There is no connection yet, of which the bus complains by itself.
            }
            await Task.Delay(TimeSpan.FromMilliseconds(200), clock, cancellationToken);
        }
    }

    /// <summary>At most once in ten seconds.</summary>
    private void Complain(Action complain)
    {
        if (complainedAt != 0 && clock.GetElapsedTime(complainedAt) < Patience)
            return;
        complainedAt = clock.GetTimestamp();
        complain();
    }

    private async Task WaitAsync(long until, CancellationToken cancellationToken)
    {
        TimeSpan left = clock.GetElapsedTime(clock.GetTimestamp(), until);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task nudged = nudge.WaitAsync(over.Token), waited = Task.Delay(left > TimeSpan.Zero ? left : TimeSpan.Zero, clock, over.Token);
        await Task.WhenAny(nudged, waited);
        await over.CancelAsync();
    }

    private async Task ActAsync(LeaseAction action, CancellationToken cancellationToken)
    {
        long sentAt = clock.GetTimestamp();
        int nudged = Volatile.Read(ref nudges);
        try
        {
            if (!await store!.OpenAsync(cancellationToken))
                throw new NatsException("There is no JetStream now.");
            if (action.Step == LeaseStep.Read)
            {
                (long revision, LeaseEntry? entry) = await store.ReadAsync(cancellationToken);
                // The next term is above this one, also when the register is empty by then.
                if (entry is { } found)
                    Hear(found.Term);
                Change(l => l.OnRead(clock.GetTimestamp(), revision, entry));
                // What was read may be from before it.
                if (Volatile.Read(ref nudges) != nudged)
                    Change(l => l.Nudged(clock.GetTimestamp()));
            }
            else if (await store.TryWriteAsync(action.Entry, action.Revision, cancellationToken) is { } revision)
            {
                string cause = lease.Seen is not { } seen ? "first" : seen.Holder == options.Node ? "handed" : seen.Holder.Length == 0 ? "released" : "expired";
                Change(l => l.OnWritten(action, sentAt, revision));
                Begin(cause);
            }
            else
            {
                Change(l => l.OnRefused(clock.GetTimestamp()));
            }
        }
        catch (Exception e) when (e is NatsException or TimeoutException)
        {
            Change(l => l.OnFailed(action, clock.GetTimestamp()));
            Complain(() => LogFailed(log, e.Message));
        }
    }

    private void Change(Func<Lease, Lease> change)
    {
        lock (changing)
            lease = change(lease);
    }

    /// <summary>A write went through: where it is of a new term, this Service leads from now on.</summary>
    private void Begin(string cause)
    {
        long term = lease.Term;
        if (term == 0 || term == standing.Term)
            return;
        standing = new Standing(term, TermFence.HeadersOf(term), clock.GetUtcNow(), cause);
        Hear(term);
        LogLeads(log, options.Node, term, cause);
    }

    private void Settle()
    {
        Role now = lease.Term != 0 ? Role.Leader : Role.Standby;
        if (now == Role.Standby && role == Role.Leader && !isLeaving)
            LogLost(log, options.Node, standing.Term);
        role = now;
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "JetStream is not there, so this Service runs alone: when it dies, nobody stands by. Start nats-server with -js for a standby.")]
    private static partial void LogAlone(ILogger log);

    [LoggerMessage(Level = LogLevel.Warning, Message = "JetStream is not there, and ARCHIPELAGO_STANDBY is required, so this Service waits for it. Start nats-server with -js, or set ARCHIPELAGO_STANDBY=auto.")]
    private static partial void LogNoStore(ILogger log);

    [LoggerMessage(Level = LogLevel.Error, Message = "JetStream refuses the bucket by which Services agree who leads, and this Service waits: {Reason} Check ARCHIPELAGO_LEASE_REPLICAS and ARCHIPELAGO_LEASE_CLUSTER, or set ARCHIPELAGO_STANDBY=off.")]
    private static partial void LogRefused(ILogger log, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "NATS does not answer for its JetStream. Has this user a permission for $JS.API.> and $KV.>?")]
    private static partial void LogUnanswered(ILogger log);

    [LoggerMessage(Level = LogLevel.Warning, Message = "NATS did not answer for its JetStream, so this Service runs alone. Set ARCHIPELAGO_STANDBY=required where there are several, or =off where there is one.")]
    private static partial void LogAloneUnanswered(ILogger log);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The lease can't be read or renewed; a leader falls silent until it can: {Reason}")]
    private static partial void LogFailed(ILogger log, string reason);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Node} leads in term {Term}: {Cause}.")]
    private static partial void LogLeads(ILogger log, string node, long term, string cause);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Node} leads no longer: term {Term} is over.")]
    private static partial void LogLost(ILogger log, string node, long term);
}
