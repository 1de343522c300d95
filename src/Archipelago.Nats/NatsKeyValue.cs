using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Archipelago.Messaging;

namespace Archipelago.Nats;

/// <summary>How a bucket is made where it is missing. One that is there is used as it is.</summary>
/// <param name="Bucket">Its name: letters, digits, dashes and underscores.</param>
public sealed record NatsKeyValueOptions(string Bucket)
{
    /// <summary>Servers of a cluster that keep a copy, 1 to 5, so that a majority of them is enough to go on. Default 1.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Whether it is kept in memory alone, and lost when all of its servers end. Default false: in files.</summary>
    public bool InMemory { get; init; }

    /// <summary>After so long an entry is forgotten; zero, the default, for never.</summary>
    public TimeSpan MaxAge { get; init; }

    /// <summary>The cluster that keeps it; null, the default, for any.</summary>
    public string? Cluster { get; init; }

    /// <summary>Tags that the servers that keep it must have. Default none.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];

    /// <summary>How long to wait for an answer of the server. Default 2 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(2);
}

/// <summary>An entry of a bucket.</summary>
/// <param name="Key">Its name.</param>
/// <param name="Value">Its bytes.</param>
/// <param name="Revision">Its number among all that was ever written to the bucket, from 1.</param>
/// <param name="Created">When the server took it.</param>
public sealed record NatsKeyValueEntry(string Key, byte[] Value, long Revision, DateTimeOffset Created);

/// <summary>JetStream refused something, or is not there.</summary>
public sealed class NatsJetStreamException : NatsException
{
    /// <summary>Makes one.</summary>
    /// <param name="code">The server's number for the error (NATS ADR-7); 0 when it has none.</param>
    /// <param name="message">What is wrong.</param>
    /// <param name="inner">What it came of.</param>
    public NatsJetStreamException(int code, string message, Exception? inner = null)
        : base(message, inner) => Code = code;

    /// <summary>The server's number for the error (NATS ADR-7); 0 when it has none.</summary>
    public int Code { get; }
}

/// <summary>
/// A bucket of keys and values in JetStream, which its servers agree on by Raft (NATS ADR-8): as much of it as it takes to decide who is first. Every write has a revision that is
/// larger than all before it, and can be made to depend on the revision that is there. Any thread.
/// </summary>
/// <remarks>
/// A write whose answer does not come (<see cref="TimeoutException"/>) may have been made or not; read to find out. While the server is out of reach nothing is kept for later, so a
/// write is never made after its caller has been told that it was not sent.
/// </remarks>
public sealed partial class NatsKeyValue
{
    private const int WrongLastSequence = 10071, StreamNameInUse = 10058, NoMessageFound = 10037;
    private const string ExpectedSequence = "Nats-Expected-Last-Subject-Sequence";

    private readonly NatsConnection connection;
    private readonly NatsKeyValueOptions options;
    private readonly string stream;

    private NatsKeyValue(NatsConnection connection, NatsKeyValueOptions options)
    {
        (this.connection, this.options) = (connection, options);
        stream = "KV_" + options.Bucket;
    }

    /// <summary>Opens a bucket, and makes it where it is missing.</summary>
    /// <param name="connection">A connection, which outlives the bucket.</param>
    /// <param name="options">Which bucket, and how it is made.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    /// <exception cref="NatsJetStreamException">The server has no JetStream, or refuses to make the bucket.</exception>
    /// <exception cref="NatsException">There is no connection now.</exception>
    /// <exception cref="TimeoutException">No answer came in time.</exception>
    public static async Task<NatsKeyValue> OpenAsync(NatsConnection connection, NatsKeyValueOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(connection);
        ArgumentNullException.ThrowIfNull(options);
        if (!Name().IsMatch(options.Bucket))
            throw new ArgumentException($"\"{options.Bucket}\" is no name of a bucket: letters, digits, dashes and underscores.");
        if (options.Replicas is < 1 or > 5)
            throw new ArgumentException($"Replicas is {options.Replicas}; it is from 1 to 5.");
        var bucket = new NatsKeyValue(connection, options);
        try
        {
            (await bucket.AskAsync($"$JS.API.STREAM.CREATE.{bucket.stream}", bucket.Configuration(), default, cancellationToken)).Dispose();
        }
        catch (NatsJetStreamException e) when (e.Code == StreamNameInUse)
        {
            // It is there, made by others, with other options than ours.
        }
        return bucket;
    }

