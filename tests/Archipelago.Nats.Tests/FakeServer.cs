using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Archipelago.Nats.Tests;

/// <summary>A server that says what the test wants, to clients one after the other.</summary>
internal sealed class FakeServer : IAsyncDisposable
{
    public const string Info = "INFO {\"server_id\":\"fake\",\"max_payload\":1048576,\"headers\":true}\r\n";

    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource stopping = new();
    private readonly Func<int, Client, Task> serve;
    private readonly Task running;
    private volatile TcpClient? current;

    public FakeServer(Func<int, Client, Task> serve)
    {
        this.serve = serve;
        listener.Start();
        running = RunAsync();
    }

    public Uri Url => new($"nats://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");

    /// <summary>One client that has connected.</summary>
    public sealed class Client(NetworkStream stream)
    {
        private readonly StreamReader reader = new(stream, Encoding.ASCII);

        public async Task SayAsync(string text) => await stream.WriteAsync(Encoding.Latin1.GetBytes(text));

        public Task<string?> ReadLineAsync() => reader.ReadLineAsync();

        /// <summary>Greets, and answers the first PING.</summary>
        public async Task WelcomeAsync()
        {
            await SayAsync(Info);
            await UntilAsync("PING");
            await SayAsync("PONG\r\n");
        }

        /// <summary>Reads until a line begins with this; returns all lines.</summary>
        public async Task<List<string>> UntilAsync(string start)
        {
            var lines = new List<string>();
            while (await ReadLineAsync() is { } line)
            {
                lines.Add(line);
                if (line.StartsWith(start, StringComparison.Ordinal))
                    break;
            }
            return lines;
        }

        /// <summary>Answers pings until the client goes.</summary>
        public async Task IdleAsync()
        {
            while (await ReadLineAsync() is { } line)
                if (line == "PING")
                    await SayAsync("PONG\r\n");
        }
    }

    /// <summary>Cuts the connection to the client that is being served.</summary>
    public void Cut() => current?.Client.Close(0);

    private async Task RunAsync()
    {
        for (int n = 0; !stopping.IsCancellationRequested; n++)
        {
            try
            {
                using TcpClient client = await listener.AcceptTcpClientAsync(stopping.Token);
                current = client;
                await serve(n, new Client(client.GetStream())).WaitAsync(stopping.Token);
            }
            catch (Exception e) when (e is IOException or OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // The client went, or the test ends.
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        listener.Stop();
        await running;
    }
}
