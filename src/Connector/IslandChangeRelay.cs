using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Connector;

/// <summary>Brings island changes from the bus to the session of their addressee, if it is here.</summary>
internal sealed class IslandChangeRelay(IMessageBus bus, SessionRegistry registry) : IHostedService
{
    private IDisposable? subscription;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        subscription = bus.Subscribe(Subjects.AllIslandChanges, message =>
        {
            if (Subjects.TryGetEnginePeer(message.Subject, out ReadOnlySpan<byte> address) && registry.TryFind(Subjects.Text(address), out Session? session))
                session!.SendIslandChange(message.Payload);
        });
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        subscription?.Dispose();
        return Task.CompletedTask;
    }
}
