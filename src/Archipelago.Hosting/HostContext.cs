using Archipelago.Messaging;

namespace Archipelago.Hosting;

/// <summary>What a host is built from.</summary>
/// <param name="Settings">Its configuration; faults found while building are told by <see cref="Settings.ThrowIfFaulty"/>.</param>
/// <param name="Bus">Its own connection to the bus, which it disposes; unused by hosts that only answer HTTP.</param>
/// <param name="Clock">Where it takes the time from.</param>
public sealed record HostContext(Settings Settings, IMessageBus Bus, TimeProvider Clock)
{
    /// <summary>Version and commit as <c>/status</c> and discovery tell them: <c>CURRENT_VERSION</c> and <c>COMMIT_HASH</c>.</summary>
    public BuildInfo Build { get; } = new(Settings.Text("CURRENT_VERSION"), Settings.Find("COMMIT_HASH"));
}

/// <summary>Which build runs.</summary>
/// <param name="Version">Its version, or empty.</param>
/// <param name="CommitHash">Its commit; null when nobody said.</param>
public sealed record BuildInfo(string Version, string? CommitHash);
