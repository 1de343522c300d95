using System.Threading.Channels;
using Archipelago.Hosting;
using Microsoft.AspNetCore.Http.Features;

namespace Archipelago.Stats.Live;

/// <summary>
/// <c>GET /stream</c>: the world as server-sent events (WHATWG HTML, section 9.2), first the whole, then what changes, a few times a second. A frame is made once for all
/// readers. For one that does not keep up no more than a few frames wait; when it has read them it is told the whole again.
/// </summary>
/// <param name="live">What has been told.</param>
/// <param name="options">How often, and to how many.</param>
/// <param name="clock">Makes the beat.</param>
/// <param name="lifetime">Ends the streams.</param>
internal sealed class LiveStream(LiveWorld live, StatsOptions options, TimeProvider clock, IHostApplicationLifetime lifetime) : BackgroundService
{
    private const int MostWaiting = 8;

    // A stream that says nothing is taken for dead by what stands between.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(15);
    private static readonly byte[] SignOfLife = ": here\n\n"u8.ToArray();

    private sealed class Reader
    {
        public Channel<byte[]> Frames { get; } = Channel.CreateBounded<byte[]>(new BoundedChannelOptions(MostWaiting) { SingleReader = true });

        public bool NeedsWhole { get; set; } = true;
    }

    private readonly Lock telling = new();
    private readonly HashSet<Reader> readers = [];
    private long toldAt;
    private long resyncs;

    /// <summary>Streams now.</summary>
    public int Count
    {
        get
        {
            lock (telling)
                return readers.Count;
        }
    }

    /// <summary>How often a reader did not keep up.</summary>
    public long Resyncs => Interlocked.Read(ref resyncs);

    public async Task AnswerAsync(HttpContext http)
    {
        http.Response.ContentType = "text/event-stream";
        http.Response.Headers.CacheControl = "no-store";
        if (HttpMethods.IsHead(http.Request.Method))
            return;
        if (Join() is not { } reader)
        {
            http.Response.Headers.RetryAfter = "10";
            await Json.WriteErrorAsync(http, StatusCodes.Status503ServiceUnavailable, $"There are {options.MaxStreams} streams already. Try again later, or raise MAX_STREAMS.");
            return;
        }
        try
        {
            http.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
            using var end = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, lifetime.ApplicationStopping);
            await foreach (byte[] frame in reader.Frames.Reader.ReadAllAsync(end.Token))
            {
                await http.Response.Body.WriteAsync(frame, end.Token);
                await http.Response.Body.FlushAsync(end.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // The client has gone, or the host goes.
        }
        finally
        {
            lock (telling)
                readers.Remove(reader);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.StreamPeriod, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            lock (telling)
                Tell();
    }

    private Reader? Join()
    {
        lock (telling)
        {
            if (readers.Count >= options.MaxStreams)
                return null;
            var reader = new Reader();
            readers.Add(reader);
            // It need not wait for the beat.
            Tell();
            return reader;
        }
    }

    private void Tell()
    {
        if (readers.Count == 0)
            return;
        byte[]? frame = live.Advance(), whole = null;
        if (frame is null && clock.GetElapsedTime(toldAt) >= LongestSilence)
            frame = SignOfLife;
        if (frame is not null)
            toldAt = clock.GetTimestamp();
        foreach (Reader reader in readers)
        {
            if (reader.NeedsWhole && reader.Frames.Reader.Count == 0)
            {
                whole ??= live.Whole();
                reader.NeedsWhole = !reader.Frames.Writer.TryWrite(whole);
            }
            else if (!reader.NeedsWhole && frame is not null && !reader.Frames.Writer.TryWrite(frame))
            {
                reader.NeedsWhole = true;
                resyncs++;
            }
        }
    }
}
