using System.Text.Json;
using Archipelago.Hosting;
using Archipelago.Protocol;
using Archipelago.Service.Election;
using Archipelago.Service.Replication;

namespace Archipelago.Service;

/// <summary>The answer of the Service's <c>/status</c>: which build runs, and who leads.</summary>
internal static class ServiceStatusJson
{
    public static void Write(Utf8JsonWriter json, HostContext context, IServiceProvider services)
    {
        var leadership = services.GetRequiredService<Leadership>();
        Follower? follower = services.GetRequiredService<Worlds>().Follower;
        json.WriteStartObject();
        StatusJson.WriteBuild(json, context);
        json.WriteString("node", leadership.Node);
        json.WriteString("role", Name(leadership));
        json.WriteNumber("term", leadership.LatestTerm);
        if (follower is not null)
            WriteFollower(json, follower);
        else
            WriteLeader(json, leadership, services);
        json.WriteEndObject();
    }

    private static string Name(Leadership leadership) => leadership.Role switch
    {
        Role.Alone => "alone",
        Role.Leader => leadership.MaySpeak ? "leader" : "silent",
        Role.Standby => "standby",
        _ => "deciding",
    };

    private static void WriteFollower(Utf8JsonWriter json, Follower follower)
    {
        json.WriteBoolean("ready", follower.IsLevel);
        json.WriteNumber("flush", follower.Flush);
        json.WriteNumber("follows", follower.Term);
        if (follower.Fault is { } fault)
            json.WriteString("fault", fault);
    }

    private static void WriteLeader(Utf8JsonWriter json, Leadership leadership, IServiceProvider services)
    {
        LeaderStatus status = services.GetRequiredService<Replicator>().Describe();
        (int warm, int cold) = services.GetRequiredService<FlushLoop>().Takeovers;
        json.WriteNumber("since", leadership.Now.Since.ToUnixTimeMilliseconds());
        json.WriteString("cause", leadership.Now.Cause);
        json.WriteNumber("flush", status.Flush);
        json.WriteStartObject("takeovers");
        json.WriteNumber("kept", warm);
        json.WriteNumber("new", cold);
        json.WriteEndObject();
        json.WriteStartArray("standbys");
        foreach (StandbyStatus standby in status.Standbys)
        {
            json.WriteStartObject();
            json.WriteString("node", standby.Node);
            json.WriteBoolean("ready", standby.Ready);
            json.WriteNumber("flush", standby.Flush);
            json.WriteNumber("lagMs", Math.Round(standby.LagMs, 1));
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }
}
