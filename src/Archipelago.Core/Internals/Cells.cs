using System.Runtime.CompilerServices;

namespace Archipelago.Core.Internals;

/// <summary>
/// Squares of the ground, so small that any two points in one are within a given distance of each other, and so large that points
/// within that distance are never more than two squares apart in either direction.
/// </summary>
/// <remarks>
/// The side is 0.999·distance/√2: the missing thousandth covers rounding. Beyond ±2²⁸ squares the coordinate saturates: saturation is monotone and
/// moves two numbers no further apart, so a search over the 5×5 window still finds everybody, but sharing a square then proves nothing
/// (<see cref="ProvesNearness"/>), and such peers are compared one by one.
/// </remarks>
internal readonly struct Cells(double distance)
{
    private const int Limit = 1 << 28;
    private readonly double perMetre = 1 / (0.999 * distance / Math.Sqrt(2));

    /// <summary>Squares to search in each direction.</summary>
    public const int Reach = 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Coordinate(float metres) => (int)Math.Clamp(Math.Floor(metres * perMetre), -Limit, Limit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Key(float x, float z) => Key(Coordinate(x), Coordinate(z));

    /// <summary>A number that orders squares by row, then by column.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Key(int column, int row) => ((ulong)(uint)(row + (2 * Limit)) << 32) | (uint)(column + (2 * Limit));

    public static int Column(ulong key) => (int)(uint)key - (2 * Limit);

    public static int Row(ulong key) => (int)(uint)(key >> 32) - (2 * Limit);

    /// <summary>True when any two points of this square are within the distance.</summary>
    public static bool ProvesNearness(ulong key) => Math.Abs(Column(key)) < Limit && Math.Abs(Row(key)) < Limit;
}
