using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Archipelago.Nats;

namespace Archipelago.Benchmarks.Nats;

/// <summary>
/// Our client beside a raw socket, in one run: what it publishes and receives a second, at what cost of processor time and memory, with a real server and
/// with a stand-in that takes the server out of the picture; and how long a request takes there and back.
/// </summary>
internal sealed class NatsProbe(int messages, int requests)
{
    private readonly record struct Cost(double Seconds, double ProcessorSeconds, long Bytes, int Collections);

    public IEnumerable<string> Run()
    {
        foreach (bool real in (bool[])[false, true])
        {
            int port = FreePort();
            using Process server = real ? Peers.StartServer(port) : Peers.Start("stand-in", port);
            string other = real ? "nats-server" : "stand-in";
            yield return Line("publish", "raw socket", other, messages, PublishRaw(port));
            yield return Line("publish", "client", other, messages, PublishAsync(port).GetAwaiter().GetResult());
            using Process? publisher = real ? Peers.Start("publisher", port) : null;
            yield return Line("receive", "raw socket", other, messages, ReceiveRaw(port));
            yield return Line("receive", "client", other, messages, ReceiveAsync(port).GetAwaiter().GetResult());
            publisher?.Kill();
            if (real)
                foreach (string line in Requests(port))
                    yield return line;
            server.Kill();
        }
    }

    /// <summary>What this process has used so far.</summary>
    private static (long Start, TimeSpan Processor, long Bytes, int Collections) Mark() =>
        (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime, GC.GetTotalAllocatedBytes(false), GC.CollectionCount(0));

    private static Cost Since((long Start, TimeSpan Processor, long Bytes, int Collections) mark) => new(
        Stopwatch.GetElapsedTime(mark.Start).TotalSeconds,
        (Environment.CpuUsage.TotalTime - mark.Processor).TotalSeconds,
        GC.GetTotalAllocatedBytes(false) - mark.Bytes,
        GC.CollectionCount(0) - mark.Collections);

    private static string Line(string what, string who, string with, int messages, Cost cost) => string.Create(
        CultureInfo.InvariantCulture,
        $"{{\"measure\":\"{what}\",\"who\":\"{who}\",\"with\":\"{with}\",\"messages\":{messages},\"perSecond\":{messages / cost.Seconds:0},\"processorMicrosPerMessage\":{cost.ProcessorSeconds * 1e6 / messages:0.0000},\"bytesPerMessage\":{cost.Bytes / (double)messages:0.###},\"gen0\":{cost.Collections}}}");

    private Cost PublishRaw(int port)
    {
        using RawSocket raw = RawSocket.Connect(port);
        byte[] prepared = Heartbeats.AsPublished();
        raw.Send(prepared);
        raw.Flush();
        var mark = Mark();
        for (int sent = 0; sent < messages; sent += Heartbeats.Addresses)
            raw.Send(prepared);
        raw.Flush();
        return Since(mark);
    }

    private async Task<Cost> PublishAsync(int port)
    {
        await using NatsConnection connection = await ConnectAsync(port);
        await PublishAsync(connection, messages / 4);
        var mark = Mark();
        await PublishAsync(connection, messages);
        return Since(mark);
    }

    private static async Task PublishAsync(NatsConnection connection, int messages)
    {
        string[] subjects = Heartbeats.Subjects;
        for (int i = 0, subject = 0; i < messages; i++, subject = subject == subjects.Length - 1 ? 0 : subject + 1)
        {
            ValueTask published = connection.PublishAsync(subjects[subject], Heartbeats.Payload);
            if (!published.IsCompletedSuccessfully)
                await published;
        }
        await connection.FlushAsync();
    }

    private Cost ReceiveRaw(int port)
    {
        using RawSocket raw = RawSocket.Connect(port);
        raw.Send($"SUB {Heartbeats.Pattern} 1\r\n");
        int size = Heartbeats.AsDelivered("1").Length / Heartbeats.Addresses;
        raw.Skip((long)messages * size / 4);
        var mark = Mark();
        raw.Skip((long)messages * size);
        return Since(mark);
    }

    private async Task<Cost> ReceiveAsync(int port)
    {
        await using NatsConnection connection = await ConnectAsync(port);
        int warm = messages / 4;
        TaskCompletionSource warmedUp = Later(), done = Later();
        long heard = 0;
        connection.Subscribe(Heartbeats.Pattern, _ =>
        {
            heard++;
            if (heard == warm)
                warmedUp.SetResult();
            else if (heard == warm + messages)
                done.SetResult();
        });
        await warmedUp.Task;
        var mark = Mark();
        await done.Task;
        return Since(mark);
    }

    private static TaskCompletionSource Later() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private IEnumerable<string> Requests(int port)
    {
        using Process responder = Peers.Start("responder", port);
        using RawSocket raw = RawSocket.Connect(port);
        raw.Send("SUB _INBOX.raw 1\r\n");
        raw.Flush();
        double[] floor = Timed(() =>
        {
            raw.Send("PUB ask _INBOX.raw 2\r\nhi\r\n"u8);
            raw.ReadUntil("ok\r\n"u8);
        });
        NatsConnection connection = ConnectAsync(port).GetAwaiter().GetResult();
        byte[] question = "hi"u8.ToArray();
        double[] ours = Timed(() => connection.RequestAsync("ask", question, TimeSpan.FromSeconds(5)).GetAwaiter().GetResult());
        connection.DisposeAsync().AsTask().GetAwaiter().GetResult();
        responder.Kill();
        yield return RequestLine("raw socket", floor);
        yield return RequestLine("client", ours);
    }

    private double[] Timed(Action request)
    {
        for (int i = 0; i < requests / 4; i++)
            request();
        double[] micros = new double[requests];
        for (int i = 0; i < requests; i++)
        {
            long start = Stopwatch.GetTimestamp();
            request();
            micros[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }
        Array.Sort(micros);
        return micros;
    }

    private static string RequestLine(string who, double[] micros) => string.Create(
        CultureInfo.InvariantCulture,
        $"{{\"measure\":\"request\",\"who\":\"{who}\",\"with\":\"nats-server\",\"requests\":{micros.Length},\"p50Micros\":{micros[micros.Length / 2]:0.#},\"p99Micros\":{micros[(int)(0.99 * micros.Length)]:0.#}}}");

    private static Task<NatsConnection> ConnectAsync(int port) => NatsConnection.ConnectAsync(new NatsOptions { Servers = [new Uri($"nats://127.0.0.1:{port}")], SilentIntervals = 30 });

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
