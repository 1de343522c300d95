using System.CommandLine;
using System.ComponentModel;
using Archipelago.Cli.Load;
using Archipelago.Hosting;
using Archipelago.Messaging;

namespace Archipelago.Cli;

/// <summary><c>load</c>: long runs that put the realm under load and faults, and say what held.</summary>
internal static class LoadCommand
{
    public static Command Create() => new("load", "Long runs under load and faults.") { CreateProcesses(), CreateStandby(), CreateService(), CreateConnector(), CreateStats(), CreateRealms(), CreateMap(), CreateSink() };

    private static Command CreateProcesses()
    {
        var people = new Option<int>("--people") { Description = "Simulated people on each of two Connectors.", DefaultValueFactory = _ => 100 };
        people.Require(n => n is >= 1 and <= 5_000, "--people must be between 1 and 5000.");
        var command = new Command("processes", "Every host a process of its own on a nats-server (which must be installed); kills one after the other and measures what people notice.") { people };
        command.SetAction(parsed => WithProgramsAsync(async () =>
        {
            await using var drill = new ProcessDrill(parsed.GetValue(people), Console.WriteLine);
            return (await drill.RunAsync()).All(step => step.Held) ? 0 : 1;
        }));
        return command;
    }

    private static Command CreateStandby()
    {
        var people = new Option<int>("--people") { Description = "Simulated people on each of two Connectors, who stand still.", DefaultValueFactory = _ => 500 };
        var kills = new Option<int>("--kills") { Description = "Times that the Service which leads is killed.", DefaultValueFactory = _ => 50 };
        var handOvers = new Option<int>("--handovers") { Description = "Times that it is asked to end.", DefaultValueFactory = _ => 10 };
        people.Require(n => n is >= 1 and <= 5_000, "--people must be between 1 and 5000.");
        kills.Require(n => n is >= 1 and <= 1_000, "--kills must be between 1 and 1000.");
        handOvers.Require(n => n is >= 1 and <= 1_000, "--handovers must be between 1 and 1000.");
        var command = new Command("standby", "Two Services on a nats-server with JetStream (which must be installed); kills the one that leads again and again, hands over, freezes it, and measures what people notice.") { people, kills, handOvers };
        command.SetAction(parsed => WithProgramsAsync(async () =>
        {
            await using var drill = new StandbyDrill(parsed.GetValue(people), parsed.GetValue(kills), parsed.GetValue(handOvers), (2000, 200), Console.WriteLine);
            return (await drill.RunAsync()).All(step => step.Held) ? 0 : 1;
        }));
        return command;
    }

    private static Command CreateService()
    {
        var peers = new Option<int>("--peers") { Description = "Synthetic peers that send a heartbeat a second.", DefaultValueFactory = _ => 10_000 };
        var newcomers = new Option<int>("--newcomers") { Description = "Peers that arrive while it is measured.", DefaultValueFactory = _ => 1_000 };
        var seconds = new Option<int>("--seconds") { Description = "How long it is measured.", DefaultValueFactory = _ => 20 };
        peers.Require(n => n is >= 1 and <= 1_000_000, "--peers must be between 1 and 1000000.");
        newcomers.Require(n => n is >= 1 and <= 100_000, "--newcomers must be between 1 and 100000.");
        seconds.Require(n => n is >= 1 and <= 3600, "--seconds must be between 1 and 3600.");
        var standby = new Option<bool>("--standby") { Description = "A second Service stands by, and what that costs is measured, too." };
        var command = new Command("service", "The Service on a nats-server (which must be installed) under synthetic heartbeats; one line of JSON.") { peers, newcomers, seconds, standby };
        command.SetAction(parsed => WithProgramsAsync(async () =>
        {
            await using var load = new ServiceLoad(parsed.GetValue(peers), parsed.GetValue(newcomers), parsed.GetValue(seconds), parsed.GetValue(standby));
            Console.WriteLine(await load.RunAsync());
            return 0;
        }));
        return command;
    }

    private static Command CreateConnector()
    {
        var clients = new Option<int>("--clients") { Description = "Honest clients.", DefaultValueFactory = _ => 2_000 };
        var rate = new Option<double>("--rate") { Description = "Heartbeats a second of each.", DefaultValueFactory = _ => 1 };
        var seconds = new Option<int>("--seconds") { Description = "How long it is measured.", DefaultValueFactory = _ => 60 };
        var storm = new Option<int>("--storm") { Description = "Clients beside them who lose their connections and all come back within a second." };
        var strangers = new Option<int>("--strangers") { Description = "Attackers meanwhile: so many silent sockets and as many slow ones, and each second half as many with garbage and a quarter as many with bad signatures." };
        var sink = new Option<bool>("--sink") { Description = "Measures a server beside it that only receives." };
        clients.Require(n => n is >= 1 and <= 100_000, "--clients must be between 1 and 100000.");
        rate.Require(n => n is >= 0 and <= 100, "--rate must be between 0 and 100.");
        seconds.Require(n => n is >= 1 and <= 3600, "--seconds must be between 1 and 3600.");
        strangers.Require(n => n is 0 or (>= 8 and <= 5_000), "--strangers must be 0 or between 8 and 5000.");
        storm.Require(n => n is >= 0 and <= 100_000, "--storm must be between 0 and 100000.");
        var command = new Command("connector", "A Connector on a nats-server (which must be installed) under clients; one line of JSON.") { clients, rate, seconds, storm, strangers, sink };
        command.SetAction(parsed => WithProgramsAsync(async () =>
        {
            await using var load = new ConnectorLoad(new ConnectorLoadOptions(
                parsed.GetValue(clients), parsed.GetValue(rate), parsed.GetValue(seconds), parsed.GetValue(storm), parsed.GetValue(strangers), parsed.GetValue(sink)));
            Console.WriteLine((await load.RunAsync()).ToJsonString());
            return 0;
        }));
        return command;
    }

