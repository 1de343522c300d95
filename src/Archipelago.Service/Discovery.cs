using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Service;

/// <summary>Tells the bus that the Service lives and how many peers it knows: at once, so that Stats is healthy from the first second, and then periodically.</summary>
internal sealed class Discovery(IMessageBus bus, Worlds worlds, Leadership leadership, ServiceOptions options, HostContext context, TimeProvider clock) : BackgroundService
{
    public ServiceDiscoveryMessage Describe()
    {
        var status = new ServiceStatus { CurrentTime = (ulong)clock.GetUtcNow().ToUnixTimeMilliseconds(), UserCount = (uint)worlds.Now.Peers.Count };
        if (context.Build.CommitHash is { } commit)
            status.CommitHash = commit;
        return new ServiceDiscoveryMessage { ServerName = "archipelago", Status = status };
    }

    /// <summary>Tells it now, where this Service is the one that leads.</summary>
    public ValueTask TellAsync(CancellationToken cancellationToken) => leadership.MaySpeak
        ? bus.PublishAsync(Subjects.Discovery, Describe().ToByteArray(), WhenDisconnected.Drop, cancellationToken, leadership.Now.Headers)
        : default;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.StatusPeriod, clock);
        do
            await TellAsync(stoppingToken);
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }
}
