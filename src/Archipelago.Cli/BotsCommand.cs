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
        url.Validators.Add(r =>
        {
            if (!Uri.TryCreate(r.GetValueOrDefault<string>(), UriKind.Absolute, out Uri? parsed) || parsed.Scheme is not ("ws" or "wss"))
                r.AddError("--url must be a ws:// or wss:// address, such as ws://127.0.0.1:5001/ws.");
        });
        count.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<int>() is < 1 or > 15_000)
                r.AddError("--count must be between 1 and 15000.");
        });
        duration.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<double>() is not (> 0 and <= 86_400))
                r.AddError("--duration must be between 0 and 86400 seconds.");
        });

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