    /// <summary>What a key has now, as the leader of the bucket's servers knows it; null when it has nothing.</summary>
    /// <exception cref="NatsException">There is no connection now, or the server refuses.</exception>
    /// <exception cref="TimeoutException">No answer came in time.</exception>
    public async Task<NatsKeyValueEntry?> GetAsync(string key, CancellationToken cancellationToken = default) =>
        await FindAsync(key, cancellationToken) is { IsDeleted: false } found ? found.Entry : null;

    /// <summary>Writes, whatever is there.</summary>
    /// <returns>The revision.</returns>
    /// <exception cref="NatsException">There is no connection now, or the server refuses.</exception>
    /// <exception cref="TimeoutException">No answer came in time: it may have been written or not.</exception>
    public async Task<long> PutAsync(string key, ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default) =>
        await WriteAsync(key, value, default, cancellationToken);

    /// <summary>Writes if the key has this revision.</summary>
    /// <param name="key">Which.</param>
    /// <param name="value">What.</param>
    /// <param name="revision">The revision that must be there; 0 when nothing must be there.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The new revision; null when another is there, and nothing was written.</returns>
    /// <exception cref="NatsException">There is no connection now, or the server refuses.</exception>
    /// <exception cref="TimeoutException">No answer came in time: it may have been written or not.</exception>
    public async Task<long?> TryUpdateAsync(string key, ReadOnlyMemory<byte> value, long revision, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(revision);
        if (await TryWriteAsync(key, value, revision, cancellationToken) is { } written)
            return written;
        // What was deleted leaves a mark, which has a revision of its own.
        return revision == 0 && await FindAsync(key, cancellationToken) is { IsDeleted: true } mark
            ? await TryWriteAsync(key, value, mark.Entry.Revision, cancellationToken)
            : null;
    }

    private async Task<long?> TryWriteAsync(string key, ReadOnlyMemory<byte> value, long revision, CancellationToken cancellationToken)
    {
        try
        {
            return await WriteAsync(key, value, BusHeaders.Of(ExpectedSequence, revision.ToString(CultureInfo.InvariantCulture)), cancellationToken);
        }
        catch (NatsJetStreamException e) when (e.Code == WrongLastSequence)
        {
            return null;
        }
    }

    private async Task<long> WriteAsync(string key, ReadOnlyMemory<byte> value, ReadOnlyMemory<byte> headers, CancellationToken cancellationToken)
    {
        using JsonDocument answer = await AskAsync(SubjectOf(key), value, headers, cancellationToken);
        return answer.RootElement.GetProperty("seq").GetInt64();
    }

    private async Task<(NatsKeyValueEntry Entry, bool IsDeleted)?> FindAsync(string key, CancellationToken cancellationToken)
    {
        byte[] question = Json(json => json.WriteString("last_by_subj", SubjectOf(key)));
        try
        {
            using JsonDocument answer = await AskAsync($"$JS.API.STREAM.MSG.GET.{stream}", question, default, cancellationToken);
            JsonElement message = answer.RootElement.GetProperty("message");
            byte[] value = message.TryGetProperty("data", out JsonElement data) ? data.GetBytesFromBase64() : [];
            byte[] headers = message.TryGetProperty("hdrs", out JsonElement block) ? block.GetBytesFromBase64() : [];
            bool isDeleted = BusHeaders.TryGet(headers, "KV-Operation"u8, out ReadOnlySpan<byte> operation) && (operation.SequenceEqual("DEL"u8) || operation.SequenceEqual("PURGE"u8));
            return (new NatsKeyValueEntry(key, value, message.GetProperty("seq").GetInt64(), message.GetProperty("time").GetDateTimeOffset()), isDeleted);
        }
        catch (NatsJetStreamException e) when (e.Code == NoMessageFound)
        {
            return null;
        }
    }

