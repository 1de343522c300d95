using System.Globalization;
using Archipelago.Hosting;
using Archipelago.Hosting.Scenes;
using Archipelago.Stats.World;

namespace Archipelago.Stats.Http;

/// <summary><c>/hot-scenes</c>, from the peers that are known here.</summary>
internal sealed class Crowd
{
    private readonly WorldState world;
    private readonly HotScenes<int> scenes;

    public Crowd(WorldState world, HotScenesOptions options, ContentServer content, TimeProvider clock, LogThrottle throttle, ILogger<Crowd> log)
    {
        this.world = world;
        scenes = new HotScenes<int>(options, content, _ => Task.FromResult(Count()), static n => n, clock, throttle, log);
    }

    public Task AnswerAsync(HttpContext http)
    {
        // Nobody is anywhere, whatever the content server says, or was said a moment ago.
        if (world.Peers.Count == 0)
            return Json.WriteAsync(http, StatusCodes.Status200OK, json =>
            {
                json.WriteStartArray();
                json.WriteEndArray();
            });
        return scenes.AnswerAsync(http, (json, scene, _) => StatsJson.WriteHotScene(json, scene));
    }

    private IReadOnlyDictionary<string, int> Count()
    {
        var tally = new OrderedDictionary<(double X, double Y), int>();
        WorldRoutes.Tally(world.Peers.All, tally);
        // Who is nowhere, or beyond all scenes, is on no parcel that a content server could know.
        return tally.Where(p => Math.Abs(p.Key.X) < int.MaxValue && Math.Abs(p.Key.Y) < int.MaxValue)
            .ToDictionary(p => string.Create(CultureInfo.InvariantCulture, $"{(int)p.Key.X},{(int)p.Key.Y}"), p => p.Value);
    }
}
