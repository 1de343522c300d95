using System.Runtime.InteropServices;

namespace Archipelago.Core;

/// <summary>A point in the world, in metres. Islands form on the ground plane (x and z); the height y is carried along and never affects grouping.</summary>
/// <param name="X">East–west coordinate in metres.</param>
/// <param name="Y">Height in metres.</param>
/// <param name="Z">North–south coordinate in metres.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct Position(float X, float Y, float Z)
{
    /// <summary>True when all three coordinates are finite; the engine refuses any other position.</summary>
    public bool IsFinite => float.IsFinite(X) && float.IsFinite(Y) && float.IsFinite(Z);
}
