using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Archipelago.Hosting;

/// <summary>A part of a host that can say whether it is ready to serve.</summary>
/// <param name="Name">Its name in the answer of <c>/health/ready</c>.</param>
/// <param name="IsReady">Asked on each request; must be quick and not throw.</param>
public sealed record ReadinessCheck(string Name, Func<bool> IsReady);

/// <summary>Answers <c>/health/live</c>, <c>/health/ready</c> and <c>/health/startup</c>.</summary>
internal sealed class Health(IEnumerable<ReadinessCheck> checks)
{
    private readonly ReadinessCheck[] checks = [.. checks];

    /// <summary>Set when all parts have been started, cleared when the host begins to stop.</summary>
    public bool Started { get; set; }

    public Task LiveAsync(HttpContext context)
    {
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync("alive");
    }

    public Task StartupAsync(HttpContext context) => AnswerAsync(context, []);

    public Task ReadyAsync(HttpContext context) => AnswerAsync(context, checks);

    private Task AnswerAsync(HttpContext context, ReadinessCheck[] asked)
    {
        var details = new List<(string Name, bool Pass)> { ("server", Started) };
        details.AddRange(asked.Select(c => (c.Name, c.IsReady())));
        bool pass = details.TrueForAll(d => d.Pass);
        return Json.WriteAsync(
            context,
            pass ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable,
            json => Write(json, details, pass),
            "application/health+json; charset=utf-8");
    }

    private static void Write(Utf8JsonWriter json, List<(string Name, bool Pass)> details, bool pass)
    {
        json.WriteStartObject();
        json.WriteStartObject("details");
        foreach ((string name, bool ok) in details)
        {
            json.WriteStartObject(name);
            json.WriteString("status", ok ? "pass" : "fail");
            json.WriteEndObject();
        }
        json.WriteEndObject();
        json.WriteString("status", pass ? "pass" : "fail");
        json.WriteEndObject();
    }
}
