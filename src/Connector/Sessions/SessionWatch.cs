using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Connector;

/// <summary>
/// Listens to what other Connectors tell of their sessions, so that of one address only the newest session of all stays: this Connector's ends when another
/// announces a newer.
/// </summary>
internal sealed class SessionWatch(IMessageBus bus, SessionRegistry registry, SessionClock stamps, Cooldowns cooldowns) : IHostedService
{
    private readonly List<IDisposable> subscriptions = [];

    public Task StartAsync(CancellationToken cancellationToken)
    {
        subscriptions.Add(bus.Subscribe(Subjects.AllConnects, message =>
        {
            bool isOurs = SessionHeaders.TryRead(message.Headers, out SessionStamp other);
            if (isOurs)
                stamps.Hear(other);
            if (Find(message, out Session? session))
                session!.OnOtherSession(isOurs ? other : null);
        }));
        // An announcement may be lost. Two sessions of one address notice each other at the latest when one of them asks for its island.
        subscriptions.Add(bus.Subscribe(Subjects.AllAsks, message =>
        {
            if (!SessionHeaders.TryRead(message.Headers, out SessionStamp other))
                return;
            // Whoever asks has been there for a while, and its announcement may be one that was not heard here.
            stamps.Hear(other);
            if (Find(message, out Session? session) && session!.IsOlderThan(other))
                session.OnOtherSession(other);
        }));
        subscriptions.Add(bus.Subscribe(Subjects.AllSuperseded, message =>
        {
            if (Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> address))
                cooldowns.Start(Subjects.Text(address));
        }));
        subscriptions.Add(bus.Subscribe(Subjects.AllDisconnects, message =>
        {
            // The departure of an earlier session, told late, does not end what the newer one has begun.
            if (cooldowns.Count > 0 && Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> address) && (!registry.TryFind(address, out Session? holder) || holder.IsOrUnnamed(message.Headers)))
                cooldowns.End(Subjects.Text(address));
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
        return Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> address) && registry.TryFind(address, out session);
    }
}
