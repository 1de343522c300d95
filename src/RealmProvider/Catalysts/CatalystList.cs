using System.Text.Json;
using Archipelago.Hosting;

namespace Archipelago.RealmProvider.Catalysts;

/// <summary>
/// Which catalysts there are: those of the configuration, or those of the DAO's contract, read once a day. While the contract cannot be read the last list stands, from a
/// file where one is configured, and it is tried again sooner.
/// </summary>
internal sealed partial class CatalystList : BackgroundService
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromHours(24), FirstRetry = TimeSpan.FromSeconds(10), LastRetry = TimeSpan.FromMinutes(10), TimeLimit = TimeSpan.FromSeconds(20), FirstPatience = TimeSpan.FromSeconds(3);

    private sealed record Saved(string Network, DateTimeOffset ReadAt, string[] Catalysts);

    private readonly RealmProviderOptions options;
    private readonly DaoContract? contract;
    private readonly TimeProvider clock;
    private readonly ILogger<CatalystList> log;
    private volatile IReadOnlyList<string> urls;
    private readonly TaskCompletionSource tried = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TimeSpan retry = FirstRetry;
    private long due;

    /// <summary>Makes one.</summary>
    /// <param name="options">The configuration.</param>
    /// <param name="contract">The contract; null where the configuration has the list.</param>
    /// <param name="clock">Tells when it is time again.</param>
    /// <param name="log">Hears of failures.</param>
    public CatalystList(RealmProviderOptions options, DaoContract? contract, TimeProvider clock, ILogger<CatalystList> log)
    {
        (this.options, this.contract, this.clock, this.log) = (options, contract, clock, log);
        urls = options.Catalysts;
    }

    /// <summary>The URLs, in order.</summary>
    public IReadOnlyList<string> Urls => urls;

    /// <summary>Called when the list is another.</summary>
    public event Action Changed = static () => { };

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        if (contract is not null)
            Load();
        await base.StartAsync(cancellationToken);
        // A list that is known already need not be waited for, nor any for long.
        if (contract is not null && urls.Count == 0)
            await Task.WhenAny(tried.Task, Task.Delay(FirstPatience, cancellationToken));
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (contract is not null)
        {
            TimeSpan left = clock.GetElapsedTime(clock.GetTimestamp(), due);
            if (left > TimeSpan.Zero)
                await Task.Delay(left, clock, stoppingToken);
            await RefreshAsync(stoppingToken);
            tried.TrySetResult();
        }
    }

    private async Task RefreshAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            limit.CancelAfter(TimeLimit);
            IReadOnlyList<string> read = await contract!.ReadAsync(limit.Token);
            if (read.Count == 0)
                throw new InvalidDataException("it is empty");
            RefreshIn(Lifetime);
            retry = FirstRetry;
            bool differs = !read.SequenceEqual(urls, StringComparer.Ordinal);
            urls = read;
            Save(read);
            if (differs)
                Changed();
        }
        catch (Exception e) when (e is InvalidDataException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            RefreshIn(retry);
            LogUnread(log, e is InvalidDataException ? e.Message : "it takes too long", urls.Count, retry.TotalSeconds);
            retry = retry * 2 < LastRetry ? retry * 2 : LastRetry;
        }
    }

    private void RefreshIn(TimeSpan time) => due = clock.GetTimestamp() + (long)(time.TotalSeconds * clock.TimestampFrequency);

    private void Load()
    {
        if (options.CatalystListFile is not { } file || !File.Exists(file))
            return;
        try
        {
            Saved? saved = JsonSerializer.Deserialize<Saved>(File.ReadAllBytes(file));
            if (saved?.Catalysts is not { } catalysts || saved.Network != options.Network || Array.Exists(catalysts, c => DaoContract.ToUrl(c ?? "") != c))
                throw new JsonException($"it is no list of catalysts of {options.Network}");
            urls = catalysts;
            TimeSpan age = clock.GetUtcNow() - saved.ReadAt;
            // One that was read in the future was read by a clock that cannot be believed.
            RefreshIn(age < TimeSpan.Zero || age > Lifetime ? TimeSpan.Zero : Lifetime - age);
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            LogUnusable(log, file, e.Message);
        }
    }

    private void Save(IReadOnlyList<string> read)
    {
        if (options.CatalystListFile is not { } file)
            return;
        try
        {
            // Whole or not at all.
            File.WriteAllBytes(file + ".new", JsonSerializer.SerializeToUtf8Bytes(new Saved(options.Network, clock.GetUtcNow(), [.. read])));
            File.Move(file + ".new", file, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogUnusable(log, file, e.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The list of catalysts cannot be read: {Reason}. The {Count} known before stay; tried again in {Seconds} s. Check ETH_RPC_URL and ETH_NETWORK.")]
    private static partial void LogUnread(ILogger log, string reason, int count, double seconds);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The file {File} is not used: {Reason}. Check CATALYST_LIST_FILE.")]
    private static partial void LogUnusable(ILogger log, string file, string reason);
}
