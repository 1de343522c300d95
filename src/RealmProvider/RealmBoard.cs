using System.Text.Json;
using System.Text.Json.Nodes;
using Archipelago.Hosting;
using Archipelago.RealmProvider.Catalysts;

namespace Archipelago.RealmProvider;

/// <summary>What can be told now, put together when something has changed and not when somebody asks.</summary>
/// <param name="Healthy">Catalysts that are open, in the order of the list.</param>
/// <param name="Status">How the main realm is.</param>
/// <param name="Candidates">URLs of those that a visitor may be sent to.</param>
/// <param name="Abouts">What a visitor of each of them is told (ADR-110).</param>
internal sealed record RealmView(IReadOnlyList<Catalyst> Healthy, MainRealmStatus Status, string[] Candidates, byte[][] Abouts);

/// <summary>Keeps the <see cref="RealmView"/> of now. Any thread.</summary>
internal sealed class RealmBoard(CatalystProbe probe, MainRealm main, CatalystChoice choice)
{
    private readonly Lock making = new();
    private volatile RealmView? view;

    /// <summary>The view of now.</summary>
    public RealmView Now
    {
        get
        {
            (IReadOnlyList<Catalyst> healthy, MainRealmStatus status) = (probe.Healthy, main.Status);
            if (IsOf(view, healthy, status))
                return view!;
            lock (making)
                return IsOf(view, healthy, status) ? view! : view = Make(healthy, status);
        }
    }

    private static bool IsOf(RealmView? view, IReadOnlyList<Catalyst> healthy, MainRealmStatus status) =>
        view is not null && ReferenceEquals(view.Healthy, healthy) && ReferenceEquals(view.Status, status);

    private RealmView Make(IReadOnlyList<Catalyst> healthy, MainRealmStatus status)
    {
        List<Catalyst> candidates = choice.Candidates(healthy);
        return new RealmView(healthy, status, [.. candidates.Select(c => c.Url)], [.. candidates.Select(c => Write(About(c, status)))]);
    }

    private static byte[] Write(JsonObject about)
    {
        var buffer = new System.Buffers.ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Json.WriterOptions))
            about.WriteTo(json);
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The catalyst's own description, with the comms of the main realm in place of its own; whatever else it says is passed on.</summary>
    private JsonObject About(Catalyst catalyst, MainRealmStatus status)
    {
        var about = (JsonObject)catalyst.About.DeepClone();
        if (about["configurations"] is not JsonObject configurations)
            about["configurations"] = configurations = [];
        configurations["realmName"] = MainRealm.Name;
        about["healthy"] = status.Healthy;
        about["acceptingUsers"] = status.Healthy;

        var comms = new JsonObject();
        if (status.Version is not null)
            comms["version"] = status.Version;
        if (status.CommitHash is not null)
            comms["commitHash"] = status.CommitHash;
        comms["healthy"] = status.Healthy;
        comms["protocol"] = "v3";
        comms["usersCount"] = status.UserCount;
        comms["adapter"] = main.Adapter;
        about["comms"] = comms;

        if (about["bff"] is JsonObject bff)
            bff["userCount"] = status.UserCount;
        return about;
    }
}
