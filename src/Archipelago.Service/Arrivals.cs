using System.Collections.Concurrent;
using System.Text;
using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Service;

/// <summary>A session that a Connector has announced.</summary>
/// <param name="Key">Its key; null when it has none that a subject can carry.</param>
/// <param name="Stamp">Which session; null when its Connector does not say, as none but ours do.</param>
/// <param name="At">When, by the clock's timestamps.</param>
internal sealed record Arrival(string? Key, SessionStamp? Stamp, long At);

/// <summary>
/// Sessions that have been announced and not yet heard of: the first heartbeat takes its peer's from here. Any thread.
/// </summary>
internal sealed class Arrivals(TimeProvider clock)
{
    /// <summary>A client says where it is within a second or so of being let in; what was announced long before is of another.</summary>
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(30);

    private const int LongestKey = 64;

    /// <summary>Clients that have been let in and say nothing; with so many, something is wrong, and to forget all costs nobody more than precision.</summary>
    private const int MostWaiting = 100_000;

    private readonly ConcurrentDictionary<string, Arrival> announced = new(StringComparer.Ordinal);

    /// <summary>Notes a session that begins; false when the address has a later one already, which this message has only overtaken on its way.</summary>
    /// <param name="address">Whose.</param>
    /// <param name="connect">The announcement.</param>
    /// <param name="present">The session that the peer has; null when it is not known, or there is no peer.</param>
    public bool TryAnnounce(string address, BusMessage connect, SessionStamp? present)
    {
        SessionStamp? stamp = SessionHeaders.Read(connect.Headers), now = announced.TryGetValue(address, out Arrival? arrival) ? arrival.Stamp : present;
        if (stamp is { } begins && now is { } known && begins.CompareTo(known) < 0)
            return false;
        if (announced.Count >= MostWaiting)
            announced.Clear();
        announced[address] = new Arrival(KeyOf(connect.Payload), stamp, clock.GetTimestamp());
        return true;
    }

    /// <summary>Takes out the session of an address that has been announced; null when none has.</summary>
    public Arrival? Take(string address) => announced.TryRemove(address, out Arrival? arrival) && clock.GetElapsedTime(arrival.At) < Lifetime ? arrival : null;

    /// <summary>
    /// True when this departure is that of an earlier session than the one that has the address now: its socket closes late and must not take the newer one with it. A later
    /// one has been there without being heard of. Takes out what was announced, unless it stays.
    /// </summary>
    /// <param name="address">Whose.</param>
    /// <param name="disconnect">The departure.</param>
    /// <param name="present">The session that the peer has; null when it is not known, or there is no peer.</param>
    public bool IsOfEarlier(string address, BusMessage disconnect, SessionStamp? present)
    {
        SessionStamp? departing = SessionHeaders.Read(disconnect.Headers);
        SessionStamp? now = announced.TryGetValue(address, out Arrival? arrival) ? arrival.Stamp : present;
        if (departing is { } leaves && now is { } stays && leaves.CompareTo(stays) < 0)
            return true;
        announced.TryRemove(address, out _);
        return false;
    }

    /// <summary>A key becomes a token of a subject, so nothing that means something there may be in it.</summary>
    private static string? KeyOf(ReadOnlySpan<byte> payload) => Subjects.IsPlainToken(payload, LongestKey) ? Encoding.ASCII.GetString(payload) : null;
}
