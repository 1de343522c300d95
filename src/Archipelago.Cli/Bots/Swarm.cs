namespace Archipelago.Cli.Bots;

/// <summary>Which bots, where to, and for how long.</summary>
/// <param name="Url">Where clients connect.</param>
/// <param name="Count">How many.</param>
/// <param name="Duration">Until they leave; infinite to stay until cancelled.</param>
/// <param name="Seed">Decides where they walk.</param>
/// <param name="Reconnect">Whether a bot that lost its connection comes back.</param>
/// <param name="Stand">Whether they stay where they are.</param>
internal sealed record SwarmOptions(Uri Url, int Count, TimeSpan Duration, int Seed, bool Reconnect = false, bool Stand = false);

/// <summary>Many bots at once.</summary>
internal static class Swarm
{
    /// <summary>Handshakes at the same time: signing is work, and it should not starve those who walk already.</summary>
    private const int HandshakesAtOnce = 32;

    /// <summary>Lets the bots live until the time is over or the token is cancelled.</summary>
    public static async Task<SwarmSummary> RunAsync(SwarmOptions options, SwarmProgress progress, CancellationToken cancellationToken)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        ending.CancelAfter(options.Duration);
        Bot[] bots = Create(options);
        Task showing = progress.ShowAsync(bots, ending.Token);
        await RunAsync(bots, options.Url, ending.Token);
        await ending.CancelAsync();
        await showing;
        return Summarize(bots);
    }

    public static Bot[] Create(SwarmOptions options) =>
        [.. Enumerable.Range(0, options.Count).Select(i => new Bot(HashCode(options.Seed, i), TimeProvider.System, options.Reconnect, stands: options.Stand))];

    /// <summary>Lets these bots live until the token is cancelled.</summary>
    public static async Task RunAsync(Bot[] bots, Uri url, CancellationToken cancellationToken)
    {
        using var entrance = new SemaphoreSlim(HandshakesAtOnce);
        await Task.WhenAll(bots.Select(bot => EnterAsync(bot, url, entrance, cancellationToken)));
    }

    private static async Task EnterAsync(Bot bot, Uri url, SemaphoreSlim entrance, CancellationToken cancellationToken)
    {
        try
        {
            await entrance.WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            return;
        }
        Task life = Task.Run(() => bot.RunAsync(url, cancellationToken), CancellationToken.None);
        await bot.Entered;
        entrance.Release();
        await life;
    }

    public static SwarmSummary Summarize(Bot[] bots) => new(
        bots.Length,
        bots.Count(b => b.Connected),
        bots.Count(b => b.Welcomed),
        bots.Count(b => b.Island is not null),
        Latency.Of(bots.Select(b => b.FirstIslandMs).OfType<double>()),
        bots.Sum(b => b.Heartbeats),
        bots.Sum(b => b.IslandChanges),
        bots.Count(b => b.Kicked),
        bots.Count(b => b.Error is not null),
        bots.Select(b => b.Error).FirstOrDefault(e => e is not null));

    private static int HashCode(int seed, int bot) => unchecked((seed * 1_000_003) + bot);
}
