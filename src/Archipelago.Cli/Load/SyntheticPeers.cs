using System.Globalization;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Cli.Load;

/// <summary>Peers that are nothing but heartbeats on the bus: hot spots of two hundred, and one in five anywhere. One thread at a time.</summary>
internal sealed class SyntheticPeers
{
    private const int Slices = 50;

    private readonly string[] subjects;
    private readonly (float X, float Z)[] places;
    private readonly Random random = new(1);
    private readonly Heartbeat heartbeat = new() { Position = new Position() };
    private readonly byte[] payload = new byte[64];

    /// <summary>Puts them into their places; nobody hears of them yet.</summary>
    /// <param name="count">How many.</param>
    /// <param name="more">More of them, for later.</param>
    public SyntheticPeers(int count, int more = 0)
    {
        subjects = [.. Enumerable.Range(0, count + more).Select(i => Subjects.Heartbeat(Address(i)))];
        places = new (float, float)[count + more];
        double side = 160 * Math.Sqrt(count);
        (double X, double Z)[] spots = [.. Enumerable.Range(0, Math.Max(1, count / 200)).Select(_ => (side * random.NextDouble(), side * random.NextDouble()))];
        for (int i = 0; i < places.Length; i++)
        {
            (double x, double z) = random.Next(5) == 0 ? (side * random.NextDouble(), side * random.NextDouble()) : spots[random.Next(spots.Length)];
            places[i] = ((float)(x + (160 * (random.NextDouble() - 0.5))), (float)(z + (160 * (random.NextDouble() - 0.5))));
        }
    }

    /// <summary>The address of one of them.</summary>
    public static string Address(int i) => $"0x{i.ToString("x40", CultureInfo.InvariantCulture)}";

    /// <summary>Where one of them is.</summary>
    public (float X, float Z) this[int i] => places[i];

    /// <summary>Sends the heartbeat of one of them.</summary>
    public ValueTask BeatAsync(IMessageBus bus, int i)
    {
        (heartbeat.Position.X, heartbeat.Position.Z) = places[i];
        int length = heartbeat.CalculateSize();
        heartbeat.WriteTo(payload.AsSpan(0, length));
        return bus.PublishAsync(subjects[i], payload.AsMemory(0, length));
    }

    /// <summary>The first so many take a step and say so once a second, spread evenly over it.</summary>
    /// <param name="bus">Where they are heard.</param>
    /// <param name="count">How many of them.</param>
    /// <param name="seconds">For how long.</param>
    /// <param name="meanwhile">Called fifty times a second with the share of the time that is over.</param>
    /// <param name="cancellationToken">Ends it early.</param>
    public async Task WalkAsync(IMessageBus bus, int count, int seconds, Func<double, Task> meanwhile, CancellationToken cancellationToken = default)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / Slices));
        for (int slice = 0; slice < seconds * Slices && await timer.WaitForNextTickAsync(cancellationToken); slice++)
        {
            int from = (int)((long)count * (slice % Slices) / Slices), to = (int)((long)count * ((slice % Slices) + 1) / Slices);
            for (int i = from; i < to; i++)
            {
                double angle = random.NextDouble() * 2 * Math.PI;
                places[i] = (places[i].X + (float)(1.5 * Math.Cos(angle)), places[i].Z + (float)(1.5 * Math.Sin(angle)));
                await BeatAsync(bus, i);
            }
            await meanwhile((slice + 1.0) / (seconds * Slices));
        }
    }
}
