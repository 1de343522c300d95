namespace Archipelago.Cli.Load;

/// <summary>One thing that was done to the realm, and what people saw of it.</summary>
/// <param name="Name">What was done.</param>
/// <param name="Held">Whether what should hold did.</param>
/// <param name="Seen">What was measured.</param>
internal sealed record DrillStep(string Name, bool Held, string Seen);

/// <summary>Things that are done to a realm, one after the other.</summary>
/// <param name="tell">Told of each as it is done.</param>
internal abstract class Drill(Action<string> tell)
{
    private readonly List<DrillStep> steps = [];

    /// <summary>What was done so far.</summary>
    protected IReadOnlyList<DrillStep> Steps => steps;

    /// <summary>Does one thing; what goes wrong is a step that did not hold.</summary>
    protected async Task StepAsync(string name, Func<Task<(bool Held, string Seen)>> act)
    {
        (bool held, string seen) result;
        try
        {
            result = await act();
        }
        catch (Exception e) when (e is TimeoutException or InvalidOperationException)
        {
            result = (false, e.Message);
        }
        var step = new DrillStep(name, result.held, result.seen);
        steps.Add(step);
        tell($"{(step.Held ? "held  " : "FAILED")} {step.Name}: {step.Seen}");
    }
}
