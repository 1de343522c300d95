using Archipelago.Core;

namespace Archipelago.Cli.Bots;

/// <summary>
/// Someone who walks from one hot spot to another, at a walking pace, staying a while at each. The path follows from the seed alone.
/// </summary>
internal sealed class Walker
{
    private const float MetresPerSecond = 4;
    private const float WorldHalf = 1200;
    private const float SpotRadius = 35;
    private static readonly (float X, float Z)[] Spots = [(0, 0), (160, -96), (-240, 320), (640, 480), (-800, -560), (960, -720), (-48, 1100), (400, 60)];

    private readonly Random random;
    private float x;
    private float z;
    private float targetX;
    private float targetZ;
    private float rest;

    public Walker(int seed)
    {
        random = new Random(seed);
        ChooseTarget();
        (x, z) = (targetX, targetZ);
        ChooseTarget();
    }

    public Position Position => new(x, 1.7f, z);

    /// <summary>Walks for so many seconds.</summary>
    public void Step(float seconds)
    {
        if (rest > 0)
        {
            rest -= seconds;
            return;
        }
        float dx = targetX - x, dz = targetZ - z, distance = MathF.Sqrt((dx * dx) + (dz * dz)), step = MetresPerSecond * seconds;
        if (distance <= step)
        {
            (x, z) = (targetX, targetZ);
            rest = 20 * random.NextSingle();
            ChooseTarget();
            return;
        }
        x += dx / distance * step;
        z += dz / distance * step;
    }

    private void ChooseTarget()
    {
        if (random.Next(10) == 0)
        {
            targetX = Between(-WorldHalf, WorldHalf);
            targetZ = Between(-WorldHalf, WorldHalf);
            return;
        }
        (float X, float Z) spot = Spots[random.Next(Spots.Length)];
        targetX = spot.X + Between(-SpotRadius, SpotRadius);
        targetZ = spot.Z + Between(-SpotRadius, SpotRadius);
    }

    private float Between(float low, float high) => low + ((high - low) * random.NextSingle());
}
