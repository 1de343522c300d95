using System.Security.Cryptography;
using Archipelago.Hosting;

namespace Archipelago.Stats.Map;

/// <summary><c>GET /map</c>: the live map, a page that needs nothing from anywhere else and draws from the live stream.</summary>
internal static class MapPage
{
    // Nothing from elsewhere, nothing in the page itself, and nobody's frame.
    private const string Policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private static readonly Dictionary<string, string> Types = new()
    {
        [".html"] = "text/html; charset=utf-8", [".css"] = "text/css; charset=utf-8", [".js"] = "text/javascript; charset=utf-8", [".svg"] = "image/svg+xml",
    };

    /// <summary>Adds the page and its parts.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapRoute("/map", Serve("index.html")).AnswersWith("The live map, for people.", "text/html");
        foreach (string file in (string[])["map.css", "map.js", "world.js", "camera.js", "picture.js", "figures.js", "icon.svg"])
            app.MapRoute("/map/" + file, Serve(file)).ExcludeFromDescription();
    }

    private static RequestDelegate Serve(string file)
    {
        using Stream stream = typeof(MapPage).Assembly.GetManifestResourceStream("map/" + file)!;
        using var copy = new MemoryStream();
        stream.CopyTo(copy);
        byte[] content = copy.ToArray();
        string version = Convert.ToHexStringLower(SHA256.HashData(content).AsSpan(0, 8)), type = Types[Path.GetExtension(file)];
        return http =>
        {
            // What the page asks for is told from where it is, so that it must not seem to be a folder.
            if (http.Request.Path.Value!.EndsWith('/'))
            {
                http.Response.Redirect("../map", permanent: true);
                return Task.CompletedTask;
            }
            http.Response.Headers.ContentSecurityPolicy = Policy;
            http.Response.Headers.XContentTypeOptions = "nosniff";
            http.Response.Headers["Referrer-Policy"] = "no-referrer";
            if (EntityTags.IsKnown(http, version))
                return Task.CompletedTask;
            http.Response.ContentType = type;
            return HttpMethods.IsHead(http.Request.Method) ? Task.CompletedTask : http.Response.BodyWriter.WriteAsync(content).AsTask();
        };
    }
}
