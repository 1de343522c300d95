namespace Archipelago.Core;

/// <summary>
/// The number of an island: 1, 2, 3 … in order of creation, never reused by one engine.
/// Numbers are spent only on islands that exist when a flush ends, so an older island always has the smaller number.
/// </summary>
/// <param name="Value">The number; 0 in <see cref="None"/>.</param>
public readonly record struct IslandId(long Value)
{
    /// <summary>No island: the <see cref="IslandChange.From"/> of a newcomer, or the absence of a preference.</summary>
    public static IslandId None => default;

    /// <summary>An island that can never exist. A preference for it counts among the preferences of an island's members, and attracts nobody.</summary>
    public static IslandId Unknown => new(-1);

    /// <summary>True for <see cref="None"/>.</summary>
    public bool IsNone => Value == 0;

    /// <summary>Text for logs, such as <c>island 12</c>.</summary>
    public override string ToString() => IsNone ? "no island" : $"island {Value}";
}
