using System.Diagnostics;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Archipelago.Cli.Bots;

namespace Archipelago.Cli.Load;

/// <summary>The strangers of a load.</summary>
internal sealed partial class ConnectorLoad
{
    private const int NewcomersAtLeast = 20;

    private long attackers;

    /// <summary>
    /// Sockets that say nothing, sockets that send a byte a second, frames of garbage and bad signatures, all at once; and now and then an honest newcomer.
    /// </summary>
    private async Task AttackAsync(LoadClient[] honest, JsonObject result)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(ending.Token);
        Task[] attack =
        [
            .. Enumerable.Range(0, options.Strangers).Select(_ => KeepAsync(client => client.Listening!.WaitAsync(stop.Token), stop.Token)),
            .. Enumerable.Range(0, options.Strangers).Select(_ => KeepAsync(client => DribbleAsync(client, stop.Token), stop.Token)),
            RepeatAsync(options.Strangers / 2, ThrowGarbageAsync, stop.Token),
            RepeatAsync(options.Strangers / 4, ForgeAsync, stop.Token),
        ];
        await Until.TrueAsync(() => Interlocked.Read(ref attackers) > 2 * options.Strangers, Patience);
        LoadClient[] newcomers = Create(2_000_000, Math.Max(NewcomersAtLeast, options.Seconds));
        (long before, long start) = (Interlocked.Read(ref attackers), Stopwatch.GetTimestamp());
        await MeasureAsync(honest, options.Seconds, result, async () =>
        {
            foreach (LoadClient newcomer in newcomers)
            {
                await Task.Delay(TimeSpan.FromSeconds((double)options.Seconds / newcomers.Length), ending.Token);
                await EnterPatientlyAsync(newcomer);
            }
        });
        Add(result, "strangersASecond", (Interlocked.Read(ref attackers) - before) / Stopwatch.GetElapsedTime(start).TotalSeconds);
        Add(result, "newcomerMs", Latency.Of(newcomers.Select(c => c.EnteredMs)));
        await stop.CancelAsync();
        await Task.WhenAll(attack);
        await BreakOffAsync(newcomers);
    }

    /// <summary>All strangers come from a few addresses, as the proxy tells that the server trusts.</summary>
    private static string AttackerAddress() => $"203.0.113.{Random.Shared.Next(1, 9)}";

    private static LoadClient Stranger() => new(null, AttackerAddress());

    /// <summary>A socket that is open all the time, by somebody who opens another when it is closed.</summary>
    private async Task KeepAsync(Func<LoadClient, Task> live, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            using var client = Stranger();
            try
            {
                await client.OpenAsync(server, stop);
                Interlocked.Increment(ref attackers);
                await live(client);
            }
            catch (Exception e) when (e is ProtocolException or SocketException or OperationCanceledException)
            {
                await Task.Delay(500, CancellationToken.None);
            }
        }
    }

    private static async Task DribbleAsync(LoadClient client, CancellationToken stop)
    {
        byte[] frame = LoadClient.Frame(new byte[10_000]);
        for (int i = 0; client.IsIn; i++)
        {
            await client.SendBytesAsync(frame.AsMemory(i % frame.Length, 1));
            await Task.Delay(1000, stop);
        }
    }

    private async Task ThrowGarbageAsync(int number, CancellationToken stop)
    {
        using LoadClient client = Stranger();
        byte[] garbage = new byte[200];
        new Random(number).NextBytes(garbage);
        await client.OpenAsync(server, stop);
        await client.SendBytesAsync(number % 2 == 0 ? garbage : LoadClient.Frame(garbage));
        await Until.TrueAsync(() => !client.IsIn, Patience);
    }

    private async Task ForgeAsync(int number, CancellationToken stop)
    {
        using var client = new LoadClient(new LoadIdentity(3_000_000 + (number % 100), TimeProvider.System.GetUtcNow()), AttackerAddress());
        // Signs well, but another text: the server finds out only by checking.
        var other = new LoadIdentity(number, TimeProvider.System.GetUtcNow());
        try
        {
            await client.EnterAsync(server, stop, challenge => other.SignChain(challenge).Replace(other.Address, client.Address, StringComparison.Ordinal));
            throw new InvalidOperationException("A forged signature was accepted.");
        }
        catch (ProtocolException)
        {
            // As it should be.
        }
    }

    /// <summary>Does something so many times a second, without waiting for it to end.</summary>
    private async Task RepeatAsync(int aSecond, Func<int, CancellationToken, Task> act, CancellationToken stop)
    {
        var running = new List<Task>();
        long start = Stopwatch.GetTimestamp();
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        int done = 0;
        while (!stop.IsCancellationRequested)
        {
            await timer.WaitForNextTickAsync(CancellationToken.None);
            for (; done < Stopwatch.GetElapsedTime(start).TotalSeconds * aSecond && running.Count < aSecond; done++)
                running.Add(TryAsync(done));
            running.RemoveAll(t => t.IsCompletedSuccessfully);
        }
        await Task.WhenAll(running);

        async Task TryAsync(int number)
        {
            try
            {
                await act(number, stop);
                Interlocked.Increment(ref attackers);
            }
            catch (Exception e) when (e is ProtocolException or SocketException or OperationCanceledException or TimeoutException)
            {
                Interlocked.Increment(ref attackers);
            }
        }
    }
}
