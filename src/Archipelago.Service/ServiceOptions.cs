using Archipelago.Core;
using Archipelago.Hosting;
using Archipelago.Nats;
using Archipelago.Service.Election;

namespace Archipelago.Service;

/// <summary>What the Service is told through its environment; <c>docs/configuration.md</c> lists the variables.</summary>
internal sealed record ServiceOptions(
    IslandOptions Islands,
    string RoomPrefix,
    string? RoomBoot,
    string? StateFile,
    TimeSpan FlushPeriod,
    TimeSpan NewcomerPeriod,
    int RecallPeople,
    TimeSpan HeartbeatLifetime,
    TimeSpan StatusPeriod,
    LiveKitOptions LiveKit,
    StandbyOptions Standby)
{
    /// <summary>Whether newcomers are placed between beats.</summary>
    public bool PlacesPromptly => NewcomerPeriod > TimeSpan.Zero && NewcomerPeriod < FlushPeriod;

    public static ServiceOptions Read(Settings settings)
    {
        double leave = settings.Number("ARCHIPELAGO_LEAVE_DISTANCE", 80, double.Epsilon, float.MaxValue);
        double join = settings.Number("ARCHIPELAGO_JOIN_DISTANCE", 64, double.Epsilon, float.MaxValue);
        if (join > leave)
            settings.AddFault(FormattableString.Invariant(
                $"ARCHIPELAGO_JOIN_DISTANCE {join} is above ARCHIPELAGO_LEAVE_DISTANCE {leave}; lower it, or people would join and leave at every flush."));
        TimeSpan flushPeriod = TimeSpan.FromSeconds(settings.Number("ARCHIPELAGO_FLUSH_FREQUENCY", 2, 0.001, 3600));
        double moves = settings.Number("ARCHIPELAGO_CROWD_MOVES", 1, 0, 1000);
        return new ServiceOptions(
            new IslandOptions
            {
                Crowds = ReadPolicy(settings),
                CrowdMovesPerFlush = Math.Min(1, moves * flushPeriod / FiveMinutes),
                JoinDistance = Math.Min(join, leave),
                LeaveDistance = leave,
                MaxIslandSize = settings.Integer("LIVEKIT_ISLAND_SIZE", 100, 1),
            },
            settings.Text("ROOM_PREFIX"),
            settings.Find("ROOM_BOOT_PART"),
            settings.Find("ARCHIPELAGO_STATE_FILE") is { Length: > 0 } file ? file : null,
            flushPeriod,
            TimeSpan.FromMilliseconds(settings.Number("ARCHIPELAGO_NEWCOMER_INTERVAL_MS", 25, 0, 3_600_000)),
            settings.Integer("ARCHIPELAGO_RECALL_PEOPLE", 200, 0),
            TimeSpan.FromMilliseconds(settings.Number("CHECK_HEARTBEAT_INTERVAL", 60_000, 1, 86_400_000)),
            TimeSpan.FromMilliseconds(settings.Number("ARCHIPELAGO_STATUS_UPDATE_INTERVAL", 10_000, 1, 3_600_000)),
            LiveKitOptions.Read(settings),
            StandbyOptions.Read(settings));
    }

    private static readonly TimeSpan FiveMinutes = TimeSpan.FromMinutes(5);

    private static CrowdPolicy ReadPolicy(Settings settings)
    {
        string policy = settings.Find("ARCHIPELAGO_CROWD_POLICY") is { Length: > 0 } text ? text : "coherent";
        if (policy is not ("coherent" or "plain"))
            settings.AddFault($"ARCHIPELAGO_CROWD_POLICY is \"{policy}\"; it must be coherent, which keeps neighbours in a crowd together, or plain, which follows the order of arrival.");
        return policy == "plain" ? CrowdPolicy.Plain : CrowdPolicy.Coherent;
    }
}

/// <summary>Whether there may be several Services of which one leads.</summary>
internal enum StandbyMode
{
    /// <summary>Where the NATS server has JetStream.</summary>
    Auto,

    /// <summary>Always: without JetStream it waits.</summary>
    Required,

    /// <summary>Never.</summary>
    Off,
}

