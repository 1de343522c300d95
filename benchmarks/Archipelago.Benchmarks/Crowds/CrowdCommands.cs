using System.CommandLine;
using Archipelago.Cli;
using Archipelago.Core;

namespace Archipelago.Benchmarks.Crowds;

/// <summary><c>bench crowds</c> and <c>probe crowd</c>: crowds larger than an island, cut by either policy.</summary>
internal static class CrowdCommands
{
    /// <summary>How crowds are cut; <c>both</c> is for those who run one after the other.</summary>
    public static Option<string> PolicyOption(string normally = "both")
    {
        string[] values = normally == "both" ? ["plain", "coherent", "both"] : ["plain", "coherent"];
        string names = string.Join(" or ", values);
        return new Option<string>("--policy") { Description = names + ".", DefaultValueFactory = _ => normally }.Require(values.Contains, $"--policy must be {names}.");
    }

    private static Option<int> CapOption() => new("--cap") { Description = "Largest island.", DefaultValueFactory = _ => 100 };

    private static Option<double> MovesOption() => new("--moves") { Description = "How often somebody may be moved in a flush, on average.", DefaultValueFactory = _ => new IslandOptions().CrowdMovesPerFlush };

    public static Command CreateBench(Option<string> results, Func<string> processor)
    {
        Option<string> policy = PolicyOption();
        Option<int> cap = CapOption();
        Option<double> moves = MovesOption();
        var seed = new Option<int>("--seed") { Description = "Decides all chances; without it three of them." };
        var only = new Option<string[]>("--scenario") { Description = string.Join(", ", CrowdScenario.Names) + "; without it all.", DefaultValueFactory = _ => [] };
        var command = new Command("crowds", "Half an hour of crowds that are larger than an island; one line of JSON each.") { policy, cap, seed, moves, only, results };
        command.SetAction(parsed =>
        {
            int[] seeds = parsed.GetValue(seed) is var one && one > 0 ? [one] : [1, 2, 3];
            string[] names = parsed.GetValue(only) is { Length: > 0 } some ? some : CrowdScenario.Names;
            string[] policies = parsed.GetValue(policy) == "both" ? ["plain", "coherent"] : [parsed.GetValue(policy)!];
            var lines = new List<string>();
            foreach (string rule in policies)
                CrowdProbe.Rehearse(Rules(rule, parsed.GetValue(cap), parsed.GetValue(moves)));
            foreach (string name in names)
            {
                foreach (string rule in policies)
                {
                    IslandOptions rules = Rules(rule, parsed.GetValue(cap), parsed.GetValue(moves));
                    CrowdFigures[] runs = [.. seeds.Select(s => CrowdProbe.Run(CrowdScenario.Make(name, s), rules))];
                    lines.Add(Mean(runs).ToJson());
                    Console.WriteLine(lines[^1]);
                }
            }
            // What is filed is the measurement that the documents tell of.
            if (names.Length < CrowdScenario.Names.Length || policies.Length < 2 || seeds.Length == 1 || Rules("plain", parsed.GetValue(cap), parsed.GetValue(moves)) != new IslandOptions())
                return 0;
            string folder = Path.Combine(parsed.GetValue(results)!, processor());
            Directory.CreateDirectory(folder);
            File.WriteAllLines(Path.Combine(folder, "crowds.jsonl"), lines);
            return 0;
        });
        return command;
    }

    public static Command CreateProbe()
    {
        Option<string> policy = PolicyOption();
        Option<int> cap = CapOption();
        Option<double> moves = MovesOption();
        var track = new Option<string>("--track") { Description = "File of little-endian float32 x, z of everybody, a frame a flush; NaN for who is not there.", Required = true };
        var people = new Option<int>("--people") { Description = "People a frame.", Required = true };
        var command = new Command("crowd", "Groups people who move as a file says, and prints a line of JSON.") { track, people, policy, cap, moves };
        command.SetAction(parsed =>
        {
            foreach (string rule in parsed.GetValue(policy) == "both" ? (string[])["plain", "coherent"] : [parsed.GetValue(policy)!])
            {
                IslandOptions rules = Rules(rule, parsed.GetValue(cap), parsed.GetValue(moves));
                using FileStream file = File.OpenRead(parsed.GetValue(track)!);
                CrowdProbe.Rehearse(rules);
                Console.WriteLine(CrowdProbe.RunTrack(file, parsed.GetValue(people), rules).ToJson());
            }
            return 0;
        });
        return command;
    }

    /// <summary>Rules with one of the policies that <see cref="PolicyOption"/> lets through.</summary>
    public static IslandOptions Rules(string policy, int cap, double? moves = null) => new()
    {
        MaxIslandSize = cap,
        CrowdMovesPerFlush = moves ?? new IslandOptions().CrowdMovesPerFlush,
        Crowds = policy == "plain" ? CrowdPolicy.Plain : CrowdPolicy.Coherent,
    };

    private static CrowdFigures Mean(CrowdFigures[] runs) => new(
        runs[0].Scenario, runs[0].Policy, runs[0].People, runs.Average(r => r.Recall), runs.Average(r => r.RecallLowestTenth), runs.Average(r => r.MovesPerPersonPer5Min),
        runs.Average(r => r.Islands), runs.Average(r => r.MinimumIslands), runs.Average(r => r.NsPerMemberPerFlush), runs.Average(r => r.AllocatedBytesPerFlush),
        runs.Max(r => r.WorstFlushMoves), runs.Max(r => r.LastMoveFlush), runs.Max(r => r.LastArrivalFlush));
}
