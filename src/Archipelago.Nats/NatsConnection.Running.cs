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

    internal void OnInfo(Uri server, ServerInfo info)
    {
        maxPayload = info.MaxPayload;
        servers.Learn(server, info.ConnectUrls);
    }

    internal void OnServerError(NatsServerException error)
    {
        Statistics.CountServerError();
        LastFailure = error;
    }

    /// <summary>Before leaving a server that is shutting down: true when there is another, once everything that waits has been sent.</summary>
    internal async Task<bool> MayLeaveAsync()
    {
        if (servers.Count < 2)
            return false;
        using var patience = new CancellationTokenSource(LastWords, options.Clock);
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
        Statistics.CountReceived(message.Headers.Length + message.Payload.Length);
        NatsSubscription? subscription = subscriptions.Find(id);
        if (subscription is null)
            return;
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
            (Uri server, TimeSpan pause) = servers.Next();
            try
            {
                if (pause > TimeSpan.Zero)
                    await Task.Delay(pause, options.Clock, stopping.Token);
                await using NatsLink link = await NatsLink.OpenAsync(this, options, server, stopping.Token);
                servers.Succeeded();
                Exception reason = await UseAsync(link);
                servers.Lost(server);
                Lose(server, reason);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                // Disposed.
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                servers.Failed(server);
                Lose(server, e);
                firstAttempt.TrySetException(e);
            }
        }
        Change(NatsState.Closed, null, null);
    }

    private async Task<Exception> UseAsync(NatsLink link)
    {
        byte[] commands = Open();
        if (State == NatsState.Reconnecting)
            Statistics.CountReconnect();
        Change(NatsState.Connected, link.Server, null);
        Task<Exception> work = link.RunAsync(commands, outbox, stopping.Token);
        firstAttempt.TrySetResult();
        lock (outbox.Gate)
            connected.TrySetResult();
        return await work;
    }

    /// <summary>Opens the outbox; returns the commands that bring the subscriptions back, which come before anything that waits in it.</summary>
    private byte[] Open()
    {
        var commands = new ArrayBufferWriter<byte>();
        lock (outbox.Gate)
        {
            foreach (NatsSubscription subscription in subscriptions.All)
                commands.Write(subscription.Command());
            // PINGs that the last link did not take any more will be answered too.
            for (int i = 0; i < outbox.WaitingPings; i++)
                fences.Enqueue(default);
            outbox.Open();
        }
        return commands.WrittenSpan.ToArray();
    }

    private void Lose(Uri server, Exception reason)
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
            fence.Waiter?.TrySetException(new NatsException("The connection was lost.", reason));
        LastFailure = reason;
        if (!stopping.IsCancellationRequested)
            Change(State == NatsState.Connecting ? NatsState.Connecting : NatsState.Reconnecting, server, reason);
    }

    private void Change(NatsState state, Uri? server, Exception? reason)
    {
        State = state;
        if (state == NatsState.Connected)
            Server = server;
        StateChanged?.Invoke(new NatsStateChange(state, server, reason));
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
            connected.TrySetException(new ObjectDisposedException(nameof(NatsConnection)));
            // A task that nobody waits for must not be reported as unobserved.
            _ = connected.Task.Exception;
        }
        EndRequests();
        stopping.Dispose();
    }
}
