using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Archipelago.Cli.Top;

/// <summary>Draws hosts and world for a terminal. What others chose, such as ids, is text and never markup.</summary>
internal static class Dashboard
{
    private const int IslandsShown = 8;

    public static IRenderable Draw(IReadOnlyList<HostView> hosts, WorldFigures world)
    {
        var below = new Grid().AddColumn().AddColumn().AddColumn();
        below.AddRow(World(world), Islands(world), Flushes(world));
        return new Rows(Hosts(hosts), below);
    }

    private static Table Hosts(IReadOnlyList<HostView> hosts)
    {
        Table table = New("host", "address", "health", "cores", "MiB", "requests/s", "what it does");
        foreach (HostView host in hosts)
        {
            HostFigures? now = host.Now;
            table.AddRow(
                Plain(now?.Kind ?? "?"),
                Plain(host.Address.Authority),
                new Text(host.Health, host.Health == "ready" ? Color.Green : Color.Red),
                Plain(now is null ? "" : Text(now.Rate("process_cpu_seconds_total", host.Before), "0.00")),
                Plain(now is null ? "" : Text(now["process_resident_memory_bytes"] / 1048576, "0")),
                Plain(now is null ? "" : Text(now.Rate("http_requests_total", host.Before), "0")),
                Plain(now is null ? "" : Does(now, host.Before)));
        }
        return table;
    }

    private static string Does(HostFigures now, HostFigures? before) => now.Kind switch
    {
        "Service" => $"{Text(now.Rate("archipelago_heartbeats_total", before), "0")} heartbeats/s, {Text(now.Rate("archipelago_changes_total", before), "0.#")} changes/s, {Text(now["dcl_archipelago_peers_count"], "0")} peers{Leads(now)}",
        "Connector" => $"{Text(now["archipelago_sockets"], "0")} sockets, {Text(now.Rate("archipelago_heartbeats_forwarded_total", before), "0")} heartbeats/s, {Text(now.Rate("archipelago_limit_exceeded_total", before), "0.#")} over a limit/s",
        "Stats" => $"{Text(now["archipelago_stats_peers"], "0")} peers, {Text(now.Rate("archipelago_stats_heartbeats_total", before), "0")} heartbeats/s, {Text(now["archipelago_streams"], "0")} streams",
        "RealmProvider" => $"catalysts offered: {Text(now["archipelago_catalysts_offered"], "0")}, main realm {(now["archipelago_main_realm_healthy"] > 0 ? "healthy" : "not healthy")}",
        _ => "",
    };

    /// <summary>What a Service is among several; nothing where there is one.</summary>
    private static string Leads(HostFigures now) => now["archipelago_term"] == 0 ? ""
        : now["archipelago_leads"] > 0 ? $", leads in term {Text(now["archipelago_term"], "0")}"
        : now["archipelago_standby_ready"] > 0 ? ", stands by" : ", stands by, not ready";

    private static Table World(WorldFigures world)
    {
        Table table = New("world", "");
        FlushFigures? flush = world.LastFlush;
        string PerSecond(long count) => flush is { Seconds: > 0 } ? Text(count / flush.Seconds, "0.#") : "-";
        foreach ((string name, string value) in ((string, string)[])[
            ("people", Text(world.People, "0")), ("islands", Text(world.Islands, "0")), ("of them full", Text(world.Full, "0")), ("heartbeats/s", Text(world.Heartbeats, "0")),
            ("came/s", PerSecond(flush?.Newcomers ?? 0)), ("merged/s", PerSecond(flush?.Merges ?? 0)), ("split/s", PerSecond(flush?.Splits ?? 0)), ("moved in crowds/s", PerSecond(flush?.Moves ?? 0)),
            ("neighbours together", flush?.Recall is { } recall ? Text(recall * 100, "0") + " %" : "-"), ("left/s", PerSecond(flush?.Left ?? 0)),
            ("Service", world.IsHealthy ? "alive" : "silent")])
            table.AddRow(Plain(name), Plain(value));
        return table;
    }

    private static Table Islands(WorldFigures world)
    {
        Table table = New("biggest islands", "people");
        foreach ((string id, int size, int max) in world.Biggest(IslandsShown))
            table.AddRow(Plain(id.Length > 24 ? id[..23] + "…" : id), new Text($"{size}/{max}", size >= max ? Color.Red : Color.Default));
        return table;
    }

    private static Table Flushes(WorldFigures world)
    {
        Table table = New("slowest flushes", "ms");
        foreach (FlushFigures flush in world.Slowest)
            table.AddRow(Plain($"#{flush.Number}"), Plain(Text(flush.Milliseconds, "0.00")));
        if (world.LastFlush is { } last)
            table.AddRow(Plain($"last, #{last.Number}"), Plain(Text(last.Milliseconds, "0.00")));
        return table;
    }

    private static Table New(params string[] columns)
    {
        Table table = new Table().Border(TableBorder.Rounded);
        foreach (string column in columns)
            table.AddColumn(new TableColumn(new Text(column, new Style(decoration: Decoration.Bold))));
        return table;
    }

    private static Text Plain(string text) => new(text);

    private static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
