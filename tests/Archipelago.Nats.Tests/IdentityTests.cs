using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Archipelago.Nats.Internals;
using Archipelago.Testing;

namespace Archipelago.Nats.Tests;

/// <summary>Every way to show who one is, to a real server that checks it.</summary>
public class IdentityTests
{
    // The example of the NATS documentation for nkeys; its public key is known.
    private const string KnownSeed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    private const string KnownPublic = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

    private static async Task<NatsConnection> ConnectAsync(Uri server, NatsCredentials? credentials, NatsTlsOptions? tls = null)
    {
        NatsConnection connection = await NatsConnection.ConnectAsync(new NatsOptions { Servers = [server], Credentials = credentials, Tls = tls ?? new() });
        await connection.FlushAsync();
        return connection;
    }

    /// <summary>A seed of this kind (U user, A account, O operator), and its key.</summary>
    private static (string Seed, NatsKey Key) NewKey(char kind)
    {
        int prefix = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".IndexOf(kind, StringComparison.Ordinal) << 3;
        byte[] raw = new byte[36];
        raw[0] = (byte)((18 << 3) | (prefix >> 5));
        raw[1] = (byte)((prefix & 31) << 3);
        RandomNumberGenerator.Fill(raw.AsSpan(2, 32));
        int crc = 0;
        foreach (byte b in raw.AsSpan(0, 34))
        {
            crc ^= b << 8;
            for (int bit = 0; bit < 8; bit++)
                crc = ((crc << 1) ^ ((crc & 0x8000) != 0 ? 0x1021 : 0)) & 0xFFFF;
        }
        (raw[34], raw[35]) = ((byte)crc, (byte)(crc >> 8));
        string seed = Base32.Encode(raw);
        return (seed, NatsKey.FromSeed(seed));
    }

