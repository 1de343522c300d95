using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Archipelago.Hosting;

/// <summary>Writes JSON answers straight into the response.</summary>
public static class Json
{
    // JavaScript's JSON.stringify, whose output the clients of these APIs know, escapes only what must be; the content type keeps browsers from reading it as markup.
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

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
        await using (var json = new Utf8JsonWriter(context.Response.BodyWriter, Options))
            write(json);
        await context.Response.BodyWriter.FlushAsync(context.RequestAborted);
    }

    /// <summary>Writes a float as JavaScript would show it: widened to double, shortest text that reads back the same; null when it is not finite.</summary>
    public static void WriteNumber(this Utf8JsonWriter json, double value)
    {
        ArgumentNullException.ThrowIfNull(json);
        if (!double.IsFinite(value))
            json.WriteNullValue();
        else if (Math.Abs(value) < 1e15 && value == Math.Floor(value))
            json.WriteNumberValue((long)value);
        else
            json.WriteNumberValue(value);
    }
}
