using System.Text.Json;
using Archipelago.Protocol;

namespace Archipelago.Stats.World;

/// <summary>Where a peer is, as of one moment.</summary>
/// <param name="LastPing">When its last heartbeat came, in Unix milliseconds.</param>
/// <param name="X">Position in metres.</param>
/// <param name="Y">Height in metres.</param>
/// <param name="Z">Position in metres.</param>
internal readonly record struct PeerState(long LastPing, float X, float Y, float Z)
{
    private const double ParcelSize = 16;

    /// <summary>The parcel that the peer stands on; its second number comes from z.</summary>
    public (double X, double Y) Parcel => (Math.Floor(X / ParcelSize), Math.Floor(Z / ParcelSize));
}

/// <summary>
/// One stay of an address: from its first heartbeat until it leaves. Written by bus threads and read by requests without locks: x and z stand in one word, so that a place
/// is always one that was reported; the height and the time beside them may be those of the next report.
/// </summary>
/// <param name="id">The address.</param>
/// <param name="arrival">Its place in the order of first heartbeats.</param>
internal sealed class Peer(string id, long arrival)
{
    private long place;
    private float height;
    private long lastPing;
    private long heardAt;
    private volatile bool gone;

    public string Id => id;

    /// <summary>The address as JSON has it, escaped once.</summary>
    public JsonEncodedText Json { get; } = JsonEncodedText.Encode(id, Hosting.Json.Encoder);

    public long Arrival => arrival;

    /// <summary>True once it has left; whoever comes back under its address is another peer.</summary>
    public bool IsGone => gone;

    /// <summary>The session that it has; null when nobody said. Written under the lock of <see cref="PeerTable"/>.</summary>
    public SessionStamp? Session { get; set; }

    /// <summary>Its number in the live stream, 0 for none; for the stream alone.</summary>
    public int StreamNumber { get; set; }

    /// <summary>The place that the live stream told last; for the stream alone.</summary>
    public (float X, float Z) StreamPlace { get; set; }

    /// <summary>Where it is now.</summary>
    public PeerState State
    {
        get
        {
            long xz = Volatile.Read(ref place);
            return new PeerState(Volatile.Read(ref lastPing), BitConverter.Int32BitsToSingle((int)xz), Volatile.Read(ref height), BitConverter.Int32BitsToSingle((int)(xz >> 32)));
        }
    }

    /// <summary>When it was last heard of, as a timestamp of the clock.</summary>
    public long HeardAt => Volatile.Read(ref heardAt);

    /// <summary>Takes a heartbeat.</summary>
    /// <param name="x">Position in metres.</param>
    /// <param name="y">Height in metres.</param>
    /// <param name="z">Position in metres.</param>
    /// <param name="now">Unix milliseconds.</param>
    /// <param name="timestamp">The same moment by the clock's timestamps, which do not jump.</param>
    public void Set(float x, float y, float z, long now, long timestamp)
    {
        Volatile.Write(ref height, y);
        Volatile.Write(ref lastPing, now);
        Volatile.Write(ref heardAt, timestamp);
        Volatile.Write(ref place, ((long)BitConverter.SingleToInt32Bits(z) << 32) | (uint)BitConverter.SingleToInt32Bits(x));
    }

    public void Leave() => gone = true;

    /// <summary>Takes back that it has left; under the lock of <see cref="PeerTable"/>, before anybody else has taken its address.</summary>
    public void Stay() => gone = false;
}