    private static Command CreateStats()
    {
        var peers = new Option<int>("--peers") { Description = "Synthetic peers that send a heartbeat a second.", DefaultValueFactory = _ => 100_000 };
        var readers = new Option<int>("--readers") { Description = "Clients that ask, one question after the other with half a second between them.", DefaultValueFactory = _ => 50 };
        var seconds = new Option<int>("--seconds") { Description = "How long each part is measured.", DefaultValueFactory = _ => 20 };
        peers.Require(n => n is >= 100 and <= 1_000_000, "--peers must be between 100 and 1000000.");
        readers.Require(n => n is >= 1 and <= 5_000, "--readers must be between 1 and 5000.");
        seconds.Require(n => n is >= 1 and <= 3600, "--seconds must be between 1 and 3600.");
        var command = new Command("stats", "Stats on a nats-server (which must be installed) under synthetic heartbeats, and read; one line of JSON.") { peers, readers, seconds };
        command.SetAction(parsed => WithProgramsAsync(async () =>
        {
            await using var load = new StatsLoad(parsed.GetValue(peers), parsed.GetValue(readers), parsed.GetValue(seconds));
            Console.WriteLine((await load.RunAsync()).ToJsonString());
            return 0;
        }));
        return command;
    }

    private static Command CreateRealms()
    {
        var readers = new Option<int>("--readers") { Description = "Clients that ask, one question after the other.", DefaultValueFactory = _ => 16 };
        var seconds = new Option<int>("--seconds") { Description = "How long it is measured.", DefaultValueFactory = _ => 10 };
        readers.Require(n => n is >= 1 and <= 5_000, "--readers must be between 1 and 5000.");
        seconds.Require(n => n is >= 1 and <= 3600, "--seconds must be between 1 and 3600.");
        var command = new Command("realms", "A RealmProvider, asked for /main/about as fast as it answers; one line of JSON.") { readers, seconds };
        command.SetAction(parsed => WithProgramsAsync(async () =>
        {
            await using var load = new RealmLoad(parsed.GetValue(readers), parsed.GetValue(seconds));
            Console.WriteLine((await load.RunAsync()).ToJsonString());
            return 0;
        }));
        return command;
    }

    private static Command CreateMap()
    {
        var peers = new Option<int>("--peers") { Description = "Synthetic peers that walk and say so once a second.", DefaultValueFactory = _ => 10_000 };
        var seconds = new Option<int>("--seconds") { Description = "For how long.", DefaultValueFactory = _ => 600 };
        peers.Require(n => n is >= 1 and <= 1_000_000, "--peers must be between 1 and 1000000.");
        seconds.Require(n => n is >= 1 and <= 86_400, "--seconds must be between 1 and 86400.");
        var command = new Command("map", "A realm in this process with synthetic peers in it, to look at on the live map.") { peers, seconds };
        command.SetAction(async (parsed, stop) =>
        {
            await using Realm realm = await Realm.StartAsync(Settings.ProcessSources(Directory.GetCurrentDirectory()));
            await using IMessageBus bus = realm.Connect();
            Console.WriteLine($"{realm.Stats}map");
            try
            {
                await new SyntheticPeers(parsed.GetValue(peers)).WalkAsync(bus, parsed.GetValue(peers), parsed.GetValue(seconds), _ => Task.CompletedTask, stop);
            }
            catch (OperationCanceledException)
            {
                // Seen enough.
            }
            return 0;
        });
        return command;
    }

    private static Command CreateSink()
    {
        var command = new Command("sink", "A server that accepts WebSockets and only receives, to compare with.") { Hidden = true };
        command.SetAction((_, stop) => WebSocketSink.RunAsync(stop));
        return command;
    }

    private static async Task<int> WithProgramsAsync(Func<Task<int>> run)
    {
        try
        {
            return await run();
        }
        catch (Win32Exception e)
        {
            throw new ConfigurationException([$"A program that this needs cannot be started: {e.Message} It needs nats-server and dotnet on the PATH."]);
        }
    }
}
