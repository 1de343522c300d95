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
/// <param name="throttle">Keeps failures from flooding the log.</param>
/// <param name="log">Hears of failures.</param>
internal sealed partial class LiveStream(
    LiveWorld live, StatsOptions options, TimeProvider clock, IHostApplicationLifetime lifetime, LogThrottle throttle, ILogger<LiveStream> log) : BackgroundService
{
    private const int MostWaiting = 8, Slice = 32 * 1024;

    // Whoever needs longer for one frame is as good as gone, and would keep it in memory.
    private static readonly TimeSpan LongestFrame = TimeSpan.FromSeconds(30);

    // A stream that says nothing is taken for dead by what stands between.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(15);
    private static readonly byte[] SignOfLife = ": here\n\n"u8.ToArray();

    private sealed class Reader
    {
        public Channel<byte[]> Frames { get; } = Channel.CreateBounded<byte[]>(new BoundedChannelOptions(MostWaiting) { SingleReader = true });

        public bool NeedsWhole { get; set; } = true;
    }

    private readonly PeriodicTimer beat = new(options.StreamPeriod, clock);
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
                await WriteAsync(http, frame, end.Token);
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested && !lifetime.ApplicationStopping.IsCancellationRequested)
        {
            // It does not read.
            http.Abort();
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

    public override void Dispose()
    {
        beat.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (await beat.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                lock (telling)
                    Tell();
            }
#pragma warning disable CA1031 // A picture that fails must not end the host that answers everybody else.
            catch (Exception e)
#pragma warning restore CA1031
            {
                if (throttle.ShouldLog("live stream", out long suppressed))
                    LogFailed(log, suppressed, e);
            }
        }
    }

    /// <summary>Writes a frame slice by slice, so that no more of it waits than the connection takes.</summary>
    private static async Task WriteAsync(HttpContext http, byte[] frame, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(LongestFrame);
        for (int at = 0; at < frame.Length; at += Slice)
        {
            await http.Response.Body.WriteAsync(frame.AsMemory(at, Math.Min(Slice, frame.Length - at)), limit.Token);
            await http.Response.Body.FlushAsync(limit.Token);
        }
    }

    private Reader? Join()
    {
        lock (telling)
        {
            if (readers.Count >= options.MaxStreams)
                return null;
            // It need not wait for the beat. Others keep theirs: who comes is told what they know, and hears with them what is new.
            if (readers.Count == 0)
                live.Advance();
            var reader = new Reader();
            reader.NeedsWhole = !reader.Frames.Writer.TryWrite(live.Whole());
            readers.Add(reader);
            return reader;
        }
    }

    private void Tell()
    {
        if (readers.Count == 0)
            return;
        byte[]? frame = live.Advance();
        if (frame is null && clock.GetElapsedTime(toldAt) >= LongestSilence)
            frame = SignOfLife;
        if (frame is not null)
            toldAt = clock.GetTimestamp();
        foreach (Reader reader in readers)
        {
            if (reader.NeedsWhole && reader.Frames.Reader.Count == 0)
            {
                reader.NeedsWhole = !reader.Frames.Writer.TryWrite(live.Whole());
            }
            else if (!reader.NeedsWhole && frame is not null && !reader.Frames.Writer.TryWrite(frame))
            {
                reader.NeedsWhole = true;
                resyncs++;
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "A frame of the live stream failed; this is a defect. {Suppressed} more were not logged.")]
    private static partial void LogFailed(ILogger log, long suppressed, Exception e);
}
