using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;

namespace Archipelago.Hosting;

/// <summary>
/// What holds for every request of a host, whatever it asks for: headers for other origins, OPTIONS, 404, 405 and 500, and the request metrics.
/// </summary>
internal sealed partial class RequestRules
{
    private readonly HttpStyle style;
    private readonly string metricsPath;
    private readonly ILogger log;
    private readonly LogThrottle throttle;
    private readonly RequestMetrics metrics;

    public RequestRules(HttpStyle style, string scope, RequestMetrics metrics, ILoggerFactory logs, LogThrottle throttle, string metricsPath)
    {
        this.throttle = throttle;
        this.style = style;
        this.metricsPath = metricsPath;
        log = logs.CreateLogger(scope);
        this.metrics = metrics;
    }

    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        long start = Stopwatch.GetTimestamp();
        AllowOrigin(context);
        // A WebSocket lives for hours; what is measured of it is the time until it was accepted.
        context.Response.OnStarting(() =>
        {
            if (context.Response.StatusCode == StatusCodes.Status101SwitchingProtocols)
                Measure(context, Stopwatch.GetElapsedTime(start));
            return Task.CompletedTask;
        });
        try
        {
            if (HttpMethods.IsOptions(context.Request.Method) && style != HttpStyle.Connector)
                Preflight(context);
            else
                await next(context);
            await ExplainAsync(context);
        }
        catch (Exception e) when (!context.Response.HasStarted && !context.RequestAborted.IsCancellationRequested)
        {
            if (throttle.ShouldLog("failed request", out long suppressed))
                LogFailure(log, context.Request.Method, context.Request.Path, suppressed, e);
            await FailAsync(context);
        }
        if (context.Response.StatusCode != StatusCodes.Status101SwitchingProtocols)
            Measure(context, Stopwatch.GetElapsedTime(start));
    }

    private void AllowOrigin(HttpContext context)
    {
        IHeaderDictionary headers = context.Response.Headers;
        StringValues origin = Echoable(context.Request.Headers.Origin);
        if (style == HttpStyle.Connector || (style == HttpStyle.Public && origin.Count > 0))
        {
            headers.AccessControlAllowOrigin = "*";
        }
        else if (style == HttpStyle.Credentialed && origin.Count > 0)
        {
            headers.AccessControlAllowOrigin = origin;
            headers.AccessControlAllowCredentials = "true";
            headers.Vary = "Origin";
        }
    }

    private void Preflight(HttpContext context)
    {
        IHeaderDictionary headers = context.Response.Headers;
        context.Response.StatusCode = StatusCodes.Status204NoContent;
        if (style == HttpStyle.Public)
        {
            headers.AccessControlAllowOrigin = "*";
            headers.AccessControlMaxAge = "36000";
            headers.Vary = "Access-Control-Request-Headers";
            StringValues asked = Echoable(context.Request.Headers.AccessControlRequestHeaders);
            if (asked.Count > 0)
                headers.AccessControlAllowHeaders = asked;
            return;
        }
        headers.AccessControlAllowMethods = "GET,HEAD,POST,PUT,DELETE,CONNECT,TRACE,PATCH";
        headers.AccessControlAllowHeaders = "Cache-Control,Content-Type,Origin,Accept,User-Agent,X-Upload-Origin";
        headers.AccessControlAllowCredentials = "true";
        headers.AccessControlMaxAge = "86400";
    }

    /// <summary>A header may come with characters that none may be answered with; such a one counts as absent.</summary>
    private static StringValues Echoable(StringValues values) =>
        values.All(v => v is null || v.All(c => c is >= ' ' and <= '~')) ? values : StringValues.Empty;

    /// <summary>Gives answers that no route gave their body: unknown path, wrong method.</summary>
    private Task ExplainAsync(HttpContext context)
    {
        if (context.Response.HasStarted)
            return Task.CompletedTask;
        bool routed = context.GetEndpoint()?.Metadata.GetMetadata<RoutePatternName>() is not null;
        if (context.Response.StatusCode == StatusCodes.Status405MethodNotAllowed && style != HttpStyle.Connector)
        {
            context.Response.Headers.Allow = "HEAD, GET";
            return Task.CompletedTask;
        }
        if ((routed && style != HttpStyle.Connector) || context.Response.StatusCode is not (StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed))
            return Task.CompletedTask;
        if (style == HttpStyle.Connector)
            return Json.WriteErrorAsync(context, StatusCodes.Status404NotFound, "Not Found");
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync("Not found");
    }

    private Task FailAsync(HttpContext context)
    {
        context.Response.Clear();
        context.Response.StatusCode = StatusCodes.Status500InternalServerError;
        return style == HttpStyle.Public
            ? Json.WriteErrorAsync(context, StatusCodes.Status500InternalServerError, "Internal Server Error")
            : Task.CompletedTask;
    }

    private void Measure(HttpContext context, TimeSpan elapsed)
    {
        string handler = context.GetEndpoint()?.Metadata.GetMetadata<RoutePatternName>()?.Pattern ?? "";
        if (style == HttpStyle.Connector && handler == metricsPath)
            return;
        string method = Known(context.Request.Method);
        metrics.Measure(style == HttpStyle.Connector ? method.ToLowerInvariant() : method, handler, context.Response.StatusCode, elapsed);
    }

    /// <summary>Clients may invent methods; labels must not grow with them.</summary>
    private static string Known(string method) =>
        method is "GET" or "HEAD" or "POST" or "PUT" or "DELETE" or "OPTIONS" or "PATCH" or "CONNECT" or "TRACE" ? method : "OTHER";

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} {Path} failed. {Suppressed} more failures were not logged.")]
    private static partial void LogFailure(ILogger log, string method, string path, long suppressed, Exception e);
}
