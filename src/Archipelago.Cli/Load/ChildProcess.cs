using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace Archipelago.Cli.Load;

/// <summary>A program that a load runs beside itself: started, killed, started again; never left behind.</summary>
internal sealed partial class ChildProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string name;
    private readonly ProcessStartInfo start;
    private readonly ConcurrentQueue<string> lastWords = new();
    private Process? process;
    private TaskCompletionSource<Uri> listening = new();

    private ChildProcess(string name, ProcessStartInfo start)
    {
        this.name = name;
        this.start = start;
    }

    /// <summary>Where a host listens.</summary>
    public Uri Address { get; private set; } = new("http://127.0.0.1");

    /// <summary>Describes one of our hosts; it is started by <see cref="StartHostAsync"/>.</summary>
    /// <param name="assembly">Its assembly, such as <c>Connector</c>.</param>
    /// <param name="environment">Its configuration.</param>
    public static ChildProcess Host(string assembly, Dictionary<string, string> environment) => Program(assembly, "", environment);

    /// <summary>Describes a server that this tool itself is when it is started with these arguments.</summary>
    public static ChildProcess Tool(params string[] arguments) => Program("archipelago", string.Join(' ', arguments), []);

    private static ChildProcess Program(string assembly, string arguments, Dictionary<string, string> environment)
    {
        string path = Path.Combine(AppContext.BaseDirectory, assembly + ".dll");
        var start = new ProcessStartInfo("dotnet", $"\"{path}\" {arguments}") { RedirectStandardError = true, RedirectStandardOutput = true, WorkingDirectory = Path.GetTempPath() };
        foreach ((string variable, string value) in environment)
            start.Environment[variable] = value;
        return new ChildProcess(assembly, start);
    }

    /// <summary>Sets a variable for the next start.</summary>
    public void Set(string variable, string value) => start.Environment[variable] = value;

    /// <summary>Describes a NATS server on this port; it is started by <see cref="StartServerAsync"/>.</summary>
    /// <param name="port">The port.</param>
    /// <param name="more">More of its command line.</param>
    public static ChildProcess NatsServer(int port, string more = "") => new("nats-server", new ProcessStartInfo("nats-server", $"-a 127.0.0.1 -p {port.ToString(CultureInfo.InvariantCulture)} {more}")
    {
        RedirectStandardError = true,
        RedirectStandardOutput = true,
    })
    {
        Address = new Uri($"nats://127.0.0.1:{port}"),
    };

    /// <summary>A port that was free a moment ago.</summary>
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Starts a host and waits until it is ready; a second start listens where the first did.</summary>
    /// <exception cref="InvalidOperationException">It did not become ready; the message has its last words.</exception>
    public async Task StartHostAsync()
    {
        listening = new TaskCompletionSource<Uri>(TaskCreationOptions.RunContinuationsAsynchronously);
        Start();
        try
        {
            Address = await listening.Task.WaitAsync(Patience);
            start.Environment["HTTP_SERVER_PORT"] = Address.Port.ToString(CultureInfo.InvariantCulture);
            using var http = new HttpClient();
            await Until.TrueAsync(async () => (await http.GetAsync(new Uri(Address, "/health/ready"))).IsSuccessStatusCode, Patience);
        }
        catch (TimeoutException e)
        {
            throw new InvalidOperationException($"{name} did not become ready: {string.Join(Environment.NewLine, lastWords)}", e);
        }
    }

    /// <summary>Starts a NATS server and waits until it greets.</summary>
    public async Task StartServerAsync()
    {
        Start();
        await Until.TrueAsync(
            async () =>
            {
                using var probe = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await probe.ConnectAsync(IPAddress.Loopback, Address.Port);
                return await probe.ReceiveAsync(new byte[4]) > 0;
            },
            Patience);
    }

    /// <summary>Ends it as a crash would (SIGKILL).</summary>
    public async Task KillAsync()
    {
        process!.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Sends it a signal, such as STOP.</summary>
    public async Task SignalAsync(string signal)
    {
        using Process kill = Process.Start("kill", $"-{signal} {process!.Id}");
        await kill.WaitForExitAsync();
    }

    /// <summary>Asks it to end (SIGTERM); returns its exit code.</summary>
    public async Task<int> StopAsync()
    {
        await SignalAsync("TERM");
        await process!.WaitForExitAsync().WaitAsync(Patience);
        return process.ExitCode;
    }

    /// <summary>Its memory in MiB and the processor time that it has used, in seconds.</summary>
    public (double Mebibytes, double Seconds) Usage()
    {
        process!.Refresh();
        return (process.WorkingSet64 / 1048576.0, process.TotalProcessorTime.TotalSeconds);
    }

    public async ValueTask DisposeAsync()
    {
        if (process is { HasExited: false })
            await KillAsync(); // also when it is stopped
        process?.Dispose();
    }

    private void Start()
    {
        process?.Dispose();
        process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, e) => Hear(e.Data);
        process.ErrorDataReceived += (_, e) => Hear(e.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    private void Hear(string? line)
    {
        if (line is null)
            return;
        lastWords.Enqueue(line);
        while (lastWords.Count > 20)
            lastWords.TryDequeue(out _);
        if (ListensOn().Match(line) is { Success: true } match)
            listening.TrySetResult(new Uri(match.Groups[1].Value));
    }

    [GeneratedRegex(@" listens on (\S+)")]
    private static partial Regex ListensOn();
}
