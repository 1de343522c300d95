namespace Archipelago.Core.Internals;

/// <summary>
/// What a squared distance in single precision tells of a limit: below <see cref="Within"/> it is certainly within, above <see cref="Beyond"/> certainly beyond, and between them rounding
/// might decide, so that it has to be measured again in double precision.
/// </summary>
/// <param name="squared">The limit, squared.</param>
internal readonly struct RoughLimit(double squared)
{
    /// <summary>Squared distances below this lose digits in single precision, and tell nothing but that they are below.</summary>
    public const float Smallest = 1e-30f;

    /// <summary>More than rounding can add to a squared distance, or take away.</summary>
    private const double Slack = 1e-6;

    public float Within => squared < Smallest ? 0 : (float)(squared * (1 - Slack));

    /// <summary>Infinite where the limit is beyond single precision; then nothing is told from far.</summary>
    public float Beyond => (float)Math.Max(squared * (1 + Slack), Smallest);
}
