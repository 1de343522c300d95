using System.CommandLine;
using System.Diagnostics;
using Archipelago.Cli.Bots;
using Archipelago.Hosting;

namespace Archipelago.Cli;

/// <summary><c>up</c>: runs the whole realm in one process.</summary>
internal static class UpCommand
{
    public static Command Create()
    {
        var bots = new Option<int>("--bots") { Description = "Simulated people who walk about.", DefaultValueFactory = _ => 0 };
        var duration = new Option<double>("--duration") { Description = "Seconds until it ends by itself; 0 runs until Ctrl-C.", DefaultValueFactory = _ => 0 };
        bots.Require(n => n is >= 0 and <= 15_000, "--bots must be between 0 and 15000.");
        duration.Require(s => s is >= 0 and <= 31_536_000, "--duration must be between 0 and a year, in seconds.");
        var nats = new Option<string?>("--nats") { Description = "NATS servers that join the hosts, such as nats://127.0.0.1:4222; without it the bus is in this process." };
        var standby = new Option<bool>("--standby") { Description = "A second Service that takes over when the first one ends, on a nats-server with JetStream (which must be installed, or named by --nats)." };
        var command = new Command("up", "Runs the whole realm in this process: Service, Connector, Stats and RealmProvider.") { bots, duration, nats, standby };
        command.SetAction((parsed, token) => RunAsync(parsed.GetValue(bots), TimeSpan.FromSeconds(parsed.GetValue(duration)), parsed.GetValue(nats), parsed.GetValue(standby), token));
        return command;
    }

    private static async Task<int> RunAsync(int botCount, TimeSpan duration, string? nats, bool standby, CancellationToken cancellationToken)
    {
        await using LocalNats? local = standby && nats is null ? await LocalNats.StartAsync() : null;
        await using Realm realm = await Realm.StartAsync(Settings.ProcessSources(Directory.GetCurrentDirectory()), nats ?? local?.Url, standby);
        Announce(realm, botCount);

        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        if (duration > TimeSpan.Zero)
            over.CancelAfter(duration);
        // Bots stay until those who are in have been counted.
        using var ending = new CancellationTokenSource();
        Task<SwarmSummary>? bots = botCount == 0
            ? null
            : Swarm.RunAsync(new SwarmOptions(realm.WebSocket, botCount, Timeout.InfiniteTimeSpan, Seed: 1), new SwarmProgress(), ending.Token);
        long started = Stopwatch.GetTimestamp();
        if (standby)
            _ = Task.Run(() => StopLeaderOnRequestAsync(realm, over.Token), CancellationToken.None);
        bool asked = await HostRunner.WaitForEndAsync(realm.Hosts, over.Token);
        string ran = $"The realm ran for {Stopwatch.GetElapsedTime(started).TotalSeconds:0} s; at the end {await realm.CountPeopleAsync()} people were in it.";
        await ending.CancelAsync();
        if (!asked)
            await Console.Error.WriteLineAsync("A host stopped by itself; its log says why.");

        if (bots is null)
        {
            Console.WriteLine(ran);
            return asked ? 0 : 1;
        }
        SwarmSummary summary = await bots;
        Console.WriteLine(ran);
        Console.WriteLine(summary.ToText());
        return asked && summary.Errors == 0 ? 0 : 1;
    }

    /// <summary>Whoever wants to see a hand-over types an s.</summary>
    private static async Task StopLeaderOnRequestAsync(Realm realm, CancellationToken cancellationToken)
    {
        while (await Console.In.ReadLineAsync(cancellationToken) is { } line)
        {
            if (line.Trim() != "s")
                continue;
            Console.WriteLine(await realm.StopLeaderAsync() is { } stopped ? $"{stopped} has handed over and ended." : "Only one Service is left; it stays.");
        }
    }

    private static void Announce(Realm realm, int bots)
    {
        Console.WriteLine($"""
            The realm is up.

              {realm.Stats}map            the live map: open it in a browser
              {realm.RealmProvider}main/about   which servers to use: give this address to a client
              {realm.WebSocket}            where clients connect
              {realm.Stats}comms/peers    who is where
              {realm.Stats}comms/islands  who is together
              {realm.Service}metrics        how the engine is

            """);
        if (realm.StandbyService is { } second)
            Console.WriteLine($"""
                Two Services share the work: {realm.Service}status and {second}status say which one leads. Press s and Enter to stop the one that leads.

                """);
        if (realm.HasDevelopmentKeys)
            Console.WriteLine("LiveKit tokens are signed with a key for development that everybody knows; set LIVEKIT_HOST, LIVEKIT_API_KEY and LIVEKIT_API_SECRET for real rooms.");
        Console.WriteLine(bots > 0 ? $"{bots} simulated people are walking in. Ctrl-C ends it." : "Nobody is here yet; try --bots 200. Ctrl-C ends it.");
    }
}
