using System.Buffers;
using System.Text.Json;

namespace Archipelago.Ethereum;

/// <summary>How hard an <see cref="EthereumNode"/> is asked.</summary>
public sealed record EthereumNodeOptions
{
    /// <summary>How long a question may take, its wait for a free place included.</summary>
    public TimeSpan TimeLimit { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Questions under way at once; more wait.</summary>
    public int MaxInFlight { get; init; } = 16;

    /// <summary>Questions that may wait; more fail at once, so that a node that hangs collects no crowd.</summary>
    public int MaxWaiting { get; init; } = 256;

    /// <summary>The longest answer, in bytes.</summary>
    public int MaxAnswer { get; init; } = 256 * 1024;
}

/// <summary>
/// Asks an Ethereum node over JSON-RPC (EIP-1474), within a time limit and with a bounded number of questions under way. Every answer is verified: the version,
/// the number of the question and the form of the result. Any thread.
/// </summary>
public sealed class EthereumNode : IDisposable
{
    private readonly Uri url;
    private readonly EthereumNodeOptions options;
    private readonly HttpClient http;
    private readonly SemaphoreSlim places;
    private long lastId;
    private int waiting;

    /// <summary>Makes one; nobody is asked yet.</summary>
    /// <param name="url">Where the node answers.</param>
    /// <param name="options">The limits; null for the defaults.</param>
    /// <param name="handler">Carries the requests; null for the platform's. Disposed with the node.</param>
    public EthereumNode(Uri url, EthereumNodeOptions? options = null, HttpMessageHandler? handler = null)
    {
        this.url = url;
        this.options = options ?? new EthereumNodeOptions();
        http = new HttpClient(handler ?? new SocketsHttpHandler { AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.FromMinutes(5) })
        {
            Timeout = Timeout.InfiniteTimeSpan,
            MaxResponseContentBufferSize = this.options.MaxAnswer,
        };
        places = new SemaphoreSlim(this.options.MaxInFlight);
    }

    /// <summary>Questions asked so far, answered or not.</summary>
    public long Asked => Interlocked.Read(ref lastId);

    /// <summary><c>eth_call</c>: what a contract answers to this data.</summary>
    /// <param name="to">The contract's address.</param>
    /// <param name="data">The call: selector and arguments.</param>
    /// <param name="block">A block number as a hexadecimal quantity, or <c>latest</c>.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Whether a proper answer came in time, and the bytes; null when the node answers with an error, such as that the call was reverted.</returns>
    public async Task<(bool Answered, byte[]? Result)> CallAsync(string to, ReadOnlyMemory<byte> data, string block, CancellationToken cancellationToken)
    {
        string text = "0x" + Convert.ToHexStringLower(data.Span);
        (bool answered, string? result) = await AskAsync(
            "eth_call",
            json =>
            {
                json.WriteStartObject();
                json.WriteString("to", to);
                json.WriteString("data", text);
                json.WriteEndObject();
                json.WriteStringValue(block);
            },
            cancellationToken);
        return result is { Length: var length } && length % 2 != 0 ? (false, null) : (answered, result is null ? null : Convert.FromHexString(result.AsSpan(2)));
    }

    /// <summary><c>eth_blockNumber</c>: the newest block's number as a hexadecimal quantity; null when no proper answer came in time.</summary>
    public async Task<string?> BlockNumberAsync(CancellationToken cancellationToken) => (await AskAsync("eth_blockNumber", static _ => { }, cancellationToken)).Result;

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    /// <summary>
    /// Takes the result out of an answer: a text of <c>0x</c> and hexadecimal digits, or nothing where the node tells of an error. Never throws for what the bytes hold.
    /// </summary>
    /// <returns>False when it is no proper answer to this question.</returns>
    internal static bool TryReadAnswer(ReadOnlyMemory<byte> answer, long id, out string? result)
    {
        result = null;
        try
        {
            using JsonDocument document = JsonDocument.Parse(answer);
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object
                || !root.TryGetProperty("jsonrpc", out JsonElement version) || version.ValueKind != JsonValueKind.String || !version.ValueEquals("2.0")
                || !root.TryGetProperty("id", out JsonElement number) || number.ValueKind != JsonValueKind.Number || !number.TryGetInt64(out long answered) || answered != id)
                return false;
            if (root.TryGetProperty("error", out JsonElement error) && error.ValueKind != JsonValueKind.Null)
                return error.ValueKind == JsonValueKind.Object;
            if (!root.TryGetProperty("result", out JsonElement value) || value.ValueKind != JsonValueKind.String)
                return false;
            string text = value.GetString()!;
            if (!text.StartsWith("0x", StringComparison.Ordinal) || text.AsSpan(2).IndexOfAnyExcept(EthereumAddress.HexDigits) >= 0)
                return false;
            result = text;
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a text with a lone surrogate.
            return false;
        }
    }

    private async Task<(bool Answered, string? Result)> AskAsync(string method, Action<Utf8JsonWriter> writeParameters, CancellationToken cancellationToken)
    {
        if (Interlocked.Increment(ref waiting) > options.MaxWaiting + options.MaxInFlight)
        {
            Interlocked.Decrement(ref waiting);
            return default;
        }
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(options.TimeLimit);
        bool holdsPlace = false;
        try
        {
            await places.WaitAsync(limit.Token);
            holdsPlace = true;
            long id = Interlocked.Increment(ref lastId);
            using var content = new ReadOnlyMemoryContent(Request(id, method, writeParameters));
            content.Headers.ContentType = new("application/json");
            using HttpResponseMessage response = await http.PostAsync(url, content, limit.Token);
            return response.IsSuccessStatusCode && TryReadAnswer(await response.Content.ReadAsByteArrayAsync(limit.Token), id, out string? result) ? (true, result) : default;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or ObjectDisposedException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return default;
        }
        finally
        {
            if (holdsPlace)
                places.Release();
            Interlocked.Decrement(ref waiting);
        }
    }

    private static ReadOnlyMemory<byte> Request(long id, string method, Action<Utf8JsonWriter> writeParameters)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("jsonrpc", "2.0");
            json.WriteNumber("id", id);
            json.WriteString("method", method);
            json.WriteStartArray("params");
            writeParameters(json);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return buffer.WrittenMemory;
    }
}