/// <summary>How several Services agree who leads.</summary>
/// <param name="Mode">Whether they do.</param>
/// <param name="Leadership">How.</param>
/// <param name="Bucket">Where.</param>
internal sealed record StandbyOptions(StandbyMode Mode, LeadershipOptions Leadership, NatsKeyValueOptions Bucket)
{
    private const int RandomBytes = 2;

    public static StandbyOptions Read(Settings settings)
    {
        string mode = settings.Find("ARCHIPELAGO_STANDBY") is { Length: > 0 } text ? text : "auto";
        if (mode is not ("auto" or "required" or "off"))
            settings.AddFault($"ARCHIPELAGO_STANDBY is \"{mode}\"; it must be auto (with standbys where NATS has JetStream), required (wait for JetStream) or off (run alone).");
        TimeSpan lease = TimeSpan.FromMilliseconds(settings.Number("ARCHIPELAGO_LEASE_MS", 1000, 200, 60_000));
        string bucket = settings.Find("ARCHIPELAGO_LEASE_BUCKET") is { Length: > 0 } named ? named : "archipelago";
        if (!bucket.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            settings.AddFault($"ARCHIPELAGO_LEASE_BUCKET is \"{bucket}\"; it must be letters, digits, dashes and underscores.");
        return new StandbyOptions(
            mode switch { "required" => StandbyMode.Required, "off" => StandbyMode.Off, _ => StandbyMode.Auto },
            new LeadershipOptions(Node(settings), lease, mode == "required"),
            new NatsKeyValueOptions(bucket)
            {
                Replicas = settings.Integer("ARCHIPELAGO_LEASE_REPLICAS", 1, 1, 5),
                Cluster = settings.Find("ARCHIPELAGO_LEASE_CLUSTER") is { Length: > 0 } cluster ? cluster : null,
                Timeout = lease / 2,
            });
    }

    /// <summary>The machine's name, or the one that it was given, and chance: a Service that is started again is another.</summary>
    private static string Node(Settings settings)
    {
        string name = settings.Find("ARCHIPELAGO_NODE") is { Length: > 0 } given ? given : Environment.MachineName;
        // It becomes a token of a subject.
        string clean = new([.. name.Take(40).Select(c => char.IsAsciiLetterOrDigit(c) || c == '_' ? c : '-')]);
        return $"{clean}-{Convert.ToHexStringLower(System.Security.Cryptography.RandomNumberGenerator.GetBytes(RandomBytes))}";
    }
}

/// <summary>What tells the rooms of one run of the Service from those of every other.</summary>
internal static class BootPart
{
    private const string Digits = "0123456789abcdefghijklmnopqrstuvwxyz";
    private const long Epoch = 1_577_836_800; // 2020-01-01
    private const int RandomDigits = 3;

    /// <summary>Seconds since 2020 and three random digits, in base 36: later runs sort later, and two that start in one second differ.</summary>
    public static string Create(TimeProvider clock)
    {
        Span<char> text = stackalloc char[16];
        int at = text.Length;
        for (int i = 0; i < RandomDigits; i++)
            text[--at] = Digits[System.Security.Cryptography.RandomNumberGenerator.GetInt32(Digits.Length)];
        for (long seconds = Math.Max(1, clock.GetUtcNow().ToUnixTimeSeconds() - Epoch); seconds > 0; seconds /= 36)
            text[--at] = Digits[(int)(seconds % 36)];
        return new string(text[at..]);
    }
}

/// <summary>Which LiveKit server clients are sent to, and the key pair that signs their tokens.</summary>
/// <param name="Host">The server's URL, inserted verbatim.</param>
/// <param name="ApiKey">Names the secret to the server.</param>
/// <param name="ApiSecret">Signs.</param>
public sealed record LiveKitOptions(string Host, string ApiKey, string ApiSecret)
{
    internal static LiveKitOptions Read(Settings settings)
    {
        string host = settings.Required("LIVEKIT_HOST", "the URL of the LiveKit server, such as wss://livekit.example.org");
        if (host.Contains('?', StringComparison.Ordinal))
            settings.AddFault($"LIVEKIT_HOST is \"{host}\"; it must not contain a question mark, at which clients cut the connection string.");
        return new LiveKitOptions(
            host,
            settings.Required("LIVEKIT_API_KEY", "the name of the LiveKit key pair"),
            settings.Required("LIVEKIT_API_SECRET", "the secret of the LiveKit key pair"));
    }
}
