using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Archipelago.Testing;

/// <summary>A real nats-server on a free port of this machine; killed with the test.</summary>
internal sealed partial class NatsServer : IAsyncDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("nats").FullName;
    private readonly string arguments;
    private Process process = null!;

    private NatsServer(int port, string arguments)
    {
        Port = port;
        this.arguments = arguments;
    }

    public int Port { get; }

    public Uri Url => new($"nats://127.0.0.1:{Port}");

    public Uri TlsUrl => new($"tls://127.0.0.1:{Port}");

    /// <summary>Where the server may keep what it stores.</summary>
    public string Folder => folder;

    /// <param name="configuration">Text of a configuration file; null for none.</param>
    /// <param name="arguments">More of the command line; <c>{folder}</c> stands for a folder of its own.</param>
    /// <param name="port">A port of one's own choice; a free one otherwise.</param>
    public static async Task<NatsServer> StartAsync(string? configuration = null, string arguments = "", int? port = null)
    {
        var server = new NatsServer(port ?? FreePort(), arguments);
        if (configuration is not null)
            await File.WriteAllTextAsync(Path.Combine(server.folder, "server.conf"), configuration);
        await server.StartAgainAsync();
        return server;
    }

    /// <summary>A port that was free a moment ago.</summary>
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Starts it anew on the same port.</summary>
    public async Task StartAgainAsync()
    {
        string configuration = Path.Combine(folder, "server.conf");
        string options = $"-a 127.0.0.1 -p {Port.ToString(CultureInfo.InvariantCulture)} -l {Path.Combine(folder, "log")} {arguments.Replace("{folder}", folder, StringComparison.Ordinal)}";
        if (File.Exists(configuration))
            options += " -c " + configuration;
        process = Process.Start(new ProcessStartInfo("nats-server", options) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        await Eventually.TrueAsync(async () =>
        {
            Assert.False(process.HasExited, "nats-server ended at once: " + Log);
            using var probe = new Socket(SocketType.Stream, ProtocolType.Tcp);
            try
            {
                await probe.ConnectAsync(IPAddress.Loopback, Port);
                return await probe.ReceiveAsync(new byte[16]) > 0;
            }
            catch (SocketException)
            {
                return false;
            }
        });
    }

    /// <summary>What the server has logged.</summary>
    public string Log => File.Exists(Path.Combine(folder, "log")) ? File.ReadAllText(Path.Combine(folder, "log")) : "";

    /// <summary>Kills it as a crash would.</summary>
    public async Task KillAsync()
    {
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Stops it in its tracks (SIGSTOP): its sockets stay open and say nothing.</summary>
    public void Freeze() => Signal(19);

    public void Thaw() => Signal(18);

    /// <summary>Lets it shut down in the orderly way that warns its clients (lame duck mode).</summary>
    public void BeginShutdown() => Signal(12);

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            Thaw();
            await KillAsync();
        }
        process.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private void Signal(int signal) => Assert.Equal(0, kill(process.Id, signal));

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);
}
