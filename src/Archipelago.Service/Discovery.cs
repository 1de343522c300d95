using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Service;

/// <summary>Tells the bus that the Service lives and how many peers it knows: at once, so that Stats is healthy from the first second, and then periodically.</summary>
internal sealed class Discovery(IMessageBus bus, PeerDirectory peers, ServiceOptions options, HostContext context, TimeProvider clock) : BackgroundService
{
    public ServiceDiscoveryMessage Describe()
    {
        var status = new ServiceStatus { CurrentTime = (ulong)clock.GetUtcNow().ToUnixTimeMilliseconds(), UserCount = (uint)peers.Count };
        if (context.Build.CommitHash is { } commit)
            status.CommitHash = commit;
        return new ServiceDiscoveryMessage { ServerName = "archipelago", Status = status };
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.StatusPeriod, clock);
        do
            await bus.PublishAsync(Subjects.Discovery, Describe().ToByteArray(), WhenDisconnected.Drop, stoppingToken);
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }
}
