using System.Buffers;
using System.Text;

namespace Archipelago.Messaging;

/// <summary>
/// A subject in which <c>*</c> stands for exactly one token and a final <c>&gt;</c> for one or more, as NATS has it. Immutable.
/// </summary>
public sealed class SubjectPattern
{
    /// <summary>Visible ASCII but for the wildcards.</summary>
    private static readonly SearchValues<char> Plain = SearchValues.Create(
        [.. Enumerable.Range('!', '~' - '!' + 1).Select(c => (char)c).Where(c => c is not ('*' or '>'))]);

    private readonly byte[][] tokens;
    private readonly bool open;
    private readonly byte[]? literal;

    /// <summary>Parses a pattern.</summary>
    /// <exception cref="ArgumentException">A token is empty, holds white space, or mixes a wildcard with text.</exception>
    public SubjectPattern(string pattern)
    {
        Text = Checked(pattern, wildcards: true);
        string[] parts = pattern.Split('.');
        open = parts[^1] == ">";
        tokens = [.. parts.Take(open ? parts.Length - 1 : parts.Length).Select(Encoding.UTF8.GetBytes)];
        if (!open && !parts.Contains("*"))
            literal = Encoding.UTF8.GetBytes(pattern);
    }

    /// <summary>The pattern as written.</summary>
    public string Text { get; }

    /// <summary>True when the subject matches. Allocates nothing.</summary>
    public bool Matches(ReadOnlySpan<byte> subject)
    {
        if (literal is not null)
            return subject.SequenceEqual(literal);
        foreach (byte[] token in tokens)
        {
            if (subject.IsEmpty)
                return false;
            int dot = subject.IndexOf((byte)'.');
            ReadOnlySpan<byte> head = dot < 0 ? subject : subject[..dot];
            subject = dot < 0 ? [] : subject[(dot + 1)..];
            if (!(token is [(byte)'*']) && !head.SequenceEqual(token))
                return false;
        }
        return subject.IsEmpty != open;
    }

    /// <summary>Checks a subject to publish on, and gives it back.</summary>
    /// <exception cref="ArgumentException">A token is empty, or there is white space or a wildcard; the message says where.</exception>
    public static string CheckSubject(string subject)
    {
        ArgumentException.ThrowIfNullOrEmpty(subject);
        // Nearly all subjects are plain, which a few vector instructions can tell.
        bool plain = !subject.AsSpan().ContainsAnyExcept(Plain) && subject[0] != '.' && subject[^1] != '.' && !subject.AsSpan().Contains("..", StringComparison.Ordinal);
        return plain ? subject : Checked(subject, wildcards: false);
    }

    private static string Checked(string subject, bool wildcards)
    {
        ArgumentException.ThrowIfNullOrEmpty(subject);
        ReadOnlySpan<char> rest = subject;
        while (true)
        {
            int dot = rest.IndexOf('.');
            bool last = dot < 0;
            CheckToken(subject, last ? rest : rest[..dot], last, wildcards);
            if (last)
                return subject;
            rest = rest[(dot + 1)..];
        }
    }

    private static void CheckToken(string subject, ReadOnlySpan<char> token, bool last, bool wildcards)
    {
        if (token.IsEmpty)
            throw new ArgumentException($"The subject \"{subject}\" has an empty token.", nameof(subject));
        foreach (char c in token)
            if (char.IsWhiteSpace(c) || char.IsControl(c))
                throw new ArgumentException($"The subject \"{subject}\" holds white space or a control character.", nameof(subject));
        if (!token.ContainsAny('*', '>'))
            return;
        if (!wildcards)
            throw new ArgumentException($"The subject \"{subject}\" holds a wildcard; publish to one subject.", nameof(subject));
        if (!(token is "*" || (token is ">" && last)))
            throw new ArgumentException($"In the pattern \"{subject}\" a wildcard must be a whole token, and \">\" the last one.", nameof(subject));
    }
}
