using System.CommandLine;
using Archipelago.Cli.Top;
using Spectre.Console;

namespace Archipelago.Cli;

/// <summary><c>top</c>: hosts and world on a terminal, for those without a browser.</summary>
internal static class TopCommand
{
    private static readonly string[] Local = ["http://127.0.0.1:5000", "http://127.0.0.1:5001", "http://127.0.0.1:5002", "http://127.0.0.1:3000"];

    public static Command Create()
    {
        var url = new Option<string[]>("--url") { Description = "Where a host answers; may come several times. Without it, the four on this machine.", DefaultValueFactory = _ => Local };
        var once = new Option<bool>("--once") { Description = "Prints it once and ends; so it does where the output is no terminal." };
        url.Require(urls => urls.All(u => Uri.TryCreate(u, UriKind.Absolute, out Uri? parsed) && parsed.Scheme is "http" or "https"), "--url must be an http or https URL.");
        var command = new Command("top", "Shows hosts and their health, rates, the biggest islands and the slowest flushes.") { url, once };
        command.SetAction((parsed, token) => RunAsync([.. parsed.GetValue(url)!.Select(u => new Uri(u))], parsed.GetValue(once), token));
        return command;
    }

    private static async Task<int> RunAsync(Uri[] addresses, bool once, CancellationToken cancellationToken)
    {
        using var watch = new Watch(addresses);
        if (once || Console.IsOutputRedirected)
            return await OnceAsync(watch, cancellationToken);
        try
        {
            await AnsiConsole.Live(new Text("Looking…")).StartAsync(live => watch.RunAsync(() => live.UpdateTarget(watch.Show(Dashboard.Draw)), cancellationToken));
        }
        catch (OperationCanceledException)
        {
            // Seen enough.
        }
        return 0;
    }

    /// <summary>Two looks, since a rate needs two. 1 when some host is not ready.</summary>
    private static async Task<int> OnceAsync(Watch watch, CancellationToken cancellationToken)
    {
        int looks = 0;
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            await watch.RunAsync(() =>
            {
                if (++looks >= 2 && (watch.HasSeenAll || looks > 10))
                    enough.Cancel();
            }, enough.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // Seen enough.
        }
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = Console.IsOutputRedirected ? AnsiSupport.No : AnsiSupport.Detect, Out = new AnsiConsoleOutput(Console.Out) });
        if (Console.IsOutputRedirected)
            console.Profile.Width = 140;
        console.Write(watch.Show(Dashboard.Draw));
        return watch.Show((hosts, _) => hosts.All(h => h.Health == "ready")) ? 0 : 1;
    }
}
