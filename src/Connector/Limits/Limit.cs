using Archipelago.Hosting;

namespace Archipelago.Connector;

/// <summary>A bound that an operator may move or switch off. What exceeds it is counted either way: against the default while it is off.</summary>
/// <param name="Configured">The bound as configured; 0 for none.</param>
/// <param name="Default">The bound where nothing is configured.</param>
internal readonly record struct Limit(int Configured, int Default)
{
    public Limit(int value) : this(value, value)
    {
    }

    /// <summary>What counts as too much.</summary>
    public int Threshold => Configured == 0 ? Default : Configured;

    /// <summary>Whether too much has consequences.</summary>
    public bool IsEnforced => Configured != 0;
}

/// <summary>Reads limits from the configuration.</summary>
internal static class LimitSettings
{
    /// <summary>A limit; a fault when it is below 0 or above the largest that makes sense.</summary>
    public static Limit Limit(this Settings settings, string name, int standard, int largest) => new(settings.Integer(name, standard, 0, largest), standard);
}
