using System.Net;

namespace Archipelago.Connector;

/// <summary>Where a client comes from, as far as it can be believed.</summary>
/// <param name="trustedProxies">Proxies whose word counts.</param>
internal sealed class ClientAddress(IReadOnlyList<IPNetwork> trustedProxies)
{
    /// <summary>True for addresses that tell nothing of who is behind them: loopback, which is a proxy or a test, and trusted proxies.</summary>
    public bool IsAnonymous(IPAddress address) => IPAddress.IsLoopback(Plain(address)) || IsTrusted(address);

    /// <summary>
    /// The nearest address on the way that is no trusted proxy: each proxy adds to <c>X-Forwarded-For</c> whom it was asked by, so the list is read from its end, and no further
    /// than those who wrote it are trusted.
    /// </summary>
    /// <param name="peer">The other end of the connection.</param>
    /// <param name="forwardedFor">The header's value, its lines joined by commas; empty for none.</param>
    public IPAddress? Of(IPAddress? peer, string forwardedFor)
    {
        IPAddress? nearest = peer;
        string[] hops = forwardedFor.Split(',');
        for (int i = hops.Length - 1; i >= 0 && nearest is not null && IsTrusted(nearest); i--)
        {
            if (!TryParse(hops[i].Trim(), out IPAddress? hop))
                break;
            nearest = hop;
        }
        return nearest is null ? null : Plain(nearest);
    }

    private static bool TryParse(string text, out IPAddress? address)
    {
        // Some proxies add the port.
        bool isPlain = IPAddress.TryParse(text, out address);
        if (isPlain || !IPEndPoint.TryParse(text, out IPEndPoint? end))
            return isPlain;
        address = end.Address;
        return true;
    }

    private bool IsTrusted(IPAddress address)
    {
        IPAddress plain = Plain(address);
        foreach (IPNetwork network in trustedProxies)
            if (network.Contains(plain))
                return true;
        return false;
    }

    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}
