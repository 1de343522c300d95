using System.Text.Json;
using Archipelago.Nats;

namespace Archipelago.Service.Election;

/// <summary>The register on which Services agree. What it throws means that nobody knows whether anything came of it.</summary>
internal interface ILeaseStore
{
    /// <summary>Makes it ready for use.</summary>
    /// <returns>False when there is none, and there will be none.</returns>
    Task<bool> OpenAsync(CancellationToken cancellationToken);

    /// <summary>What is in it, and of which revision; nothing, and 0, where it is empty.</summary>
    Task<(long Revision, LeaseEntry? Entry)> ReadAsync(CancellationToken cancellationToken);

    /// <summary>Writes if it has this revision (0: if it is empty).</summary>
    /// <returns>The new revision; null when another is there, and nothing was written.</returns>
    Task<long?> TryWriteAsync(LeaseEntry entry, long revision, CancellationToken cancellationToken);
}

/// <summary>The register in a JetStream bucket.</summary>
internal sealed class JetStreamLeaseStore(NatsConnection connection, NatsKeyValueOptions options) : ILeaseStore
{
    private const string Key = "leader";

    private NatsKeyValue? bucket;

    public async Task<bool> OpenAsync(CancellationToken cancellationToken)
    {
        try
        {
            bucket ??= await NatsKeyValue.OpenAsync(connection, options, cancellationToken);
            return true;
        }
        catch (NatsJetStreamException e) when (e.Code is 0 or NotEnabled or NotEnabledForAccount)
        {
            return false;
        }
    }

    private const int NotEnabled = 10076, NotEnabledForAccount = 10039, StreamNotFound = 10059;

    public async Task<(long Revision, LeaseEntry? Entry)> ReadAsync(CancellationToken cancellationToken)
    {
        if (await OnBucketAsync(b => b.GetAsync(Key, cancellationToken)) is not { } found)
            return (0, null);
        try
        {
            using var json = JsonDocument.Parse(found.Value);
            JsonElement root = json.RootElement;
            return (found.Revision, new LeaseEntry(root.GetProperty("holder").GetString() ?? "", root.GetProperty("term").GetInt64()));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            // Somebody else's word in our place. It is nobody's lease; written over, terms go on by what the bus has told.
            return (found.Revision, new LeaseEntry("", 0));
        }
    }

    public Task<long?> TryWriteAsync(LeaseEntry entry, long revision, CancellationToken cancellationToken) =>
        OnBucketAsync(b => b.TryUpdateAsync(Key, JsonSerializer.SerializeToUtf8Bytes(new { holder = entry.Holder, term = entry.Term }), revision, cancellationToken));

    private async Task<T> OnBucketAsync<T>(Func<NatsKeyValue, Task<T>> act)
    {
        try
        {
            return await act(bucket ?? throw new NatsException("The bucket is not open yet."));
        }
        catch (NatsJetStreamException e) when (e.Code is 0 or StreamNotFound)
        {
            // It may be gone, with a server that kept it in memory: it is made again before the next step.
            bucket = null;
            throw;
        }
    }
}
