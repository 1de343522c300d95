using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Archipelago.Nats.Internals;

/// <summary>
/// One connection to one server, from the handshake to its end: a loop that reads, a loop that writes what the outbox holds, and one that pings. When any of
/// them ends, all do, and <see cref="RunAsync"/> tells why.
/// </summary>
internal sealed class NatsLink : IServerCommands, IAsyncDisposable
{
    private const int ReadBuffer = 1 << 17;
    private const int Piece = 1 << 17;

    private readonly NatsConnection connection;
    private readonly NatsOptions options;
    private readonly ProtocolReader protocol;
    private readonly TaskCompletionSource handshake = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource closing = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Stream stream;
    private PipeReader reader;
    private Task reading = Task.CompletedTask;
    private NatsException? refusal;
    private long lastHeard;
    private volatile bool handling;
    private volatile bool closed;

    private NatsLink(NatsConnection connection, NatsOptions options, KnownServer server, Stream stream)
    {
        this.connection = connection;
        this.options = options;
        this.stream = stream;
        Server = server;
        reader = Reader(stream);
        protocol = new ProtocolReader(this);
    }

    public KnownServer Server { get; }

    public ServerInfo Info { get; private set; } = new();

    /// <summary>Connects, upgrades to TLS where wanted, and shows who this is.</summary>
    /// <exception cref="NatsException">The server refused, or is none.</exception>
    public static async Task<NatsLink> OpenAsync(NatsConnection connection, NatsOptions options, KnownServer server, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(options.ConnectTimeout);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        NatsLink? link = null;
        try
        {
            await socket.ConnectAsync(server.Address.Host, server.Address.Port, limit.Token);
            link = new NatsLink(connection, options, server, new NetworkStream(socket, ownsSocket: true));
            await link.GreetAsync(limit.Token);
            return link;
        }
        catch (Exception e)
        {
            socket.Dispose();
            if (link is not null)
                await link.DisposeAsync();
            cancellationToken.ThrowIfCancellationRequested();
            throw e switch
            {
                OperationCanceledException => new NatsException($"{server} did not answer within {options.ConnectTimeout.TotalSeconds:0.#} s."),
                SocketException or IOException => new NatsException($"{server} cannot be reached: {e.Message}", e),
                System.Security.Authentication.AuthenticationException => new NatsException($"{server}: TLS failed: {e.Message} {e.InnerException?.Message}".TrimEnd(), e),
                _ => e,
            };
        }
    }

    /// <summary>
    /// Works until the link ends. The subscriptions are sent before anything else. <paramref name="ended"/> is told why it ended before the last handler
    /// has returned, which may be waiting for just that; the task completes afterwards.
    /// </summary>
    public async Task RunAsync(ReadOnlyMemory<byte> subscriptions, Outbox outbox, Action<Exception> ended, CancellationToken stopping)
    {
        Task writing = WriteAsync(subscriptions, outbox);
        using var watchEnd = new CancellationTokenSource();
        Task watching = WatchAsync(watchEnd.Token);
        await using CancellationTokenRegistration _ = stopping.Register(() => closing.TrySetResult());
        Task first = await Task.WhenAny(reading, writing, watching, closing.Task);
        Exception reason = (first.IsFaulted ? first.Exception!.InnerException! : null) ?? new NatsException("The connection was closed.");
        await watchEnd.CancelAsync();
        closed = true;
        await stream.DisposeAsync();
        outbox.Filled.Set();
        await writing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // What the server said before it closed tells more than that it closed.
        ended(refusal ?? reason);
        await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await reader.CompleteAsync();
    }

    public async ValueTask DisposeAsync()
    {
        closed = true;
        await stream.DisposeAsync();
        await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await reader.CompleteAsync();
    }

