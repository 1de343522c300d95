using Archipelago.Hosting;
using Archipelago.Messaging;
using Microsoft.AspNetCore.Builder;

namespace Archipelago.Testing;

/// <summary>One host on a free port of loopback, over an in-process bus that the test can speak on.</summary>
internal sealed class RunningHost : IAsyncDisposable
{
    private readonly WebApplication app;

    private RunningHost(WebApplication app, IMessageBus bus)
    {
        this.app = app;
        Bus = bus;
        Http = new HttpClient { BaseAddress = HostRunner.AddressOf(app) };
    }

    /// <summary>The test's own connection to the host's bus.</summary>
    public IMessageBus Bus { get; }

    public HttpClient Http { get; }

    public IServiceProvider Services => app.Services;

    public static Settings Settings(Dictionary<string, string>? values = null) =>
        new("TEST", [values ?? []], new Dictionary<string, string> { ["HTTP_SERVER_HOST"] = "127.0.0.1", ["HTTP_SERVER_PORT"] = "0" });

    public static async Task<RunningHost> StartAsync(Func<HostContext, WebApplication> build, Dictionary<string, string>? values = null, TimeProvider? clock = null)
    {
        var broker = new InProcessBroker();
        WebApplication app = build(new HostContext(Settings(values), broker.Connect(), clock ?? TimeProvider.System));
        await app.StartAsync();
        return new RunningHost(app, broker.Connect());
    }

    public async Task<string> GetAsync(string path) => await Http.GetStringAsync(new Uri(path, UriKind.Relative));

    public Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(method, path);
        foreach ((string name, string value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        return Http.SendAsync(request);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await Bus.DisposeAsync();
        await app.StopAsync();
        await app.DisposeAsync();
    }
}
