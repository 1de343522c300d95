using System.Diagnostics.Metrics;
using Archipelago.Ethereum;
using Archipelago.Hosting;
using Archipelago.Hosting.Scenes;
using Archipelago.RealmProvider.Catalysts;

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
        var options = RealmProviderOptions.Read(context.Settings);
        host.Services.AddSingleton(options).AddSingleton(Random.Shared).AddSingleton<Geography>();
        host.Services.AddSingleton(_ => new ContentServer(options.HotScenes.ContentUrl, options.HotScenes.TimeLimit));
        if (options.NodeUrl is { } node)
        {
            host.Services.AddSingleton(_ => new EthereumNode(node));
            host.Services.AddSingleton(services => new DaoContract(services.GetRequiredService<EthereumNode>(), DaoContract.Networks[options.Network].Contract));
        }
        host.Services.AddSingleton(services => new CatalystList(
            options, services.GetService<DaoContract>(), context.Clock, services.GetRequiredService<ILogger<CatalystList>>()));
        host.Services.AddSingleton<CatalystProbe>().AddSingleton<MainRealm>().AddSingleton<CatalystChoice>().AddSingleton<RealmBoard>().AddSingleton<RealmCrowd>();
        // In this order: a list, then those on it.
        host.Services.AddHostedService(services => services.GetRequiredService<CatalystList>());
        host.Services.AddHostedService(services => services.GetRequiredService<CatalystProbe>());
        host.Services.AddHostedService(services => services.GetRequiredService<MainRealm>());
        host.CompressAnswers();
        host.DescribeRoutes("Archipelago RealmProvider", "Which content server and which comms to use.");

        WebApplication app = host.Build();
        RealmBoard board = app.Services.GetRequiredService<RealmBoard>();
        CatalystChoice choice = app.Services.GetRequiredService<CatalystChoice>();
        RegisterMetrics(app, board);
        foreach (string path in (string[])["/main/about", "/about"])
            app.MapRoute(path, http => AboutAsync(http, board.Now, choice, options))
                .Answers<AboutShape>("Which servers to use.").Or<ErrorShape>(StatusCodes.Status503ServiceUnavailable)
                .WithQuery("catalyst", "The URL of a content server that the visitor would like, exactly as listed.").WithHeader(options.CountryHeader, "The visitor's country, of which the nearest content server is chosen.");
        app.MapRoute("/realms", http => RealmsAsync(http, board.Now, options)).Answers<IReadOnlyList<RealmShape>>("The realms there are: content servers with comms of their own, then the main realm while it is healthy.");
        app.MapRoute("/hot-scenes", app.Services.GetRequiredService<RealmCrowd>().AnswerAsync)
            .Answers<IReadOnlyList<HotSceneShape>>("The scenes with the most people in all realms, at most a hundred; the header Age tells how old the answer is.").Or<ErrorShape>(StatusCodes.Status503ServiceUnavailable);
        app.MapRoute("/status", http => Json.WriteAsync(http, StatusCodes.Status200OK, json => StatusJson.Write(json, context))).Answers<StatusShape>("Which build runs.");
        app.MapRoute("/ping", http =>
        {
            http.Response.ContentType = "text/plain; charset=utf-8";
            return http.Response.WriteAsync(http.Request.Path);
        }).AnswersWith("The path that was asked for.", "text/plain");
        return app;
    }

    private static Task AboutAsync(HttpContext http, RealmView view, CatalystChoice choice, RealmProviderOptions options)
    {
        int index = choice.Choose(view.Candidates, http.Request.Headers[options.CountryHeader].ToString(), http.Request.Query["catalyst"]);
        if (index < 0)
            return Json.WriteErrorAsync(http, StatusCodes.Status503ServiceUnavailable, "No content catalysts available");
        http.Response.StatusCode = view.Status.Healthy ? StatusCodes.Status200OK : options.UnhealthyStatus;
        http.Response.ContentType = "application/json";
        return HttpMethods.IsHead(http.Request.Method) ? Task.CompletedTask : http.Response.BodyWriter.WriteAsync(view.Abouts[index]).AsTask();
    }

    /// <summary>Every catalyst that is a realm of its own, then the main realm if it is healthy.</summary>
    private static Task RealmsAsync(HttpContext http, RealmView view, RealmProviderOptions options) => Json.WriteAsync(http, StatusCodes.Status200OK, json =>
    {
        json.WriteStartArray();
        foreach (Catalyst catalyst in view.Healthy)
            if (catalyst.RealmName is { } name && catalyst.UsersCount is { } users)
                Write(name, catalyst.Url, users);
        if (view.Status.Healthy)
            Write(MainRealm.Name, (options.BaseUrl ?? BaseUrl(http.Request)) + "/main", view.Status.UserCount);
        json.WriteEndArray();

        void Write(string name, string url, double users)
        {
            json.WriteStartObject();
            json.WriteString("serverName", name);
            json.WriteString("url", url);
            json.WritePropertyName("usersCount");
            json.WriteNumber(users);
            json.WriteEndObject();
        }
    });

    private static string BaseUrl(HttpRequest request)
    {
        string host = request.Headers["X-Forwarded-Host"].ToString() is { Length: > 0 } forwarded ? forwarded : request.Host.ToString();
        string scheme = request.Headers["X-Forwarded-Proto"] == "https" ? "https" : request.Scheme;
        return $"{scheme}://{host}";
    }

    private static void RegisterMetrics(WebApplication app, RealmBoard board)
    {
        Meter meter = app.Services.GetRequiredService<IMeterFactory>().Create("archipelago.realm_provider");
        CatalystList list = app.Services.GetRequiredService<CatalystList>();
        meter.CreateObservableGauge("archipelago_catalysts_listed", () => list.Urls.Count, description: "Catalysts of the list.");
        meter.CreateObservableGauge("archipelago_catalysts_healthy", () => board.Now.Healthy.Count, description: "Catalysts that are open.");
        meter.CreateObservableGauge("archipelago_catalysts_offered", () => board.Now.Candidates.Length, description: "Catalysts that visitors are sent to.");
        meter.CreateObservableGauge("archipelago_main_realm_healthy", () => board.Now.Status.Healthy ? 1 : 0, description: "1 while the comms of the main realm are healthy.");
    }
}
