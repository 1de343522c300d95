using System.Security.Cryptography;
using Archipelago.Messaging;
using Archipelago.Nats;

namespace Archipelago.Hosting;

/// <summary>The bus over NATS, as the configuration describes it.</summary>
public static class NatsSettings
{
    private const string DefaultServer = "nats://127.0.0.1:4222";

    /// <summary>
    /// Begins to connect a host's bus; it goes on trying for as long as it takes, and tells on standard error every few seconds why it is not there yet.
    /// Faults of the configuration go to <paramref name="settings"/>.
    /// </summary>
    /// <param name="settings">The host's configuration.</param>
    /// <param name="servers">Servers that go before <c>NATS_URL</c>; null reads that.</param>
    /// <param name="clock">Where the time comes from.</param>
    public static IMessageBus Connect(Settings settings, string? servers, TimeProvider clock)
    {
        ArgumentNullException.ThrowIfNull(settings);
        NatsOptions? options = Read(settings, servers);
        // With a fault the host is not built, so what it would be built on does not matter.
        return options is null
            ? new InProcessBroker().Connect()
            : new NatsBus(NatsConnection.Start(options with { Clock = clock, OnHandlerError = HostRunner.ReportHandlerError(clock) }, new Reporter(settings.Scope, clock).Tell));
    }

    private static NatsOptions? Read(Settings settings, string? servers)
    {
        string text = servers ?? settings.Text("NATS_URL");
        double ping = settings.Number("NATS_PING_INTERVAL_MS", 2000, 10, 3_600_000);
        try
        {
            return new NatsOptions
            {
                Servers = NatsOptions.ParseServers(string.IsNullOrWhiteSpace(text) ? DefaultServer : text),
                Name = settings.Scope.ToLowerInvariant().Replace('_', '-'),
                Credentials = Credentials(settings),
                PingInterval = TimeSpan.FromMilliseconds(ping),
                RetryFirstConnect = true,
                // No host listens to what it says itself.
                Echo = false,
                Tls = NatsTlsOptions.FromFiles(File(settings.Find("NATS_TLS_CA_FILE")), File(settings.Find("NATS_TLS_CERT_FILE")), File(settings.Find("NATS_TLS_KEY_FILE"))),
            };
        }
        catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException or CryptographicException or DllNotFoundException or NatsException)
        {
            settings.AddFault($"The bus cannot be set up: {e.Message} Check NATS_URL, NATS_CREDS_FILE, NATS_NKEY_FILE and NATS_TLS_…_FILE.");
            return null;
        }
    }

    private static NatsCredentials? Credentials(Settings settings)
    {
        if (File(settings.Find("NATS_CREDS_FILE")) is { } credentials)
            return NatsCredentials.FromFile(credentials);
        return File(settings.Find("NATS_NKEY_FILE")) is { } seed ? new NatsCredentials.KeyPair(NatsKey.FromSeed(System.IO.File.ReadAllText(seed))) : null;
    }

    private static string? File(string? path) => string.IsNullOrWhiteSpace(path) ? null : path;

    /// <summary>Tells how the connection stands: each change, and of attempts in vain one line every few seconds.</summary>
    private sealed class Reporter(string scope, TimeProvider clock)
    {
        private readonly LogThrottle throttle = new(clock, TimeSpan.FromSeconds(5));
        private NatsState told = NatsState.Connecting;

        public void Tell(NatsStateChange change)
        {
            string? line = change.State switch
            {
                NatsState.Connected => $"{scope}: the bus is connected to {change.Server!.Host}:{change.Server.Port}.",
                NatsState.Closed => null,
                _ when change.State != told || throttle.ShouldLog(scope, out _) => $"{scope}: the bus is not connected and tries again: {change.Reason?.Message}",
                _ => null,
            };
            told = change.State;
            if (line is not null)
                Console.Error.WriteLine(line);
        }
    }
}
