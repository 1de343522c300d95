using System.Text;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;

namespace Archipelago.Hosting;

/// <summary>A parameter in a route's query, or a header, as its description has it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="In">Where it stands.</param>
/// <param name="Description">What it does.</param>
/// <param name="Repeats">True when it may come more than once.</param>
internal sealed record RouteParameter(string Name, ParameterLocation In, string Description, bool Repeats);

/// <summary>The shape of <c>/status</c>.</summary>
/// <param name="Version">The version that runs; may be empty.</param>
/// <param name="CurrentTime">Unix milliseconds.</param>
/// <param name="CommitHash">The commit that runs; may be empty.</param>
public sealed record StatusShape(string Version, long CurrentTime, string CommitHash);

/// <summary>The shape of an error.</summary>
/// <param name="Error">What is wrong, and what to do.</param>
public sealed record ErrorShape(string Error);

/// <summary>Describes routes, and makes an OpenAPI document of the descriptions, which the host serves at <c>/openapi.json</c>.</summary>
public static class OpenApi
{
    private const string Document = "archipelago";

    /// <summary>Says what a route answers when all is well.</summary>
    /// <typeparam name="T">A type with the shape of the JSON.</typeparam>
    /// <param name="route">The route.</param>
    /// <param name="summary">What it is for.</param>
    public static IEndpointConventionBuilder Answers<T>(this IEndpointConventionBuilder route, string summary) =>
        route.WithSummary(summary).WithMetadata(new ProducesResponseTypeMetadata(StatusCodes.Status200OK, typeof(T), ["application/json"]));

    /// <summary>Says that a route answers with something other than JSON when all is well.</summary>
    /// <param name="route">The route.</param>
    /// <param name="summary">What it is for.</param>
    /// <param name="contentType">What it answers with.</param>
    public static IEndpointConventionBuilder AnswersWith(this IEndpointConventionBuilder route, string summary, string contentType) =>
        route.WithSummary(summary).WithMetadata(new ProducesResponseTypeMetadata(StatusCodes.Status200OK, typeof(string), [contentType]));

    /// <summary>Says that a route may answer with another status, and JSON of this shape.</summary>
    public static IEndpointConventionBuilder Or<T>(this IEndpointConventionBuilder route, int status) =>
        route.WithMetadata(new ProducesResponseTypeMetadata(status, typeof(T), ["application/json"]));

    /// <summary>Says that a route may answer with another status, and nothing else.</summary>
    public static IEndpointConventionBuilder Or(this IEndpointConventionBuilder route, int status) =>
        route.WithMetadata(new ProducesResponseTypeMetadata(status, typeof(void)));

    /// <summary>Says that a route heeds something in its query.</summary>
    public static IEndpointConventionBuilder WithQuery(this IEndpointConventionBuilder route, string name, string description, bool repeats = false) =>
        route.WithMetadata(new RouteParameter(name, ParameterLocation.Query, description, repeats));

    /// <summary>Says that a route heeds a header.</summary>
    public static IEndpointConventionBuilder WithHeader(this IEndpointConventionBuilder route, string name, string description) =>
        route.WithMetadata(new RouteParameter(name, ParameterLocation.Header, description, Repeats: false));

    internal static void Add(IServiceCollection services, string title, string description)
    {
        services.ConfigureHttpJsonOptions(options => options.SerializerOptions.NumberHandling = JsonNumberHandling.Strict);
        services.AddOpenApi(Document, options =>
        {
            options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
            options.AddOperationTransformer((operation, context, _) =>
            {
                Describe(operation, context.Description.ActionDescriptor.EndpointMetadata);
                return Task.CompletedTask;
            });
            options.AddDocumentTransformer((document, _, _) =>
            {
                document.Info = new OpenApiInfo { Title = title, Description = description, Version = "1.0.0" };
                document.Servers = [];
                document.Tags = null;
                foreach (IOpenApiPathItem path in document.Paths.Values)
                {
                    // HEAD goes wherever GET does, and needs no description of its own.
                    path.Operations?.Remove(HttpMethod.Head);
                    foreach (OpenApiOperation operation in path.Operations?.Values.AsEnumerable() ?? [])
                        operation.Tags = null;
                }
                return Task.CompletedTask;
            });
            options.CreateSchemaReferenceId = type => OpenApiOptions.CreateDefaultSchemaReferenceId(type)?.Replace("Shape", "", StringComparison.Ordinal);
        });
    }

    /// <summary>Serves the document, made when it is first asked for.</summary>
    internal static void Map(WebApplication app)
    {
        var document = new Lazy<Task<string>>(() => WriteAsync(app.Services));
        app.MapRoute("/openapi.json", async http =>
        {
            http.Response.ContentType = "application/json";
            string text = await document.Value;
            if (!HttpMethods.IsHead(http.Request.Method))
                await http.Response.WriteAsync(text, Encoding.UTF8, http.RequestAborted);
        }).AnswersWith("This document.", "application/json");
    }

    private static async Task<string> WriteAsync(IServiceProvider services)
    {
        OpenApiDocument document = await services.GetRequiredKeyedService<IOpenApiDocumentProvider>(Document).GetOpenApiDocumentAsync();
        return await document.SerializeAsJsonAsync(OpenApiSpecVersion.OpenApi3_1);
    }

    private static void Describe(OpenApiOperation operation, IList<object> metadata)
    {
        operation.Parameters ??= [];
        foreach (string part in metadata.OfType<RoutePatternName>().Single().Pattern.Split('/').Where(p => p.StartsWith(':')))
            operation.Parameters.Add(new OpenApiParameter { Name = part[1..], In = ParameterLocation.Path, Required = true, Schema = new OpenApiSchema { Type = JsonSchemaType.String } });
        foreach (RouteParameter parameter in metadata.OfType<RouteParameter>())
        {
            var text = new OpenApiSchema { Type = JsonSchemaType.String };
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = parameter.Name,
                In = parameter.In,
                Description = parameter.Description,
                Schema = parameter.Repeats ? new OpenApiSchema { Type = JsonSchemaType.Array, Items = text } : text,
            });
        }
    }
}
