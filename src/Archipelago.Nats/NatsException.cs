namespace Archipelago.Nats;

/// <summary>Something about the connection to the server failed; the message says what.</summary>
public class NatsException : Exception
{
    /// <summary>Makes one.</summary>
    public NatsException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}

/// <summary>The server sent bytes that are not the protocol.</summary>
public sealed class NatsProtocolException(string message) : NatsException(message);

/// <summary>The server refused something with <c>-ERR</c>.</summary>
public sealed class NatsServerException(string error) : NatsException($"The server says: {error}")
{
    /// <summary>The server's words, such as <c>Authorization Violation</c>.</summary>
    public string Error { get; } = error;

    /// <summary>True when the server keeps the connection: one subject was refused, and the rest goes on.</summary>
    public bool IsHarmless { get; } =
        error.StartsWith("Permissions Violation", StringComparison.OrdinalIgnoreCase) || error.StartsWith("Invalid Subject", StringComparison.OrdinalIgnoreCase)
        || error.StartsWith("Invalid Publish Subject", StringComparison.OrdinalIgnoreCase)
        || error.StartsWith("Maximum Subscriptions Exceeded", StringComparison.OrdinalIgnoreCase);
}

/// <summary>A request went to a subject that nobody listens to.</summary>
public sealed class NatsNoRespondersException(string subject) : NatsException($"Nobody answers requests to \"{subject}\".");
