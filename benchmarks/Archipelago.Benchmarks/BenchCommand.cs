using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;
using Archipelago.Benchmarks.Crowds;
using Archipelago.Benchmarks.Nats;
using Archipelago.Benchmarks.Plots;
using Archipelago.Benchmarks.Probes;
using Archipelago.Core;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;

namespace Archipelago.Benchmarks;

/// <summary><c>bench</c>: runs measurements by name and files their results by processor.</summary>
internal static partial class BenchCommand
{
    private static readonly Dictionary<string, (string What, Action<string> Run)> All = new()
    {
        ["flush"] = ("probes of whole worlds up to a million peers", RunFlushProbes),
        ["moves"] = ("what a flush costs those who report meanwhile", RunMoveProbes),
        ["nats"] = ("the NATS client beside a raw socket", folder => WriteLines(Path.Combine(folder, "nats.jsonl"), new NatsProbe(5_000_000, 10_000).Run())),
        ["engine"] = ("a flush beside a dictionary grid, NetTopologySuite and brute force", d => RunBenchmarks<FlushBenchmarks>(d)),
        ["operations"] = ("what a report costs its producer", d => RunBenchmarks<OperationBenchmarks>(d)),
        ["changes"] = ("island changes and tokens of ten thousand people", d => RunBenchmarks<IslandChangeBenchmarks>(d)),
        ["signatures"] = ("key recovery beside OpenSSL", d => RunBenchmarks<SignatureBenchmarks>(d)),
        ["answers"] = ("the answer of Stats about everybody, beside a serializer", d => RunBenchmarks<PeersAnswerBenchmarks>(d)),
    };

    public static Command Create()
    {
        var names = new Argument<string[]>("NAME") { Description = string.Join("; ", All.Select(b => $"{b.Key}: {b.Value.What}")), Arity = ArgumentArity.ZeroOrMore };
        var results = new Option<string>("--results") { Description = "Folder for the results.", DefaultValueFactory = _ => Path.Combine("benchmarks", "results") };
        var command = new Command("bench", "Runs measurements, all or by name, and files the results by processor.") { names, results, PlotsCommand.Create(results), CrowdCommands.CreateBench(results, Processor) };
        command.SetAction(parsed =>
        {
            string[] wanted = parsed.GetValue(names) is { Length: > 0 } given ? given : [.. All.Keys];
            if (Array.Find(wanted, n => !All.ContainsKey(n)) is { } unknown)
            {
                Console.Error.WriteLine($"There is no benchmark \"{unknown}\"; there are {string.Join(", ", All.Keys)}.");
                return 2;
            }
            string folder = Path.Combine(parsed.GetValue(results)!, Processor());
            Directory.CreateDirectory(folder);
            foreach (string name in wanted)
                All[name].Run(folder);
            Console.WriteLine($"Results are in {folder}.");
            return 0;
        });
        return command;
    }

    private static void RunFlushProbes(string folder)
    {
        using var file = new StreamWriter(Path.Combine(folder, "flush.jsonl"));
        (string, double, int)[] worlds =
        [
            ("sparse", 1, 1), ("dense", 1, 1), ("city", 1, 1), ("crowd", 1, 1), ("sparse", 0.01, 1), ("dense", 0.01, 1), ("city", 0.01, 1), ("sparse", 1, 2), ("dense", 1, 2), ("city", 1, 2),
        ];
        foreach ((string world, double moving, int threads) in worlds)
        {
            foreach (int peers in (int[])[10_000, 100_000, 1_000_000])
            {
                if (threads > 1 && peers == 10_000)
                    continue;
                var probe = new FlushProbe(Worlds.Make(world, peers, 1), new IslandOptions(), step: 6, moving, seed: 1, threads);
                // Enough for everybody to have moved several times.
                (int warmup, int ticks) = moving < 1 ? (600, 200) : peers == 1_000_000 ? (100, 40) : (300, 200);
                string line = string.Create(CultureInfo.InvariantCulture, $"{{\"world\":\"{world}\",\"moving\":{moving},") + probe.Run(warmup, ticks)[1..];
                Console.WriteLine(line);
                file.WriteLine(line);
            }
        }
    }

    private static void RunMoveProbes(string folder) =>
        WriteLines(Path.Combine(folder, "moves.jsonl"), ((int[])[10_000, 100_000, 1_000_000]).Select(peers => new MoveProbe(Worlds.Make("city", peers, 1), seconds: 3, seed: 1).Run()));

    private static void WriteLines(string path, IEnumerable<string> lines)
    {
        using var file = new StreamWriter(path);
        foreach (string line in lines)
        {
            Console.WriteLine(line);
            file.WriteLine(line);
        }
    }

    private static void RunBenchmarks<T>(string folder)
    {
        string artifacts = Directory.CreateTempSubdirectory("benchmarks").FullName;
        BenchmarkRunner.Run<T>(DefaultConfig.Instance.WithArtifactsPath(artifacts));
        foreach (string report in Directory.EnumerateFiles(Path.Combine(artifacts, "results"), "*-report-github.md"))
            File.Copy(report, Path.Combine(folder, typeof(T).Name + ".md"), overwrite: true);
        Directory.Delete(artifacts, recursive: true);
    }

    [GeneratedRegex("[^a-z0-9]+")]
    private static partial Regex NotInNames();

    /// <summary>The processor's name, as a folder.</summary>
    private static string Processor()
    {
        string name = File.Exists("/proc/cpuinfo")
            ? File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1] ?? "unknown"
            : Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? "unknown";
        return NotInNames().Replace(name.Trim().ToLowerInvariant(), "-").Trim('-') + "-" + Environment.ProcessorCount + "-cores";
    }
}