    private static PipeReader Reader(Stream stream) => PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: ReadBuffer, minimumReadSize: ReadBuffer / 8, leaveOpen: true));

    private async Task GreetAsync(CancellationToken cancellationToken)
    {
        await ReadInfoAsync(cancellationToken);
        bool tls = Server.Address.Scheme == "tls" || options.Tls.Required || Info.TlsRequired;
        if (tls)
            await UpgradeAsync(cancellationToken);
        await stream.WriteAsync(ConnectCommand.Create(options, Server.Address, Info, tls), cancellationToken);
        lastHeard = options.Clock.GetTimestamp();
        reading = ReadAsync();
        Task first = await Task.WhenAny(handshake.Task, reading).WaitAsync(cancellationToken);
        // Let in, and perhaps thrown out at once: the latter is for whoever uses the link.
        if (!handshake.Task.IsCompletedSuccessfully)
            await first;
    }

    private async Task ReadInfoAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            ReadResult result = await reader.ReadAsync(cancellationToken);
            if (result.Buffer.PositionOf((byte)'\n') is { } end)
            {
                byte[] line = result.Buffer.Slice(0, end).ToArray();
                reader.AdvanceTo(result.Buffer.GetPosition(1, end));
                if (!line.AsSpan().StartsWith("INFO "u8))
                    throw new NatsProtocolException($"{Server} does not greet as a NATS server does.");
                Info = ServerInfo.Parse(line.AsSpan(5));
                return;
            }
            if (result.IsCompleted || result.Buffer.Length > 1 << 20)
                throw new NatsProtocolException($"{Server} does not greet as a NATS server does.");
            reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        }
    }

    private async Task UpgradeAsync(CancellationToken cancellationToken)
    {
        if (!Info.TlsRequired && !Info.TlsAvailable)
            throw new NatsException($"{Server} does not offer TLS, which is required here.");
        // Nothing but INFO comes before the upgrade; whatever else did would be read as if it were encrypted.
        if (reader.TryRead(out ReadResult early) && !early.Buffer.IsEmpty)
            throw new NatsProtocolException($"{Server} went on before the upgrade to TLS.");
        await reader.CompleteAsync();
        var secure = new SslStream(stream);
        stream = secure;
        var authentication = new SslClientAuthenticationOptions { TargetHost = options.Tls.ServerName ?? Server.TlsName };
        if (options.Tls.ClientCertificate is { } certificate)
            authentication.ClientCertificates = [certificate];
        if (options.Tls.Authorities is { } authorities)
        {
            authentication.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            authentication.CertificateChainPolicy.CustomTrustStore.AddRange(authorities);
        }
        await secure.AuthenticateAsClientAsync(authentication, cancellationToken);
        reader = Reader(secure);
    }

    private async Task ReadAsync()
    {
        // Off the thread that opens the link, which has a time limit to keep.
        await Task.Yield();
        while (true)
        {
            ReadResult result = await reader.ReadAsync();
            // Time that a handler takes is not the server's silence.
            handling = true;
            SequencePosition done = protocol.Read(result.Buffer);
            Volatile.Write(ref lastHeard, options.Clock.GetTimestamp());
            handling = false;
            reader.AdvanceTo(done, result.Buffer.End);
            if (result.IsCompleted)
                throw refusal ?? new NatsException("The server closed the connection.");
        }
    }

    private async Task WriteAsync(ReadOnlyMemory<byte> subscriptions, Outbox outbox)
    {
        await Task.Yield();
        if (!subscriptions.IsEmpty)
            await stream.WriteAsync(subscriptions);
        byte[]? written = null;
        while (!closed)
        {
            ReadOnlyMemory<byte> bytes = outbox.Take(ref written, out int messages);
            if (bytes.IsEmpty)
            {
                await outbox.Filled;
                continue;
            }
            try
            {
                for (; !bytes.IsEmpty; bytes = bytes[Math.Min(Piece, bytes.Length)..])
                {
                    ValueTask piece = stream.WriteAsync(bytes[..Math.Min(Piece, bytes.Length)]);
                    bool waits = !piece.IsCompleted;
                    await piece;
                    // Behind a large backlog PINGs wait their turn; that it gets shorter is a sign of life, too.
                    if (waits)
                        Volatile.Write(ref lastHeard, options.Clock.GetTimestamp());
                }
            }
            catch
            {
                connection.Statistics.CountDropped(DropCause.LinkLost, messages);
                throw;
            }
        }
    }

    /// <summary>Pings, and gives the link up when the server has been silent for too long.</summary>
    private async Task WatchAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(options.PingInterval, options.Clock);
        TimeSpan patience = options.PingInterval * options.SilentIntervals;
        while (await timer.WaitForNextTickAsync(cancellationToken))
        {
            TimeSpan silence = options.Clock.GetElapsedTime(Volatile.Read(ref lastHeard));
            if (silence > patience && !handling)
                throw new NatsException($"{Server} has been silent for {silence.TotalSeconds:0.#} s.");
            if (Info.LameDuck && await connection.MayLeaveAsync(cancellationToken))
                throw new NatsException($"{Server} is shutting down.");
            connection.Ping();
        }
    }

    void IServerCommands.OnMessage(long subscription, NatsMessage message) => connection.Deliver(subscription, message);

    void IServerCommands.OnInfo(ReadOnlySpan<byte> json)
    {
        Info = ServerInfo.Parse(json);
        connection.OnInfo(Server, Info);
    }

    void IServerCommands.OnPing() => connection.Pong();

    void IServerCommands.OnPong()
    {
        if (!handshake.TrySetResult())
            connection.OnPong();
    }

    void IServerCommands.OnError(string error)
    {
        var said = new NatsServerException(error);
        connection.OnServerError(said);
        if (said.IsHarmless)
            return;
        refusal = said;
        NatsConnection.Fail(handshake, said);
    }
}
