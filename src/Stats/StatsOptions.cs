using Archipelago.Hosting;
using Archipelago.Hosting.Scenes;

namespace Archipelago.Stats;

/// <summary>What Stats is told through its environment; <c>docs/configuration.md</c> lists the variables.</summary>
/// <param name="PeerExpiry">How long a peer may be silent before it is taken to have left; zero for ever.</param>
/// <param name="StreamPeriod">Time between two frames of the live stream.</param>
/// <param name="MaxStreams">The most live streams at once.</param>
/// <param name="HotScenes">When the content server is asked.</param>
internal sealed record StatsOptions(TimeSpan PeerExpiry, TimeSpan StreamPeriod, int MaxStreams, HotScenesOptions HotScenes)
{
    public static StatsOptions Read(Settings settings) => new(
        TimeSpan.FromMilliseconds(settings.Number("PEER_EXPIRY_MS", 90_000, 0, 86_400_000)),
        TimeSpan.FromMilliseconds(settings.Number("STREAM_INTERVAL_MS", 250, 20, 60_000)),
        settings.Integer("MAX_STREAMS", 256, 1, 100_000),
        HotScenesOptions.Read(settings));
}