    private static string Jwt(NatsKey issuer, string subject, string name, string claims)
    {
        static string Part(string json) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(json));
        string body = Part("""{"typ":"JWT","alg":"ed25519-nkey"}""") + "."
            + Part($$"""{"jti":"x","iat":1700000000,"iss":"{{issuer.PublicKey}}","name":"{{name}}","sub":"{{subject}}","nats":{{claims}}}""");
        return body + "." + issuer.Sign(body);
    }

    [Fact]
    public void A_seed_gives_its_public_key()
    {
        Assert.Equal(KnownPublic, NatsKey.FromSeed(KnownSeed).PublicKey);
        Assert.DoesNotContain(KnownSeed, NatsKey.FromSeed(KnownSeed).ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU4VY")]
    [InlineData(KnownPublic)]
    [InlineData("not a seed")]
    public void What_is_no_seed_is_refused(string seed) => Assert.Throws<FormatException>(() => NatsKey.FromSeed(seed));

    [Fact]
    public async Task A_password_or_a_token_lets_in_from_options_and_from_the_address()
    {
        await using NatsServer users = await NatsServer.StartAsync(arguments: "--user me --pass p@ss"), tokens = await NatsServer.StartAsync(arguments: "--auth t0ken");
        await using NatsConnection a = await ConnectAsync(users.Url, new NatsCredentials.Password("me", "p@ss"));
        await using NatsConnection b = await ConnectAsync(new Uri($"nats://me:p%40ss@127.0.0.1:{users.Port}"), null);
        await using NatsConnection c = await ConnectAsync(tokens.Url, new NatsCredentials.Token("t0ken"));
        await using NatsConnection d = await ConnectAsync(new Uri($"nats://t0ken@127.0.0.1:{tokens.Port}"), null);
        await Assert.ThrowsAsync<NatsServerException>(() => ConnectAsync(users.Url, new NatsCredentials.Password("me", "wrong")));
    }

    [Fact]
    public async Task A_key_pair_lets_in()
    {
        (_, NatsKey key) = NewKey('U');
        await using NatsServer server = await NatsServer.StartAsync($$"""authorization { users = [ { nkey: {{key.PublicKey}} } ] }""");
        await using NatsConnection connection = await ConnectAsync(server.Url, new NatsCredentials.KeyPair(key));
        await Assert.ThrowsAsync<NatsServerException>(() => ConnectAsync(server.Url, new NatsCredentials.KeyPair(NewKey('U').Key)));
    }

    [Fact]
    public async Task A_credentials_file_lets_in()
    {
        NatsKey operators = NewKey('O').Key, account = NewKey('A').Key;
        (string seed, NatsKey user) = NewKey('U');
        const string Unlimited = """{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1}""";
        string operatorJwt = Jwt(operators, operators.PublicKey, "op", """{"type":"operator","version":2}""");
        string accountJwt = Jwt(operators, account.PublicKey, "acc", $$"""{"limits":{{Unlimited}},"type":"account","version":2}""");
        string userJwt = Jwt(account, user.PublicKey, "user", """{"subs":-1,"data":-1,"payload":-1,"type":"user","version":2}""");
        await using NatsServer server = await NatsServer.StartAsync($$"""
            operator: {{operatorJwt}}
            resolver: MEMORY
            resolver_preload: { {{account.PublicKey}}: {{accountJwt}} }
            """);
        string file = Path.Combine(server.Folder, "user.creds");
        await File.WriteAllTextAsync(file, $"""
            -----BEGIN NATS USER JWT-----
            {userJwt}
            ------END NATS USER JWT------

            ************************* IMPORTANT *************************

            -----BEGIN USER NKEY SEED-----
            {seed}
            ------END USER NKEY SEED------
            """);
        await using NatsConnection connection = await ConnectAsync(server.Url, NatsCredentials.FromFile(file));
        await File.WriteAllTextAsync(file, "nothing");
        Assert.Contains("NATS USER JWT", Assert.Throws<FormatException>(() => NatsCredentials.FromFile(file)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TLS_checks_the_server_and_shows_the_client()
    {
        string folder = Directory.CreateTempSubdirectory("tls").FullName;
        try
        {
            using X509Certificate2 authority = Certificate("authority", null, folder), server = Certificate("server", authority, folder), client = Certificate("client", authority, folder);
            await using NatsServer secure = await NatsServer.StartAsync($$"""
                tls { cert_file: "{{folder}}/server.pem", key_file: "{{folder}}/server.key", ca_file: "{{folder}}/authority.pem", verify: true }
                """);
            NatsTlsOptions whole = NatsTlsOptions.FromFiles($"{folder}/authority.pem", $"{folder}/client.pem", $"{folder}/client.key", required: true);
            // Both ways to come to it: the address asks for TLS, or the server does.
            await using NatsConnection a = await ConnectAsync(secure.TlsUrl, null, whole), b = await ConnectAsync(secure.Url, null, whole with { Required = false });

            NatsException stranger = await Assert.ThrowsAnyAsync<NatsException>(() => ConnectAsync(secure.TlsUrl, null, whole with { Authorities = null }));
            Assert.Contains("TLS failed", stranger.Message, StringComparison.Ordinal);
            NatsException otherName = await Assert.ThrowsAnyAsync<NatsException>(() => ConnectAsync(secure.TlsUrl, null, whole with { ServerName = "elsewhere" }));
            Assert.Contains("TLS failed", otherName.Message, StringComparison.Ordinal);
            await Assert.ThrowsAnyAsync<NatsException>(() => ConnectAsync(secure.TlsUrl, null, whole with { ClientCertificate = null }));

            await using NatsServer open = await NatsServer.StartAsync();
            NatsException none = await Assert.ThrowsAnyAsync<NatsException>(() => ConnectAsync(open.Url, null, whole));
            Assert.Contains("does not offer TLS", none.Message, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static X509Certificate2 Certificate(string name, X509Certificate2? issuer, string folder)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=" + name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(issuer is null, false, 0, true));
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        DateTimeOffset from = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero), until = new(2049, 1, 1, 0, 0, 0, TimeSpan.Zero);
        using X509Certificate2 bare = issuer is null ? request.CreateSelfSigned(from, until) : request.Create(issuer, from, until, RandomNumberGenerator.GetBytes(8));
        File.WriteAllText(Path.Combine(folder, name + ".pem"), bare.ExportCertificatePem());
        File.WriteAllText(Path.Combine(folder, name + ".key"), key.ExportPkcs8PrivateKeyPem());
        return issuer is null ? X509CertificateLoader.LoadPkcs12(bare.Export(X509ContentType.Pkcs12), null) : bare.CopyWithPrivateKey(key);
    }
}
