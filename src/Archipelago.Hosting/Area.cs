using System.Globalization;

namespace Archipelago.Hosting;

/// <summary>A rectangle of the world, in metres, its edges included.</summary>
/// <param name="FromX">The west end.</param>
/// <param name="FromZ">The south end.</param>
/// <param name="ToX">The east end.</param>
/// <param name="ToZ">The north end.</param>
public readonly record struct Area(float FromX, float FromZ, float ToX, float ToZ)
{
    /// <summary>What <see cref="TryParse"/> reads, for messages.</summary>
    public const string Form = "four numbers in metres, x1,z1,x2,z2, the lower ends first";

    /// <summary>True for a place inside; never for one that is not a number.</summary>
    public bool Contains(float x, float z) => x >= FromX && x <= ToX && z >= FromZ && z <= ToZ;

    /// <summary>True when a circle and the area have a point in common; never for one that is not of numbers.</summary>
    public bool Touches(double x, double z, double radius)
    {
        double dx = x - Math.Clamp(x, FromX, ToX), dz = z - Math.Clamp(z, FromZ, ToZ);
        return (dx * dx) + (dz * dz) <= radius * radius;
    }

    /// <summary>Reads four numbers, such as <c>-160,-160,160,160</c>.</summary>
    /// <returns>False for anything else, and when an upper end is not above the lower.</returns>
    public static bool TryParse(string? text, out Area area)
    {
        float[] ends = [.. (text ?? "").Split(',').Select(end => float.TryParse(end, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) && float.IsFinite(value) ? value : float.NaN)];
        area = ends.Length == 4 ? new Area(ends[0], ends[1], ends[2], ends[3]) : default;
        return area.FromX < area.ToX && area.FromZ < area.ToZ;
    }
}
