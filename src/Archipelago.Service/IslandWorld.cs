using Archipelago.Core;
using Archipelago.Protocol;
using Archipelago.Service.Replication;

namespace Archipelago.Service;

/// <summary>All that says who is in which island. What belongs together stays together: a handle of one engine means nothing to another.</summary>
/// <param name="engine">Groups them.</param>
/// <param name="peers">Who they are.</param>
/// <param name="silence">Who has not spoken for long.</param>
/// <param name="names">What islands are called.</param>
internal sealed class IslandWorld(IslandEngine engine, PeerDirectory peers, SilenceWatch silence, IslandNames names)
{
    public IslandEngine Engine => engine;

    public PeerDirectory Peers => peers;

    public SilenceWatch Silence => silence;

    public IslandNames Names => names;

    public static IslandWorld Of(IslandEngine engine, IslandNames names, TimeProvider clock)
    {
        var peers = new PeerDirectory(engine);
        return new IslandWorld(engine, peers, new SilenceWatch(peers, clock), names);
    }
}

/// <summary>The world that this Service knows now. Any thread.</summary>
/// <param name="first">The world that it begins with.</param>
internal sealed class Worlds(IslandWorld first)
{
    private volatile IslandWorld now = first;
    private volatile Follower? follower;

    /// <summary>The world that it groups, or, while it follows another Service, the one that it has taken over from there.</summary>
    public IslandWorld Now
    {
        get => now;
        set => now = value;
    }

    /// <summary>Who takes what is heard while another Service leads; null while this one does.</summary>
    public Follower? Follower
    {
        get => follower;
        set => follower = value;
    }
}
