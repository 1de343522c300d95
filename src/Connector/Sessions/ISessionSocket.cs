namespace Archipelago.Connector;

/// <summary>The way out to one client. Any thread; never blocks.</summary>
internal interface ISessionSocket
{
    /// <summary>True once the server has decided to close, or the client has.</summary>
    bool IsClosing { get; }

    /// <summary>Queues one binary message; false when the socket is closing.</summary>
    bool TrySend(ReadOnlyMemory<byte> frame);

    /// <summary>
    /// Queues an island change behind all other messages, in the place of an earlier one that the client has not begun to receive; false when the socket is closing.
    /// </summary>
    /// <param name="message">An encoded <c>IslandChangedMessage</c>; it is copied.</param>
    bool TrySendIslandChange(ReadOnlySpan<byte> message);

    /// <summary>Closes after what is queued. Only the first call counts.</summary>
    void Close(CloseReason reason);
}
