// An ASP.NET host around the engine: dotnet run --project samples/WebWorld, then
//   curl -X PUT 'localhost:5080/people/ann?x=0&z=0'; curl -X PUT 'localhost:5080/people/bob?x=30&z=0'; curl localhost:5080/islands
using Archipelago.Core;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.Services.AddSingleton(new IslandEngine<string>(new IslandOptions { JoinDistance = 64, LeaveDistance = 80, MaxIslandSize = 100 }));
builder.Services.AddHostedService<Beat>();
WebApplication app = builder.Build();
if (app.Urls.Count == 0 && app.Configuration["urls"] is null)
    app.Urls.Add("http://127.0.0.1:5080");

// Any number of requests report at once, and none waits for the flush.
app.MapPut("/people/{name}", (string name, float x, float z, IslandEngine<string> people) =>
    people.Report(name, new Position(x, 0, z)) ? Results.NoContent() : Results.BadRequest("x and z must be finite"));
app.MapDelete("/people/{name}", (string name, IslandEngine<string> people) => people.Remove(name) ? Results.NoContent() : Results.NotFound());
app.MapGet("/islands", (IslandEngine<string> people) =>
{
    // The picture as of the last flush, which stands still while the next one runs.
    using IslandSnapshot snapshot = people.Engine.AcquireSnapshot();
    var islands = new List<object>();
    foreach (ref readonly IslandInfo island in snapshot.Islands)
    {
        var names = new List<string>();
        foreach (ref readonly IslandMember member in snapshot.MembersOf(island))
            if (people.TryGetKey(member.Peer, out string name))
                names.Add(name);
        islands.Add(new { id = island.Id.Value, x = island.CenterX, z = island.CenterZ, people = names });
    }
    return islands;
});
app.Run();

/// <summary>Regroups everybody once a second; one thread at a time flushes.</summary>
internal sealed class Beat(IslandEngine<string> people) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var second = new PeriodicTimer(TimeSpan.FromSeconds(1));
        do
        {
            people.Engine.Flush();
            people.Engine.PublishSnapshot();
        }
        while (await second.WaitForNextTickAsync(stoppingToken));
    }
}
