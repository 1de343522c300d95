namespace Archipelago.Nats;

/// <summary>By what a client shows who it is.</summary>
public abstract record NatsCredentials
{
    private NatsCredentials()
    {
    }

    /// <summary>A user and a password.</summary>
    /// <param name="User">The user.</param>
    /// <param name="Word">The password.</param>
    public sealed record Password(string User, string Word) : NatsCredentials
    {
        /// <inheritdoc/>
        public override string ToString() => $"password of {User}";
    }

    /// <summary>A token.</summary>
    /// <param name="Value">The token.</param>
    public sealed record Token(string Value) : NatsCredentials
    {
        /// <inheritdoc/>
        public override string ToString() => "token";
    }

    /// <summary>A key pair whose public half the server knows; it signs the server's challenge.</summary>
    /// <param name="Key">The key.</param>
    public sealed record KeyPair(NatsKey Key) : NatsCredentials;

    /// <summary>A user's JWT and the key that it names; the form of <c>.creds</c> files.</summary>
    /// <param name="Text">The JWT.</param>
    /// <param name="Key">The user's key.</param>
    public sealed record Jwt(string Text, NatsKey Key) : NatsCredentials
    {
        /// <inheritdoc/>
        public override string ToString() => $"JWT of {Key}";
    }

    /// <summary>Reads a <c>.creds</c> file: a user's JWT and the seed of its key, each between marks.</summary>
    /// <exception cref="FormatException">The file does not hold both.</exception>
    public static NatsCredentials FromFile(string path)
    {
        string text = File.ReadAllText(path);
        return new Jwt(Between(text, "NATS USER JWT", path), NatsKey.FromSeed(Between(text, "USER NKEY SEED", path)));
    }

    private static string Between(string text, string mark, string path)
    {
        int begin = text.IndexOf($"BEGIN {mark}", StringComparison.Ordinal), end = text.IndexOf($"END {mark}", StringComparison.Ordinal);
        if (begin < 0 || end < begin)
            throw new FormatException($"{path} has no {mark} between BEGIN and END marks; it must be a .creds file.");
        return text[(begin + mark.Length + "BEGIN ".Length)..end].Trim('-', '\r', '\n', ' ');
    }
}
