// A world of walkers on a console: dotnet run -c Release --project samples/Walkers -- [PEOPLE] [SECONDS]
using System.Diagnostics;
using Archipelago.Core;

int people = args.Length > 0 ? int.Parse(args[0]) : 100_000, seconds = args.Length > 1 ? int.Parse(args[1]) : 10;
using var engine = new IslandEngine(new IslandOptions { MaxIslandSize = 100 });

// One in five anywhere, the others around places where something is going on.
var random = new Random(1);
double side = 160 * Math.Sqrt(people);
(double X, double Z)[] spots = [.. Enumerable.Range(0, Math.Max(1, people / 200)).Select(_ => (side * random.NextDouble(), side * random.NextDouble()))];
var places = new (float X, float Z)[people];
var walkers = new PeerHandle[people];
for (int i = 0; i < people; i++)
{
    (double x, double z) = random.Next(5) == 0 ? (side * random.NextDouble(), side * random.NextDouble()) : spots[random.Next(spots.Length)];
    places[i] = ((float)(x + (160 * (random.NextDouble() - 0.5))), (float)(z + (160 * (random.NextDouble() - 0.5))));
    walkers[i] = engine.Add(new Position(places[i].X, 0, places[i].Z));
}

// Everybody walks on a thread of their own, and never waits for the flushes on this one.
using var end = new CancellationTokenSource();
Task walking = Task.Run(async () =>
{
    var steps = new Random(2);
    using var second = new PeriodicTimer(TimeSpan.FromSeconds(1));
    do
    {
        for (int i = 0; i < people; i++)
        {
            places[i] = (places[i].X + (float)((steps.NextDouble() - 0.5) * 4), places[i].Z + (float)((steps.NextDouble() - 0.5) * 4));
            engine.Move(walkers[i], new Position(places[i].X, 0, places[i].Z));
        }
    }
    while (await second.WaitForNextTickAsync(end.Token));
});
Console.WriteLine($"{"second",6} {"people",9} {"islands",8} {"changes",8} {"flush",10} {"allocated",10}");
for (int second = 0; second < seconds; second++)
{
    long allocated = GC.GetAllocatedBytesForCurrentThread(), start = Stopwatch.GetTimestamp();
    int changes = engine.Flush().Changes.Length;
    TimeSpan took = Stopwatch.GetElapsedTime(start);
    allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
    engine.PublishSnapshot();
    using IslandSnapshot picture = engine.AcquireSnapshot(); // any thread may, at any time
    Console.WriteLine($"{second,6} {engine.PeerCount,9} {picture.Islands.Length,8} {changes,8} {took.TotalMilliseconds,7:0.00} ms {allocated,8} B");
    await Task.Delay(TimeSpan.FromSeconds(1));
}
await end.CancelAsync();
await walking.ContinueWith(_ => { }, TaskScheduler.Default);
