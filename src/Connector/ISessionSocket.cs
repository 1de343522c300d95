namespace Archipelago.Connector;

/// <summary>The way out to one client. Any thread; never blocks.</summary>
internal interface ISessionSocket
{
    /// <summary>Queues one binary message; false when the socket is closing, or so far behind that it is closed for it.</summary>
    bool TrySend(ReadOnlyMemory<byte> frame);

    /// <summary>Closes after what is queued. Only the first call counts.</summary>
    void Close(CloseReason reason);
}
