using System.CommandLine;
using Archipelago.Cli.Bots;

namespace Archipelago.Cli;

/// <summary><c>bots</c>: lets simulated people walk in any realm.</summary>
internal static class BotsCommand
{
    public static Command Create()
    {
        var url = new Option<string>("--url") { Description = "Where clients connect.", DefaultValueFactory = _ => "ws://127.0.0.1:5001/ws" };
        var count = new Option<int>("--count") { Description = "How many.", DefaultValueFactory = _ => 200 };
        var duration = new Option<double>("--duration") { Description = "Seconds.", DefaultValueFactory = _ => 15 };
        var seed = new Option<int>("--seed") { Description = "Decides where they walk.", DefaultValueFactory = _ => 1 };
        var json = new Option<bool>("--json") { Description = "One line of JSON on standard output, and nothing else there." };
        url.Require(u => Uri.TryCreate(u, UriKind.Absolute, out Uri? parsed) && (parsed.Scheme is "ws" or "wss"), "--url must be a ws:// or wss:// address, such as ws://127.0.0.1:5001/ws.");
        count.Require(n => n is >= 1 and <= 15_000, "--count must be between 1 and 15000.");
        duration.Require(s => s is > 0 and <= 86_400, "--duration must be between 0 and 86400 seconds.");

        var command = new Command("bots", "Lets simulated people connect, sign, walk about and check what they are told.") { url, count, duration, seed, json };
        command.SetAction(async (parsed, token) =>
        {
            var options = new SwarmOptions(new Uri(parsed.GetValue(url)!), parsed.GetValue(count), TimeSpan.FromSeconds(parsed.GetValue(duration)), parsed.GetValue(seed));
            SwarmSummary summary = await Swarm.RunAsync(options, new SwarmProgress(), token);
            Console.WriteLine(parsed.GetValue(json) ? summary.ToJson() : summary.ToText());
            return summary.Errors == 0 && summary.Assigned == summary.Count ? 0 : 1;
        });
        return command;
    }
}
