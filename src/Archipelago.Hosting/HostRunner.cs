using System.Runtime.InteropServices;
using Archipelago.Messaging;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Archipelago.Hosting;

/// <summary>Runs one host as a process: from the environment to an exit code.</summary>
public static class HostRunner
{
    /// <summary>Exit code when the configuration is at fault.</summary>
    public const int ConfigurationFault = 2;

    /// <summary>Builds the host from the process environment, runs it until SIGINT or SIGTERM, and stops it.</summary>
    /// <param name="scope">The host's name in capitals.</param>
    /// <param name="build">Makes the host.</param>
    /// <param name="needsBus">False for a host that only answers HTTP.</param>
    /// <returns>0 after an orderly stop, 2 when the configuration or the port is at fault.</returns>
    public static async Task<int> RunAsync(string scope, Func<HostContext, WebApplication> build, bool needsBus = true)
    {
        ArgumentNullException.ThrowIfNull(build);
        using EndOfProcess end = WatchSignals();
        try
        {
            var settings = new Settings(scope, Settings.ProcessSources(Directory.GetCurrentDirectory()));
            await using IMessageBus bus = needsBus ? NatsSettings.Connect(settings, servers: null, TimeProvider.System) : new InProcessBroker().Connect();
            await using WebApplication app = build(new HostContext(settings, bus, TimeProvider.System));
            await StartAsync(app, scope);
            await Console.Error.WriteLineAsync($"{scope} listens on {AddressOf(app)}");
            bool asked = await WaitForEndAsync([app], end.Token);
            await app.StopAsync();
            return asked ? 0 : 1;
        }
        catch (Exception e) when (e is ConfigurationException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return ConfigurationFault;
        }
    }

    /// <summary>Tells of handlers that fail, a line a subject every ten seconds.</summary>
    public static Action<string, Exception> ReportHandlerError(TimeProvider clock)
    {
        var throttle = new LogThrottle(clock, TimeSpan.FromSeconds(10));
        return (pattern, e) =>
        {
            if (throttle.ShouldLog(pattern, out long suppressed))
                Console.Error.WriteLine($"A handler of {pattern} failed, {suppressed} more times since it was last told: {e}");
        };
    }

    /// <summary>Starts a host.</summary>
    /// <exception cref="ConfigurationException">Its port is taken, or it may not listen there.</exception>
    public static async Task StartAsync(WebApplication app, string scope)
    {
        ArgumentNullException.ThrowIfNull(app);
        try
        {
            await app.StartAsync();
        }
        catch (IOException e) when (e.InnerException is AddressInUseException)
        {
            throw new ConfigurationException([$"{scope}: {e.Message} Stop what uses the port, or choose another with {scope}__HTTP_SERVER_PORT."]);
        }
        catch (System.Net.Sockets.SocketException e)
        {
            throw new ConfigurationException([$"{scope}: cannot listen: {e.Message}. Check HTTP_SERVER_HOST and HTTP_SERVER_PORT."]);
        }
    }

    /// <summary>The address at which a started host is reached from this machine.</summary>
    public static Uri AddressOf(WebApplication app)
    {
        ArgumentNullException.ThrowIfNull(app);
        string address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        // Listening everywhere is no address to send anybody to.
        return new Uri(address.Replace("//0.0.0.0:", "//127.0.0.1:", StringComparison.Ordinal).Replace("//[::]:", "//[::1]:", StringComparison.Ordinal));
    }

    /// <summary>A token that is cancelled when the process is asked to end (Ctrl-C or SIGTERM). Make it first of all, for an earlier signal just kills; dispose it last.</summary>
    public static EndOfProcess WatchSignals() => new();

    /// <summary>Waits until the token is cancelled, or a host stops by itself.</summary>
    /// <returns>False when a host stopped by itself, which it does when a part of it failed.</returns>
    public static async Task<bool> WaitForEndAsync(IEnumerable<WebApplication> hosts, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(hosts);
        var asked = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using CancellationTokenRegistration _ = cancellationToken.Register(() => asked.TrySetResult(true));
        foreach (WebApplication host in hosts)
            host.Lifetime.ApplicationStopping.Register(() => asked.TrySetResult(false));
        return await asked.Task;
    }
}

/// <summary>Tells when the process is asked to end, and keeps the request from killing it.</summary>
public sealed class EndOfProcess : IDisposable
{
    private readonly CancellationTokenSource asked = new();
    private readonly PosixSignalRegistration[] registrations;

    internal EndOfProcess() => registrations = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle)];

    /// <summary>Cancelled at the first request; a second one ends the process at once.</summary>
    public CancellationToken Token => asked.Token;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in registrations)
            registration.Dispose();
        asked.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        // Who asks twice does not want to wait.
        context.Cancel = !asked.IsCancellationRequested;
        asked.Cancel();
    }
}
