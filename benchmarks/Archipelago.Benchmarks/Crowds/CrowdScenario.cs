using Archipelago.Core;

namespace Archipelago.Benchmarks.Crowds;

/// <summary>People in one place, with somewhere to go now and then.</summary>
internal sealed class CrowdScenario
{
    /// <summary>Seconds of a flush, as the Service flushes.</summary>
    private const double Beat = 2;

    /// <summary>Flushes of half an hour.</summary>
    public const int Flushes = 900;

    /// <summary>Flushes in which everybody comes: two minutes.</summary>
    private const int Arriving = 60;

    private const double LongestPause = 120, Speed = 1.5, StepAtAConcert = 10;

    private sealed class Person
    {
        public double X, Z, ToX, ToZ, Pause;
        public int Group;
        public int Comes;
        public int Goes = int.MaxValue;
    }

    private readonly Random random;
    private readonly Person[] people;
    private readonly Func<CrowdScenario, Person, (double X, double Z)> place;
    private readonly double near;
    private readonly double side;
    private readonly bool moves;

    private CrowdScenario(string name, int count, int seed, double near, bool moves, double side, Func<CrowdScenario, Person, (double X, double Z)> place)
    {
        Name = name;
        this.near = near;
        this.side = side;
        this.moves = moves;
        this.place = place;
        random = new Random(seed);
        people = new Person[count];
        for (int i = 0; i < count; i++)
        {
            people[i] = new Person { Comes = i * Arriving / count };
            (people[i].X, people[i].Z) = place(this, people[i]);
            people[i].Pause = LongestPause * random.NextDouble();
        }
    }

    public string Name { get; }

    public int Count => people.Length;

    /// <summary>The flush in which the last of them came.</summary>
    public int LastArrival => people.Max(p => p.Comes);

    public bool IsThere(int person, int flush) => flush >= people[person].Comes && flush < people[person].Goes;

    public Position Of(int person) => new((float)people[person].X, 0, (float)people[person].Z);

    public static readonly string[] Names = ["300", "1000", "2000", "arrivals", "meeting", "dense", "300-rw60", "1000-rw60", "static-300", "static-1000"];

    public static CrowdScenario Make(string name, int seed) => name switch
    {
        "300" => new(name, 300, seed, 0.9, true, 150, Square(150)),
        "1000" => new(name, 1000, seed, 0.9, true, 250, Square(250)),
        "2000" => new(name, 2000, seed, 0.9, true, 400, Stages(400)),
        "arrivals" => Arrivals(name, seed),
        "meeting" => Meeting(name, seed),
        "dense" => new(name, 500, seed, 0.9, true, 80, Disc(40)),
        "300-rw60" => new(name, 300, seed, 0, true, 150, Square(150)),
        "1000-rw60" => new(name, 1000, seed, 0, true, 250, Square(250)),
        "static-300" => new(name, 300, seed, 0.9, false, 150, Square(150)),
        "static-1000" => new(name, 1000, seed, 0.9, false, 250, Square(250)),
        _ => throw new ArgumentException($"There is no crowd \"{name}\"; there are {string.Join(", ", Names)}."),
    };

    private static Func<CrowdScenario, Person, (double X, double Z)> Square(double side) => (s, _) => (side * s.random.NextDouble(), side * s.random.NextDouble());

    private static Func<CrowdScenario, Person, (double X, double Z)> Disc(double radius) => (s, _) =>
    {
        double angle = 2 * Math.PI * s.random.NextDouble(), r = radius * Math.Sqrt(s.random.NextDouble());
        return (radius + (r * Math.Cos(angle)), radius + (r * Math.Sin(angle)));
    };

    /// <summary>Half of them around three stages, the others anywhere.</summary>
    private static Func<CrowdScenario, Person, (double X, double Z)> Stages(double side) => (s, _) =>
    {
        if (s.random.Next(2) == 0)
            return (side * s.random.NextDouble(), side * s.random.NextDouble());
        int stage = s.random.Next(3);
        double x = (side * (0.2 + (0.3 * stage))) + (side / 12 * s.Gaussian()), z = (side * (stage == 1 ? 0.75 : 0.3)) + (side / 12 * s.Gaussian());
        return (Math.Clamp(x, 0, side), Math.Clamp(z, 0, side));
    };

    private double Gaussian() => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    /// <summary>One comes every second; from the twentieth minute on one goes every second.</summary>
    private static CrowdScenario Arrivals(string name, int seed)
    {
        var scenario = new CrowdScenario(name, 600, seed, 0.9, true, 200, Square(200));
        int[] order = [.. Enumerable.Range(0, 600)];
        scenario.random.Shuffle(order);
        for (int i = 0; i < 600; i++)
            (scenario.people[i].Comes, scenario.people[order[i]].Goes) = (i / 2, 600 + (i / 2));
        return scenario;
    }

    /// <summary>Two crowds of ninety, two hundred metres apart, who meet after ten minutes and part after twenty.</summary>
    private static CrowdScenario Meeting(string name, int seed)
    {
        var scenario = new CrowdScenario(name, 180, seed, 0.9, true, 360, (s, p) =>
        {
            (double x, double z) = Square(80)(s, p);
            return s.flush is >= 300 and < 600 || p.Group == 0 ? (x, z) : (x + 280, z);
        });
        for (int i = 0; i < 180; i++)
        {
            Person person = scenario.people[i];
            person.Group = i % 2;
            person.Comes = 0;
            (person.X, person.Z) = scenario.place(scenario, person);
        }
        return scenario;
    }

    private int flush;

    /// <summary>Lets a flush's time pass.</summary>
    public void Step()
    {
        flush++;
        if (!moves)
            return;
        bool together = Name == "meeting" && flush is 300 or 600;
        foreach (Person person in people)
        {
            if (flush < person.Comes || flush >= person.Goes)
                continue;
            if (together)
                (person.Pause, (person.ToX, person.ToZ)) = (0, place(this, person));
            double left = Beat;
            while (left > 0)
                left = person.Pause > 0 ? Wait(person, left) : Walk(person, left);
        }
    }

    private double Wait(Person person, double time)
    {
        person.Pause -= time;
        if (person.Pause > 0)
            return 0;
        double left = -person.Pause;
        person.Pause = 0;
        (person.ToX, person.ToZ) = place(this, person);
        if (random.NextDouble() < near)
        {
            double angle = 2 * Math.PI * random.NextDouble(), length = StepAtAConcert * random.NextDouble();
            // Nobody leaves the place.
            (person.ToX, person.ToZ) = (Math.Clamp(person.X + (length * Math.Cos(angle)), 0, side), Math.Clamp(person.Z + (length * Math.Sin(angle)), 0, side));
        }
        return left;
    }

    private double Walk(Person person, double time)
    {
        double dx = person.ToX - person.X, dz = person.ToZ - person.Z, length = Math.Sqrt((dx * dx) + (dz * dz)), way = Speed * time;
        if (way < length)
        {
            person.X += dx / length * way;
            person.Z += dz / length * way;
            return 0;
        }
        (person.X, person.Z) = (person.ToX, person.ToZ);
        // Sixty seconds on average.
        person.Pause = LongestPause * random.NextDouble();
        return time - (length / Speed);
    }
}
