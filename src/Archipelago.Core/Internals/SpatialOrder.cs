using System.Runtime.CompilerServices;

namespace Archipelago.Core.Internals;

/// <summary>
/// Orders places along a curve that visits squares of the ground so that most neighbours on the ground follow one another closely (Morton, 1966).
/// </summary>
internal static class SpatialOrder
{
    private const float PerMetre = 1 / 32f;
    private const int Limit = 1 << 20;

    /// <summary>The place's number along the curve, of 42 bits. Squares beyond ±32,000 km share the outermost number: order is for speed alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Key(Point at) => Spread(Coordinate(at.X)) | (Spread(Coordinate(at.Z)) << 1);

    private static uint Coordinate(float metres) => (uint)((int)Math.Clamp(MathF.Floor(metres * PerMetre), -Limit, Limit - 1) + Limit);

    /// <summary>Moves the 21 lowest bits apart, so that another number's fit between them.</summary>
    private static ulong Spread(ulong bits)
    {
        bits = (bits | (bits << 16)) & 0x0000FFFF0000FFFF;
        bits = (bits | (bits << 8)) & 0x00FF00FF00FF00FF;
        bits = (bits | (bits << 4)) & 0x0F0F0F0F0F0F0F0F;
        bits = (bits | (bits << 2)) & 0x3333333333333333;
        return (bits | (bits << 1)) & 0x5555555555555555;
    }
}
