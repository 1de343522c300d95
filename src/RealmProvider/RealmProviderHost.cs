using System.Text.Json.Nodes;
using Archipelago.Hosting;

namespace Archipelago.RealmProvider;

/// <summary>Answers which content server and which comms to use.</summary>
public static class RealmProviderHost
{
    /// <summary>The port where none is configured.</summary>
    public const int DefaultPort = 3000;

    /// <summary>Makes the host.</summary>
    /// <exception cref="ConfigurationException">The configuration has faults.</exception>
    public static WebApplication Build(HostContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var host = new ArchipelagoHost(context, DefaultPort, HttpStyle.Public);
        host.Services.AddSingleton(RealmProviderOptions.Read(context.Settings));
        host.Services.AddSingleton(new Geography(Random.Shared));
        host.Services.AddSingleton<CatalystProbe>().AddSingleton<MainRealm>().AddSingleton<CatalystChoice>();
        host.Services.AddHostedService(services => services.GetRequiredService<CatalystProbe>());

        WebApplication app = host.Build();
        app.MapRoute("/main/about", AboutAsync);
        app.MapRoute("/about", AboutAsync);
        app.MapRoute("/realms", RealmsAsync);
        app.MapRoute("/status", http => Json.WriteAsync(http, StatusCodes.Status200OK, json => StatusJson.Write(json, context)));
        app.MapRoute("/ping", http =>
        {
            http.Response.ContentType = "text/plain; charset=utf-8";
            return http.Response.WriteAsync(http.Request.Path);
        });
        return app;
    }

    private static async Task AboutAsync(HttpContext http)
    {
        IServiceProvider services = http.RequestServices;
        Catalyst? catalyst = services.GetRequiredService<CatalystChoice>().Choose(
            services.GetRequiredService<CatalystProbe>().Healthy,
            http.Request.Headers["CF-IPCountry"].ToString(),
            http.Request.Query["catalyst"]);
        if (catalyst is null)
        {
            await WriteAsync(http, StatusCodes.Status503ServiceUnavailable, new JsonObject { ["error"] = "No content catalysts available" });
            return;
        }
        MainRealm main = services.GetRequiredService<MainRealm>();
        await WriteAsync(http, StatusCodes.Status200OK, RealmDocuments.About(catalyst, await main.AskAsync(http.RequestAborted), main.Adapter));
    }

    private static async Task RealmsAsync(HttpContext http)
    {
        IServiceProvider services = http.RequestServices;
        MainRealmStatus status = await services.GetRequiredService<MainRealm>().AskAsync(http.RequestAborted);
        string baseUrl = services.GetRequiredService<RealmProviderOptions>().BaseUrl ?? BaseUrl(http.Request);
        await WriteAsync(http, StatusCodes.Status200OK, RealmDocuments.Realms(services.GetRequiredService<CatalystProbe>().Healthy, status, baseUrl));
    }

    private static string BaseUrl(HttpRequest request)
    {
        string host = request.Headers["X-Forwarded-Host"].ToString() is { Length: > 0 } forwarded ? forwarded : request.Host.ToString();
        string scheme = request.Headers["X-Forwarded-Proto"] == "https" ? "https" : request.Scheme;
        return $"{scheme}://{host}";
    }

    private static Task WriteAsync(HttpContext http, int status, JsonNode body) => Json.WriteAsync(http, status, json => body.WriteTo(json));
}
