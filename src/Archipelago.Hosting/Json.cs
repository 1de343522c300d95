using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Archipelago.Hosting;

/// <summary>Writes JSON answers straight into the response.</summary>
public static class Json
{
    private const int PageSize = 32 * 1024;

    /// <summary>
    /// How answers escape texts: like JavaScript's <c>JSON.stringify</c>, whose output the clients of these APIs know, only what must be; the content type keeps browsers
    /// from reading it as markup.
    /// </summary>
    public static JavaScriptEncoder Encoder => JavaScriptEncoder.UnsafeRelaxedJsonEscaping;

    /// <summary>How answers are written.</summary>
    public static JsonWriterOptions WriterOptions { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Answers with JSON. A HEAD request gets the headers alone.</summary>
    /// <param name="context">The request.</param>
    /// <param name="status">The status code.</param>
    /// <param name="write">Writes one JSON value.</param>
    /// <param name="contentType">Without a charset by default, as in the services replaced.</param>
    public static async Task WriteAsync(HttpContext context, int status, Action<Utf8JsonWriter> write, string contentType = "application/json")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        if (HttpMethods.IsHead(context.Request.Method))
            return;
        await using (var json = new Utf8JsonWriter(context.Response.BodyWriter, WriterOptions))
            write(json);
        await context.Response.BodyWriter.FlushAsync(context.RequestAborted);
    }

    /// <summary>Answers with JSON of any size, of which no more than a page of some kilobytes waits to be sent. A HEAD request gets the headers alone.</summary>
    /// <param name="context">The request.</param>
    /// <param name="write">Writes one JSON value. Where it yields, what is written so far may be sent; what it yields is of no interest.</param>
    public static async Task WriteInPagesAsync(HttpContext context, Func<Utf8JsonWriter, IEnumerable<bool>> write)
    {
        context.Response.StatusCode = StatusCodes.Status200OK;
        context.Response.ContentType = "application/json";
        if (HttpMethods.IsHead(context.Request.Method))
            return;
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter, WriterOptions);
        long sent = 0;
        foreach (bool _ in write(json))
        {
            if (json.BytesCommitted + json.BytesPending - sent < PageSize)
                continue;
            json.Flush();
            sent = json.BytesCommitted;
            // A token would cost an allocation a page, and a client that goes ends the wait all the same.
            if ((await context.Response.BodyWriter.FlushAsync()).IsCompleted)
                return;
        }
        json.Flush();
        await context.Response.BodyWriter.FlushAsync();
    }

    /// <summary>Answers with <c>{"error": …}</c>.</summary>
    /// <param name="context">The request.</param>
    /// <param name="status">The status code.</param>
    /// <param name="message">What is wrong, and what to do.</param>
    public static Task WriteErrorAsync(HttpContext context, int status, string message) => WriteAsync(context, status, json =>
    {
        json.WriteStartObject();
        json.WriteString("error", message);
        json.WriteEndObject();
    });

    /// <summary>Writes a number as JavaScript would show it: a float widened to double, shortest text that reads back the same; null when it is not finite.</summary>
    public static void WriteNumber(this Utf8JsonWriter json, double value)
    {
        ArgumentNullException.ThrowIfNull(json);
        if (!double.IsFinite(value))
            json.WriteNullValue();
        else if (IsWhole(value))
            json.WriteNumberValue((long)value);
        else
            json.WriteNumberValue(value);
    }

    /// <summary>What <see cref="WriteNumber"/> writes, as bytes; returns how many they are, at most 32.</summary>
    /// <param name="to">Where to, at least 32 bytes.</param>
    /// <param name="value">The number.</param>
    public static int FormatNumber(Span<byte> to, double value)
    {
        if (!double.IsFinite(value))
        {
            "null"u8.CopyTo(to);
            return 4;
        }
        int length;
        _ = IsWhole(value)
            ? ((long)value).TryFormat(to, out length, provider: CultureInfo.InvariantCulture)
            : value.TryFormat(to, out length, provider: CultureInfo.InvariantCulture);
        return length;
    }

    private static bool IsWhole(double value) => Math.Abs(value) < 1e15 && value == Math.Floor(value);
}
