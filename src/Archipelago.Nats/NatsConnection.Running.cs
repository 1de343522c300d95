using System.Buffers;
using Archipelago.Nats.Internals;

namespace Archipelago.Nats;

/// <content>The connection's own task: from server to server, and what the link tells it.</content>
public sealed partial class NatsConnection
{
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);

    /// <summary>Sends a PING of the watch; its PONG gives the round-trip time.</summary>
    internal void Ping()
    {
        lock (outbox.Gate)
            if (outbox.IsOpen)
                SendFence(null);
    }

    internal void Pong()
    {
        lock (outbox.Gate)
            outbox.Command("PONG\r\n"u8);
    }

    internal void OnPong()
    {
        Fence fence;
        lock (outbox.Gate)
            if (!fences.TryDequeue(out fence))
                return;
        if (fence.SentAt != 0)
            Statistics.SetRoundTrip(options.Clock.GetElapsedTime(fence.SentAt));
        fence.Waiter?.TrySetResult();
    }

    internal void OnInfo(KnownServer server, ServerInfo info)
    {
        maxPayload = info.MaxPayload;
        servers.Learn(server, info.ConnectUrls);
    }

    internal void OnServerError(NatsServerException error)
    {
        LastFailure = error;
        Statistics.CountServerError();
    }

    /// <summary>Before leaving a server that is shutting down: true when there is another, once everything that waits has been sent.</summary>
    internal async Task<bool> MayLeaveAsync(CancellationToken cancellationToken)
    {
        if (servers.Count < 2)
            return false;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(LastWords);
        try
        {
            await FlushAsync(patience.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or NatsException)
        {
            // It is being left in any case.
        }
        return true;
    }

    /// <summary>On the read loop.</summary>
    internal void Deliver(long id, NatsMessage message)
    {
        NatsSubscription? subscription = subscriptions.Find(id);
        // What comes after the end of a subscription was on its way when it ended.
        if (subscription is null || subscription.IsComplete)
            return;
        Statistics.CountReceived(message.Headers.Length + message.Payload.Length);
        try
        {
            subscription.Deliver(message);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Statistics.CountHandlerError();
            options.OnHandlerError?.Invoke(subscription.Subject, e);
        }
        if (subscription.IsComplete)
            lock (outbox.Gate)
                subscriptions.Remove(subscription);
    }

    private async Task RunAsync()
    {
        while (!stopping.IsCancellationRequested)
        {
            (KnownServer server, TimeSpan pause) = servers.Next();
            try
            {
                if (pause > TimeSpan.Zero)
                    await Task.Delay(pause, options.Clock, stopping.Token);
                await using NatsLink link = await NatsLink.OpenAsync(this, options, server, stopping.Token);
                await UseAsync(link);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                // Disposed.
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                bool all = servers.Failed(server);
                Lose(server, e);
                if (all)
                    Fail(firstAttempt, e);
            }
        }
        Change(NatsState.Closed, null, null);
    }

    private async Task UseAsync(NatsLink link)
    {
        OnInfo(link.Server, link.Info);
        byte[] commands = Open();
        if (State == NatsState.Reconnecting)
            Statistics.CountReconnect();
        Change(NatsState.Connected, link.Server.Address, null);
        long began = options.Clock.GetTimestamp();
        Task work = link.RunAsync(
            commands,
            outbox,
            reason =>
            {
                servers.Lost(link.Server, options.Clock.GetElapsedTime(began));
                Lose(link.Server, reason);
            },
            stopping.Token);
        firstAttempt.TrySetResult();
        lock (outbox.Gate)
            connected.TrySetResult();
        await work;
    }

    /// <summary>Opens the outbox; returns the commands that bring the subscriptions back, which come before anything that waits in it.</summary>
    private byte[] Open()
    {
        var commands = new ArrayBufferWriter<byte>();
        lock (outbox.Gate)
        {
            foreach (NatsSubscription subscription in subscriptions.All)
                if (!subscription.IsDraining)
                    commands.Write(subscription.Command());
            // PINGs that the last link did not take any more will be answered too.
            for (int i = 0; i < outbox.WaitingPings; i++)
                fences.Enqueue(default);
            outbox.Open();
        }
        return commands.WrittenSpan.ToArray();
    }

    private void Lose(KnownServer server, Exception reason)
    {
        Fence[] lost;
        lock (outbox.Gate)
        {
            outbox.Close();
            lost = [.. fences];
            fences.Clear();
            if (connected.Task.IsCompleted)
                connected = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        foreach (Fence fence in lost)
            if (fence.Waiter is not null)
                Fail(fence.Waiter, new NatsException("The connection was lost.", reason));
        LastFailure = reason;
        if (!stopping.IsCancellationRequested)
            Change(State == NatsState.Connecting ? NatsState.Connecting : NatsState.Reconnecting, server.Address, reason);
    }

    private void Change(NatsState state, Uri? server, Exception? reason)
    {
        State = state;
        if (state == NatsState.Connected)
            Server = server;
        try
        {
            StateChanged?.Invoke(new NatsStateChange(state, server, reason));
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Whoever watches must not stop what it watches.
            Statistics.CountHandlerError();
            options.OnHandlerError?.Invoke("", e);
        }
    }

    /// <summary>Fails a task that perhaps nobody awaits any more, without its being reported as unobserved.</summary>
    internal static void Fail(TaskCompletionSource task, Exception reason)
    {
        if (task.TrySetException(reason))
            _ = task.Task.Exception;
    }

    /// <summary>Under the gate.</summary>
    private void SendFence(TaskCompletionSource? waiter)
    {
        fences.Enqueue(new Fence(options.Clock.GetTimestamp(), waiter));
        outbox.Ping();
    }

    private async Task CloseAsync()
    {
        closed = true;
        if (State == NatsState.Connected)
        {
            using var patience = new CancellationTokenSource(LastWords);
            try
            {
                await FlushAsync(patience.Token);
            }
            catch (Exception e) when (e is OperationCanceledException or NatsException)
            {
                // The server is gone or stuck; what waited is lost with it.
            }
        }
        await stopping.CancelAsync();
        await running;
        lock (outbox.Gate)
        {
            if (connected.Task.IsCompleted)
                connected = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Fail(connected, new ObjectDisposedException(nameof(NatsConnection)));
            Statistics.CountDropped(DropCause.Closed, outbox.WaitingMessages);
        }
        Fail(firstAttempt, new ObjectDisposedException(nameof(NatsConnection)));
        EndRequests();
        stopping.Dispose();
    }
}
