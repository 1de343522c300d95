using Archipelago.Cli.Load;

namespace Archipelago.Cli.Tests;

public class StandbyDrillTests
{
    [Fact]
    public async Task Nobody_notices_that_a_Service_is_killed_asked_to_end_or_frozen()
    {
        await using var drill = new StandbyDrill(peoplePerConnector: 10, kills: 2, handOvers: 2, limits: (10_000, 5_000), _ => { });
        IReadOnlyList<DrillStep> steps = await drill.RunAsync();
        Assert.Equal(5, steps.Count);
        Assert.All(steps, step => Assert.True(step.Held, $"{step.Name}: {step.Seen}"));
    }
}
