using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using Archipelago.Messaging;

namespace Archipelago.Nats;

/// <content>Request and reply, over one inbox for all requests.</content>
public sealed partial class NatsConnection
{
    private const int NoResponders = 503;

    private readonly ConcurrentDictionary<long, PendingRequest> requests = new();
    private readonly string inbox = "_INBOX." + Convert.ToHexString(RandomNumberGenerator.GetBytes(12)).ToLowerInvariant() + ".";
    private NatsSubscription? replies;
    private long lastRequest;

    private sealed class PendingRequest(string subject) : TaskCompletionSource<NatsReply>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public string Subject { get; } = subject;

        /// <summary>Who asked may have given up, so that nobody awaits this.</summary>
        public void Fail(Exception reason)
        {
            if (TrySetException(reason))
                _ = Task.Exception;
        }
    }

    /// <summary>Publishes a request and waits for the first answer.</summary>
    /// <param name="subject">Where somebody answers.</param>
    /// <param name="payload">The request.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <param name="headers">A header block, or empty.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <param name="whenDisconnected">What becomes of the request while the server is out of reach: kept, it may be answered after the one who asked has given up.</param>
    /// <exception cref="NatsNoRespondersException">Nobody listens there.</exception>
    /// <exception cref="TimeoutException">No answer came in time.</exception>
    public async Task<NatsReply> RequestAsync(
        string subject, ReadOnlyMemory<byte> payload, TimeSpan timeout, ReadOnlyMemory<byte> headers = default, CancellationToken cancellationToken = default,
        WhenDisconnected whenDisconnected = WhenDisconnected.Keep)
    {
        EnsureInbox();
        long id = Interlocked.Increment(ref lastRequest);
        var request = new PendingRequest(subject);
        requests[id] = request;
        // One deadline for sending and for the answer.
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(timeout);
        try
        {
            await PublishAsync(subject, payload, inbox + id, headers, whenDisconnected, limit.Token);
            return await request.Task.WaitAsync(limit.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"No answer from \"{subject}\" within {timeout.TotalSeconds:0.###} s.");
        }
        finally
        {
            requests.TryRemove(id, out _);
        }
    }

    private void EnsureInbox()
    {
        if (Volatile.Read(ref replies) is not null)
            return;
        NatsSubscription made = Subscribe(inbox + "*", OnReply);
        if (Interlocked.CompareExchange(ref replies, made, null) is not null)
            made.Dispose();
    }

    private void OnReply(NatsMessage message)
    {
        if (!Utf8Parser.TryParse(message.Subject[inbox.Length..], out long id, out _) || !requests.TryGetValue(id, out PendingRequest? request))
            return;
        if (message.Payload.IsEmpty && NatsHeaders.Status(message.Headers) == NoResponders)
            request.Fail(new NatsNoRespondersException(request.Subject));
        else
            request.TrySetResult(new NatsReply(message.Headers.ToArray(), message.Payload.ToArray()));
    }

    private void EndRequests()
    {
        foreach (PendingRequest request in requests.Values)
            request.Fail(new ObjectDisposedException(nameof(NatsConnection)));
    }
}
