using System.Runtime.CompilerServices;

namespace Archipelago.Core.Internals;

/// <summary>Distance on the ground, in double precision: squares of any two float coordinates fit, and 64 and 80 metres are exact.</summary>
internal static class Ground
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Near(float x1, float z1, float x2, float z2, double squaredDistance)
    {
        double dx = (double)x1 - x2, dz = (double)z1 - z2;
        return (dx * dx) + (dz * dz) <= squaredDistance;
    }
}
