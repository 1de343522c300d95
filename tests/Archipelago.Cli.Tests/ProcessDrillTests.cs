using Archipelago.Cli.Load;

namespace Archipelago.Cli.Tests;

public class ProcessDrillTests
{
    [Fact]
    public async Task Five_processes_on_a_real_server_survive_the_loss_of_each()
    {
        await using var drill = new ProcessDrill(peoplePerConnector: 5, _ => { });
        IReadOnlyList<DrillStep> steps = await drill.RunAsync();
        Assert.Equal(9, steps.Count);
        Assert.All(steps, step => Assert.True(step.Held, $"{step.Name}: {step.Seen}"));
    }
}
