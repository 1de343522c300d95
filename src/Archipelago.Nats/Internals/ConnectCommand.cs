using System.Buffers;
using System.Text.Json;

namespace Archipelago.Nats.Internals;

/// <summary>The client's side of the greeting: CONNECT with who it is, and a PING whose PONG tells that it was let in.</summary>
internal static class ConnectCommand
{
    public static byte[] Create(NatsOptions options, Uri server, ServerInfo info, bool tls)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        buffer.Write("CONNECT "u8);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteBoolean("verbose", false);
            json.WriteBoolean("pedantic", false);
            json.WriteBoolean("tls_required", tls);
            json.WriteString("name", options.Name);
            json.WriteString("lang", "csharp");
            json.WriteString("version", typeof(ConnectCommand).Assembly.GetName().Version?.ToString(3) ?? "0");
            json.WriteNumber("protocol", 1);
            json.WriteBoolean("echo", options.Echo);
            json.WriteBoolean("headers", true);
            json.WriteBoolean("no_responders", info.Headers);
            WriteIdentity(json, options.Credentials ?? FromUrl(server), info);
            json.WriteEndObject();
        }
        buffer.Write("\r\nPING\r\n"u8);
        return buffer.WrittenSpan.ToArray();
    }

    private static void WriteIdentity(Utf8JsonWriter json, NatsCredentials? credentials, ServerInfo info)
    {
        switch (credentials)
        {
            case NatsCredentials.Password password:
                json.WriteString("user", password.User);
                json.WriteString("pass", password.Word);
                break;
            case NatsCredentials.Token token:
                json.WriteString("auth_token", token.Value);
                break;
            case NatsCredentials.KeyPair pair:
                json.WriteString("nkey", pair.Key.PublicKey);
                json.WriteString("sig", pair.Key.Sign(Nonce(info)));
                break;
            case NatsCredentials.Jwt jwt:
                json.WriteString("jwt", jwt.Text);
                json.WriteString("sig", jwt.Key.Sign(Nonce(info)));
                break;
        }
    }

    private static string Nonce(ServerInfo info) =>
        info.Nonce ?? throw new NatsException("The server asks for no signature, so it is not set up for keys; use the credentials that it expects.");

    private static NatsCredentials? FromUrl(Uri server)
    {
        if (server.UserInfo.Length == 0)
            return null;
        int colon = server.UserInfo.IndexOf(':', StringComparison.Ordinal);
        return colon < 0
            ? new NatsCredentials.Token(Uri.UnescapeDataString(server.UserInfo))
            : new NatsCredentials.Password(Uri.UnescapeDataString(server.UserInfo[..colon]), Uri.UnescapeDataString(server.UserInfo[(colon + 1)..]));
    }
}
