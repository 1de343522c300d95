using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Hosting;

/// <summary>A route as metrics name it.</summary>
/// <param name="Pattern">The pattern with parameters as <c>:id</c>.</param>
internal sealed record RoutePatternName(string Pattern);

/// <summary>Maps routes in the notation of the services replaced.</summary>
public static class Routes
{
    /// <summary>Answers GET and HEAD on a path; letter case and one trailing slash do not matter.</summary>
    /// <param name="app">The application.</param>
    /// <param name="pattern">The path, with parameters as <c>:id</c>; metrics call the route by this text.</param>
    /// <param name="handler">Answers.</param>
    /// <returns>The route, to be described.</returns>
    public static IEndpointConventionBuilder MapRoute(this IEndpointRouteBuilder app, string pattern, RequestDelegate handler)
    {
        ArgumentNullException.ThrowIfNull(pattern);
        string template = string.Join('/', pattern.Split('/').Select(p => p.StartsWith(':') ? $"{{{p[1..]}}}" : p));
        // The method itself is what makes the route appear in the description of the API.
        return app.MapMethods(template, [HttpMethods.Get, HttpMethods.Head], handler).WithMetadata(new RoutePatternName(pattern), handler.Method);
    }
}
