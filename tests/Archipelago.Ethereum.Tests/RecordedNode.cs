using System.Net;
using System.Text.Json;

namespace Archipelago.Ethereum.Tests;

/// <summary>An Ethereum node that gives the answers of a recorded exchange, found by method and parameters; what was not asked then is an error now.</summary>
internal sealed class RecordedNode(JsonElement exchange) : HttpMessageHandler
{
    public EthereumNode Open() => new(new Uri("http://node.example/"), handler: this);

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        using JsonDocument asked = JsonDocument.Parse(await request.Content!.ReadAsByteArrayAsync(cancellationToken));
        string id = asked.RootElement.GetProperty("id").GetRawText();
        foreach (JsonElement known in exchange.EnumerateArray())
        {
            if (!JsonElement.DeepEquals(known.GetProperty("method"), asked.RootElement.GetProperty("method"))
                || !JsonElement.DeepEquals(known.GetProperty("params"), asked.RootElement.GetProperty("params")))
                continue;
            string answer = known.TryGetProperty("result", out JsonElement result) ? $"\"result\":{result.GetRawText()}" : $"\"error\":{known.GetProperty("error").GetRawText()}";
            return Answer($$"""{"jsonrpc":"2.0","id":{{id}},{{answer}}}""");
        }
        return Answer($$$"""{"jsonrpc":"2.0","id":{{{id}}},"error":{"code":-32601,"message":"not recorded"}}""");
    }

    internal static HttpResponseMessage Answer(string body) => new(HttpStatusCode.OK) { Content = new StringContent(body) };
}
