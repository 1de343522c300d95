using System.Buffers;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Archipelago.Messaging;
using Archipelago.Protocol;

namespace Archipelago.Cli.Replay;

/// <summary>
/// Writes what a bus tells of people into lines that <c>replay</c> reads: reports, departures, and flushes at a period. Addresses are told by a keyed hash whose key nobody
/// keeps, so that a recording does not say who was where, unless that is wanted.
/// </summary>
/// <param name="output">Where the lines go.</param>
/// <param name="plain">True to tell addresses as they are.</param>
/// <param name="clock">Tells when a flush is.</param>
internal sealed class Recorder(Stream output, bool plain, TimeProvider clock)
{
    /// <summary>Who stands in the recording.</summary>
    /// <param name="Name">What the recording calls them.</param>
    private sealed record Person(JsonEncodedText Name)
    {
        /// <summary>True while they would like to be in some island.</summary>
        public bool HasWish { get; set; }
    }

    /// <summary>What may wait to be written; a disk that does not keep up must not take the memory.</summary>
    private const int MostWaiting = 64 << 20;

    private readonly byte[] key = RandomNumberGenerator.GetBytes(32);
    private readonly ConcurrentDictionary<string, Person> names = new(new AddressComparer());
    private readonly Lock writing = new();
    private ArrayBufferWriter<byte> waiting = new(1 << 16), spare = new(1 << 16);

    /// <summary>Reports and departures written.</summary>
    public long Written { get; private set; }

    /// <summary>Reports and departures that found no room.</summary>
    public long Dropped { get; private set; }

    /// <summary>Listens on a bus until the returned subscriptions are disposed.</summary>
    public IReadOnlyList<IDisposable> Listen(IMessageBus bus) =>
    [
        bus.Subscribe(Subjects.AllHeartbeats, OnHeartbeat),
        bus.Subscribe(Subjects.AllDisconnects, OnDisconnect),
    ];

    /// <summary>Notes that a flush was due, and writes what waits.</summary>
    public async Task FlushAsync()
    {
        ArrayBufferWriter<byte> full;
        lock (writing)
        {
            Append(static (json, now) =>
            {
                json.WriteString("op", "flush");
                json.WriteNumber("time", now);
            }, clock.GetUtcNow().ToUnixTimeMilliseconds());
            (full, waiting) = (waiting, spare);
        }
        // To the end, whoever wants to stop: half a line is none.
        await output.WriteAsync(full.WrittenMemory);
        await output.FlushAsync();
        full.ResetWrittenCount();
        spare = full;
    }

    private void OnHeartbeat(BusMessage message)
    {
        if (!Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> address) || !HeartbeatReader.TryRead(message.Payload, out HeartbeatView heartbeat)
            || !heartbeat.HasPosition || !float.IsFinite(heartbeat.X) || !float.IsFinite(heartbeat.Y) || !float.IsFinite(heartbeat.Z))
            return;
        Note("move", address, heartbeat);
    }

    private void OnDisconnect(BusMessage message)
    {
        if (Subjects.TryGetPeer(message.Subject, out ReadOnlySpan<byte> address))
            Note("leave", address, default);
    }

    private void Note(string op, ReadOnlySpan<byte> address, in HeartbeatView heartbeat)
    {
        Person person = PersonOf(address);
        string? room = heartbeat.DesiredRoom.IsEmpty ? null : Encoding.UTF8.GetString(heartbeat.DesiredRoom);
        var place = (heartbeat.X, heartbeat.Y, heartbeat.Z);
        lock (writing)
        {
            if (waiting.WrittenCount > MostWaiting)
            {
                Dropped++;
                return;
            }
            Written++;
            bool tellsWish = room is not null || person.HasWish;
            person.HasWish = room is not null;
            Append(static (json, line) =>
            {
                json.WriteString("op", line.op);
                json.WriteString("peer", line.Name);
                if (line.op != "move")
                    return;
                json.WriteStartArray("position");
                json.WriteNumberValue(line.place.X);
                json.WriteNumberValue(line.place.Y);
                json.WriteNumberValue(line.place.Z);
                json.WriteEndArray();
                // A heartbeat without a wish has none any more; a line without one has that of the line before.
                if (line.tellsWish)
                    json.WriteString("prefer", line.room);
            }, (op, person.Name, place, room, tellsWish));
        }
    }

    private void Append<T>(Action<Utf8JsonWriter, T> write, T line)
    {
        using (var json = new Utf8JsonWriter(waiting))
        {
            json.WriteStartObject();
            write(json, line);
            json.WriteEndObject();
        }
        waiting.Write("\n"u8);
    }

    private Person PersonOf(ReadOnlySpan<byte> address)
    {
        if (names.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(address, out Person? known))
            return known;
        string text = Subjects.Text(address);
        return names.GetOrAdd(text, new Person(JsonEncodedText.Encode(plain ? text : Convert.ToHexStringLower(HMACSHA256.HashData(key, address).AsSpan(0, 10)))));
    }
}
