using System.CommandLine;
using Archipelago.Benchmarks.Crowds;
using Archipelago.Benchmarks.Nats;
using Archipelago.Core;

namespace Archipelago.Benchmarks.Probes;

/// <summary><c>probe</c>: whole runs of the engine, on made or given worlds.</summary>
internal static class ProbeCommand
{
    public static Command Create() => new("probe", "Runs a whole world and prints one line of JSON.") { CreateFlush(), CreateMoves(), CreateNats(), CrowdCommands.CreateProbe() };

    private static Command CreateMoves()
    {
        var world = new Option<string>("--world") { Description = "sparse, dense, city or crowd.", DefaultValueFactory = _ => "city" };
        var peers = new Option<int>("--peers") { Description = "How many.", DefaultValueFactory = _ => 100_000 };
        var seconds = new Option<int>("--seconds") { Description = "Seconds of each of four measurements.", DefaultValueFactory = _ => 3 };
        var seed = new Option<int>("--seed") { Description = "Decides all chances.", DefaultValueFactory = _ => 1 };
        var command = new Command("moves", "Reports from one thread, alone and while another flushes without a pause.") { world, peers, seconds, seed };
        command.SetAction(parsed =>
        {
            Position[] points = Worlds.Make(parsed.GetValue(world)!, parsed.GetValue(peers), parsed.GetValue(seed));
            Console.WriteLine(new MoveProbe(points, parsed.GetValue(seconds), parsed.GetValue(seed)).Run());
            return 0;
        });
        return command;
    }

    private static Command CreateNats()
    {
        var messages = new Option<int>("--messages") { Description = "Messages of each measurement.", DefaultValueFactory = _ => 5_000_000 };
        var requests = new Option<int>("--requests") { Description = "Requests of each measurement.", DefaultValueFactory = _ => 10_000 };
        var command = new Command("nats", "The NATS client beside a raw socket, with a nats-server (which must be installed) and with a stand-in.") { messages, requests };
        command.SetAction(parsed =>
        {
            foreach (string line in new NatsProbe(parsed.GetValue(messages), parsed.GetValue(requests)).Run())
                Console.WriteLine(line);
            return 0;
        });
        return command;
    }

    private static Command CreateFlush()
    {
        var points = new Option<string?>("--points") { Description = "File of little-endian float32 pairs x,z, one a peer." };
        var world = new Option<string>("--world") { Description = "Without --points: sparse, dense, city or crowd.", DefaultValueFactory = _ => "sparse" };
        var peers = new Option<int>("--peers") { Description = "Without --points: how many.", DefaultValueFactory = _ => 10_000 };
        var ticks = new Option<int>("--ticks") { Description = "Flushes measured.", DefaultValueFactory = _ => 200 };
        var warmup = new Option<int>("--warmup") { Description = "Flushes before, so that islands are mixed.", DefaultValueFactory = _ => 300 };
        var step = new Option<float>("--step") { Description = "Metres that a peer moves at most in a tick.", DefaultValueFactory = _ => 6 };
        var threads = new Option<int>("--threads") { Description = "Threads of the flush, the calling one included.", DefaultValueFactory = _ => 1 };
        var cap = new Option<int>("--cap") { Description = "Largest island.", DefaultValueFactory = _ => 100 };
        Option<string> policy = CrowdCommands.PolicyOption("plain");
        var moving = new Option<double>("--moving") { Description = "Share of the peers that move in a tick.", DefaultValueFactory = _ => 1 };
        var seed = new Option<int>("--seed") { Description = "Decides all chances.", DefaultValueFactory = _ => 1 };
        var verify = new Option<bool>("--verify") { Description = "Checks the last state against the invariants; exit code 1 when one is broken." };
        var command = new Command("flush", "Flushes a moving world again and again.") { points, world, peers, ticks, warmup, step, threads, cap, policy, moving, seed, verify };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(threads) is < 1 or > IslandEngine.MaxFlushThreads)
            {
                Console.Error.WriteLine($"--threads must be 1 to {IslandEngine.MaxFlushThreads}.");
                return 2;
            }
            string? file = parsed.GetValue(points);
            var probe = new FlushProbe(
                file is not null ? Worlds.Read(file) : Worlds.Make(parsed.GetValue(world)!, parsed.GetValue(peers), parsed.GetValue(seed)),
                CrowdCommands.Rules(parsed.GetValue(policy)!, parsed.GetValue(cap)), parsed.GetValue(step), parsed.GetValue(moving), parsed.GetValue(seed), parsed.GetValue(threads));
            Console.WriteLine(probe.Run(parsed.GetValue(warmup), parsed.GetValue(ticks)));
            return !parsed.GetValue(verify) || probe.Verify() ? 0 : 1;
        });
        return command;
    }
}