    /// <summary>Asks the server, which answers in JSON.</summary>
    private async Task<JsonDocument> AskAsync(string subject, ReadOnlyMemory<byte> payload, ReadOnlyMemory<byte> headers, CancellationToken cancellationToken)
    {
        if (connection.State != NatsState.Connected)
            throw new NatsException($"The bucket {options.Bucket} is out of reach: there is no connection to NATS now.", connection.LastFailure);
        NatsReply reply;
        try
        {
            reply = await connection.RequestAsync(subject, payload, options.Timeout, headers, cancellationToken, WhenDisconnected.Drop);
        }
        catch (NatsNoRespondersException e)
        {
            throw new NatsJetStreamException(0, $"Nobody answers for the bucket {options.Bucket}: the NATS server has no JetStream (nats-server -js), this account may not use it, or no leader is there yet.", e);
        }
        JsonDocument answer = Parse(reply.Payload);
        if (!answer.RootElement.TryGetProperty("error", out JsonElement error))
            return answer;
        int code = error.TryGetProperty("err_code", out JsonElement number) ? number.GetInt32() : 0;
        string? description = error.TryGetProperty("description", out JsonElement text) ? text.GetString() : null;
        answer.Dispose();
        throw new NatsJetStreamException(code, $"JetStream refuses {subject}: {description ?? "it does not say why"} ({code}).");
    }

    private static JsonDocument Parse(byte[] payload)
    {
        try
        {
            return JsonDocument.Parse(payload);
        }
        catch (JsonException e)
        {
            throw new NatsJetStreamException(0, $"JetStream answers with something that is no JSON: {Encoding.UTF8.GetString(payload.AsSpan(0, Math.Min(80, payload.Length)))}", e);
        }
    }

    private string SubjectOf(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        if (!Key().IsMatch(key))
            throw new ArgumentException($"\"{key}\" is no key: letters, digits and -/_=. with no dot at its ends.", nameof(key));
        return $"$KV.{options.Bucket}.{key}";
    }

    private byte[] Configuration() => Json(json =>
    {
        json.WriteString("name", stream);
        json.WriteStartArray("subjects");
        json.WriteStringValue($"$KV.{options.Bucket}.>");
        json.WriteEndArray();
        json.WriteNumber("max_msgs_per_subject", 1);
        json.WriteNumber("max_age", options.MaxAge.Ticks * 100);
        json.WriteString("storage", options.InMemory ? "memory" : "file");
        json.WriteString("discard", "new");
        json.WriteNumber("num_replicas", options.Replicas);
        json.WriteBoolean("allow_rollup_hdrs", true);
        json.WriteBoolean("deny_delete", true);
        json.WriteBoolean("allow_direct", true);
        if (options.Cluster is null && options.Tags.Count == 0)
            return;
        json.WriteStartObject("placement");
        json.WriteString("cluster", options.Cluster ?? "");
        json.WriteStartArray("tags");
        foreach (string tag in options.Tags)
            json.WriteStringValue(tag);
        json.WriteEndArray();
        json.WriteEndObject();
    });

    private static byte[] Json(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }
        return buffer.WrittenSpan.ToArray();
    }

    [GeneratedRegex("^[A-Za-z0-9_-]+$")]
    private static partial Regex Name();

    [GeneratedRegex(@"^[-/_=A-Za-z0-9]+(\.[-/_=A-Za-z0-9]+)*$")]
    private static partial Regex Key();
}
