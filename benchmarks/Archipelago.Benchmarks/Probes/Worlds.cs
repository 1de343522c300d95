using System.Runtime.InteropServices;
using Archipelago.Core;

namespace Archipelago.Benchmarks.Probes;

/// <summary>Where people stand at the beginning.</summary>
internal static class Worlds
{
    /// <summary>Reads little-endian float32 pairs x, z.</summary>
    public static Position[] Read(string file)
    {
        ReadOnlySpan<float> values = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(file));
        var points = new Position[values.Length / 2];
        for (int i = 0; i < points.Length; i++)
            points[i] = new Position(values[2 * i], 0, values[(2 * i) + 1]);
        return points;
    }

    /// <summary>
    /// A world of a kind: <c>sparse</c> (uniform, 160 m of side a peer's root), <c>dense</c> (16 m), <c>city</c> (80 % in hot spots of 200 with a standard
    /// deviation of 40 m, the rest uniform as in sparse), <c>crowd</c> (sparse, with 5 % of all in one square of 100 m).
    /// </summary>
    public static Position[] Make(string kind, int peers, int seed)
    {
        var random = new Random(seed);
        double side = (kind == "dense" ? 16 : 160) * Math.Sqrt(peers);
        (double X, double Z)[] spots = [.. Enumerable.Range(0, Math.Max(1, peers / 200)).Select(_ => (side * random.NextDouble(), side * random.NextDouble()))];
        var points = new Position[peers];
        for (int i = 0; i < peers; i++)
        {
            double x = side * random.NextDouble(), z = side * random.NextDouble();
            if (kind == "city" && random.Next(10) < 8)
            {
                (double X, double Z) spot = spots[random.Next(spots.Length)];
                (x, z) = (spot.X + (40 * Gaussian(random)), spot.Z + (40 * Gaussian(random)));
            }
            else if (kind == "crowd" && random.Next(20) == 0)
            {
                (x, z) = ((side / 2) + (100 * random.NextDouble()), (side / 2) + (100 * random.NextDouble()));
            }
            points[i] = new Position((float)x, 0, (float)z);
        }
        return points;
    }

    private static double Gaussian(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
