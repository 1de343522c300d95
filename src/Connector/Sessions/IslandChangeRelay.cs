using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Connector;

/// <summary>Brings island changes from the bus to the session of their addressee, if it is here: the newest of the address, or the one that the subject names.</summary>
/// <remarks>What comes from a Service that no longer leads is dropped.</remarks>
internal sealed class IslandChangeRelay(IMessageBus bus, SessionRegistry registry, TermFence fence) : IHostedService
{
    private readonly List<IDisposable> subscriptions = [];

    public Task StartAsync(CancellationToken cancellationToken)
    {
        subscriptions.Add(bus.Subscribe(Subjects.Leader, message => fence.Admits(message.Headers)));
        subscriptions.Add(bus.Subscribe(Subjects.AllIslandChanges, message =>
        {
            if (fence.Admits(message.Headers) && Find(message, out Session? session))
                session!.SendIslandChange(message.Payload);
        }));
        subscriptions.Add(bus.Subscribe(Subjects.AllSessionIslandChanges, message =>
        {
            if (fence.Admits(message.Headers) && Find(message, out Session? session) && session!.HasKey(Subjects.SessionKeyOf(message.Subject)))
                session.SendIslandChange(message.Payload);
        }));
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        subscriptions.ForEach(s => s.Dispose());
        return Task.CompletedTask;
    }

    private bool Find(BusMessage message, out Session? session)
    {
        session = null;
        return Subjects.TryGetEnginePeer(message.Subject, out ReadOnlySpan<byte> address) && registry.TryFind(address, out session);
    }
}
