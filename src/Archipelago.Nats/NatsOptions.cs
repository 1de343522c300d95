using System.Security.Cryptography.X509Certificates;

namespace Archipelago.Nats;

/// <summary>How to reach and treat the server. Immutable.</summary>
public sealed record NatsOptions
{
    /// <summary>Servers to begin with, in the order in which they are tried; others are learned from them. <c>nats://[user:password@|token@]host[:port]</c>, or <c>tls://</c>.</summary>
    public IReadOnlyList<Uri> Servers { get; init; } = [new Uri("nats://127.0.0.1:4222")];

    /// <summary>The client's name in the server's monitoring.</summary>
    public string Name { get; init; } = "archipelago";

    /// <summary>Who this is; null uses what the URL says.</summary>
    public NatsCredentials? Credentials { get; init; }

    /// <summary>Whether this connection hears its own messages.</summary>
    public bool Echo { get; init; } = true;

    /// <summary>How TLS is done where the URL or the server asks for it.</summary>
    public NatsTlsOptions Tls { get; init; } = new();

    /// <summary>Whether a first connection that fails is tried again for ever, instead of failing <see cref="NatsConnection.ConnectAsync"/>.</summary>
    public bool RetryFirstConnect { get; init; }

    /// <summary>How long one attempt to connect may take, handshake included.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The pause after all servers have been tried once in vain; it doubles up to <see cref="LongestPause"/>, and varies by half so that clients do not come back all at once.</summary>
    public TimeSpan FirstPause { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>The longest pause between rounds through the servers.</summary>
    public TimeSpan LongestPause { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How often the server is pinged.</summary>
    public TimeSpan PingInterval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>After so many intervals without a byte from the server the connection is given up.</summary>
    public int SilentIntervals { get; init; } = 2;

    /// <summary>Bytes that may wait to be sent while connected; beyond it publishers wait (or fail fast).</summary>
    public int SendBuffer { get; init; } = 1 << 20;

    /// <summary>Bytes that are kept for the server while it is out of reach.</summary>
    public int KeepBuffer { get; init; } = 8 << 20;

    /// <summary>Told of exceptions that handlers throw, with the subscription's subject. Must not throw.</summary>
    public Action<string, Exception>? OnHandlerError { get; init; }

    /// <summary>Where intervals and pauses take their time from.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Reads a comma-separated list of servers.</summary>
    /// <exception cref="FormatException">An entry is no address of a NATS server; the message says which.</exception>
    public static IReadOnlyList<Uri> ParseServers(string list)
    {
        ArgumentNullException.ThrowIfNull(list);
        var servers = new List<Uri>();
        foreach (string entry in list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            string text = entry.Contains("://", StringComparison.Ordinal) ? entry : "nats://" + entry;
            if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? server) || server.Scheme is not ("nats" or "tls") || server.Host.Length == 0)
                throw new FormatException($"\"{Redacted(entry)}\" is no address of a NATS server; write nats://host:4222 or tls://host:4222.");
            servers.Add(server.Port > 0 ? server : new UriBuilder(server) { Port = 4222 }.Uri);
        }
        return servers.Count > 0 ? servers : throw new FormatException("The list of NATS servers is empty; write nats://host:4222.");
    }

    /// <summary>An address without what it may hold of a secret.</summary>
    internal static string Redacted(string address)
    {
        int at = address.LastIndexOf('@'), scheme = address.IndexOf("://", StringComparison.Ordinal);
        return at < 0 ? address : (scheme < 0 ? "" : address[..(scheme + 3)]) + "…" + address[at..];
    }
}

/// <summary>How TLS is done.</summary>
public sealed record NatsTlsOptions
{
    /// <summary>Whether a server that does not offer TLS is refused.</summary>
    public bool Required { get; init; }

    /// <summary>Authorities to trust instead of the system's; null trusts the system's.</summary>
    public X509Certificate2Collection? Authorities { get; init; }

    /// <summary>The certificate, with its key, by which this client shows who it is; null shows none.</summary>
    public X509Certificate2? ClientCertificate { get; init; }

    /// <summary>The name that the server's certificate must have; null takes the host of the URL.</summary>
    public string? ServerName { get; init; }

    /// <summary>Reads PEM files.</summary>
    /// <param name="authorities">File of authorities to trust; null trusts the system's.</param>
    /// <param name="certificate">File of the client's certificate; null shows none.</param>
    /// <param name="key">File of the client's key.</param>
    /// <param name="required">Whether a server without TLS is refused.</param>
    /// <exception cref="System.Security.Cryptography.CryptographicException">A file is no PEM.</exception>
    public static NatsTlsOptions FromFiles(string? authorities, string? certificate, string? key, bool required = false)
    {
        X509Certificate2Collection? trusted = null;
        if (authorities is not null)
        {
            trusted = [];
            trusted.ImportFromPemFile(authorities);
        }
        return new NatsTlsOptions
        {
            Required = required,
            Authorities = trusted,
            ClientCertificate = certificate is null ? null : X509Certificate2.CreateFromPemFile(certificate, key),
        };
    }
}
