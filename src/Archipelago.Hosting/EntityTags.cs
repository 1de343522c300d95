using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;

namespace Archipelago.Hosting;

/// <summary>Conditional requests (RFC 9110, section 13): who has the state already is told so, and nothing more.</summary>
public static class EntityTags
{
    /// <summary>Names the state that an answer is about; true when the client has it, and the answer, 304, is complete.</summary>
    /// <param name="context">The request.</param>
    /// <param name="version">Names the state; read before the state itself, so that it is never newer than what is sent. Letters, digits and hyphens.</param>
    public static bool IsKnown(HttpContext context, string version)
    {
        ArgumentNullException.ThrowIfNull(context);
        // Weak: the bytes differ with the encoding, and by what came in while they were written.
        var tag = new EntityTagHeaderValue($"\"{version}\"", isWeak: true);
        context.Response.Headers.ETag = tag.ToString();
        context.Response.Headers.CacheControl = "no-cache";
        // Whoever keeps the answer must know what else it depends on.
        string vary = context.Response.Headers.Vary.ToString();
        context.Response.Headers.Vary = vary.Contains("Origin", StringComparison.Ordinal) ? vary + ", Accept-Encoding" : "Origin, Accept-Encoding";
        if (!EntityTagHeaderValue.TryParseList(context.Request.Headers.IfNoneMatch, out IList<EntityTagHeaderValue>? known)
            || !known.Any(k => k.Equals(EntityTagHeaderValue.Any) || k.Compare(tag, useStrongComparison: false)))
            return false;
        context.Response.StatusCode = StatusCodes.Status304NotModified;
        return true;
    }
}
