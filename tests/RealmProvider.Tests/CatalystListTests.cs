using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Archipelago.Ethereum;
using Archipelago.RealmProvider.Catalysts;
using Archipelago.Testing;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.RealmProvider.Tests;

/// <summary>Which catalysts there are, from the DAO's contract.</summary>
public sealed class CatalystListTests : IDisposable
{
    private static readonly JsonElement Vectors = JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors", "dao.json"))).RootElement;
    private static readonly string[] Required = [.. Vectors.GetProperty("required").GetProperty("servers").EnumerateArray().Select(s => s.GetString()!)];

    private readonly ManualClock clock = new();
    private readonly string folder = Directory.CreateTempSubdirectory().FullName;

    private string ListFile => Path.Combine(folder, "catalysts.json");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    /// <summary>An Ethereum node that knows the recorded answers by contract and data.</summary>
    private static Task<StubServer> NodeAsync(Func<string, string?>? change = null) => StubServer.StartAsync(async context =>
    {
        JsonElement asked = JsonDocument.Parse(await new StreamReader(context.Request.Body).ReadToEndAsync()).RootElement;
        JsonElement call = asked.GetProperty("params")[0];
        Assert.Equal(("eth_call", "latest"), (asked.GetProperty("method").GetString(), asked.GetProperty("params")[1].GetString()));
        string data = call.GetProperty("data").GetString()!;
        JsonElement known = Vectors.GetProperty("calls").EnumerateArray().FirstOrDefault(c =>
            c.GetProperty("data").GetString() == data && c.GetProperty("to").GetString() == call.GetProperty("to").GetString());
        string? result = change?.Invoke(data) ?? (known.ValueKind == JsonValueKind.Object ? known.GetProperty("result").GetString() : "0x");
        await context.Response.WriteAsync(new JsonObject { ["jsonrpc"] = "2.0", ["id"] = asked.GetProperty("id").GetInt64(), ["result"] = result }.ToJsonString());
    });

    private CatalystList List(EthereumNode node, bool withFile = false, string network = "mainnet")
    {
        var values = new Dictionary<string, string> { ["ETH_NETWORK"] = network };
        if (withFile)
            values["CATALYST_LIST_FILE"] = ListFile;
        return new CatalystList(
            RealmProviderOptions.Read(RunningHost.Settings(values)), new DaoContract(node, DaoContract.Networks[network].Contract), clock, NullLogger<CatalystList>.Instance);
    }

    private async Task WithListAsync(StubServer server, Func<CatalystList, Task> check, bool withFile = false, string network = "mainnet")
    {
        using var node = new EthereumNode(new Uri(server.Url));
        using CatalystList list = List(node, withFile, network);
        await list.StartAsync(default);
        await check(list);
        await list.StopAsync(default);
    }

    [Fact]
    public async Task The_contract_is_read_as_the_vectors_require()
    {
        await using StubServer node = await NodeAsync();
        await WithListAsync(node, list =>
        {
            Assert.Equal(Required, list.Urls);
            return Task.CompletedTask;
        });
        Assert.Equal(15, node.Requests.Count); // one for the count, and two for each of seven
    }

    [Theory]
    [InlineData(" https://a ", "https://a")]
    [InlineData("a.example", "https://a.example")]
    [InlineData("https://a/", "https://a/")]
    [InlineData(" http://a", null)]
    [InlineData("HTTP://a", null)]
    [InlineData("  ", null)]
    [InlineData("https://", null)]
    [InlineData("a b", null)]
    [InlineData("ftp://a", null)]
    public void A_domain_becomes_a_URL_or_nothing(string domain, string? url) => Assert.Equal(url, DaoContract.ToUrl(domain));

    private static string Word(long value) => value.ToString("x64", System.Globalization.CultureInfo.InvariantCulture);

    [Theory]
    [InlineData("0x18becc10", "0x")]
    [InlineData("0x18becc10", "0x00")]
    [InlineData("0x18becc10", "0x0000000000000000000000000000000000000000000000000000000000000000")] // an empty list is no list
    [InlineData("0x18becc10", "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")]
    [InlineData("0x18becc10", "0x00000000000000000000000000000000000000000000000000000000000003e9")] // more than can be
    [InlineData("0x7b9b4f2c", "0x")]
    [InlineData("0xc9038ce9", "0x")]
    [InlineData("0xc9038ce9", "offset")]
    [InlineData("0xc9038ce9", "length")]
    public async Task What_a_lying_node_says_is_no_list(string call, string answer)
    {
        string record = Word(1) + Word(2);
        answer = answer switch
        {
            "offset" => "0x" + record + Word(int.MaxValue) + Word(0) + Word(0) + Word(0),
            "length" => "0x" + record + Word(160) + Word(0) + Word(0) + Word(int.MaxValue),
            _ => answer,
        };
        await using StubServer node = await NodeAsync(data => data.StartsWith(call, StringComparison.Ordinal) ? answer : null);
        await WithListAsync(node, list =>
        {
            Assert.Empty(list.Urls);
            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task The_list_is_read_once_a_day_and_stands_while_it_cannot_be_read()
    {
        bool up = true;
        await using StubServer node = await NodeAsync(data => Volatile.Read(ref up) ? null : "0x");
        await WithListAsync(node, async list =>
        {
            int asked = node.Requests.Count;
            clock.Advance(TimeSpan.FromHours(23.9));
            Volatile.Write(ref up, false);
            clock.Advance(TimeSpan.FromHours(0.1));
            await Eventually.TrueAsync(() => node.Requests.Count > asked);
            Assert.Equal(asked + 1, node.Requests.Count); // and not before the day was over
            Assert.Equal(Required, list.Urls);
            // Tried again soon, and less and less often.
            Volatile.Write(ref up, true);
            await Eventually.TrueAsync(() =>
            {
                clock.Advance(TimeSpan.FromSeconds(10));
                return node.Requests.Count == (2 * asked) + 1;
            });
            Assert.Equal(Required, list.Urls);
        });
    }

    [Fact]
    public async Task A_list_that_could_not_be_read_at_the_start_is_told_when_it_can()
    {
        bool up = false;
        await using StubServer node = await NodeAsync(data => Volatile.Read(ref up) ? null : "0x");
        await WithListAsync(node, async list =>
        {
            Assert.Empty(list.Urls);
            var changed = new TaskCompletionSource();
            list.Changed += changed.SetResult;
            Volatile.Write(ref up, true);
            await Eventually.TrueAsync(() =>
            {
                clock.Advance(TimeSpan.FromSeconds(10));
                return changed.Task.IsCompleted;
            });
            Assert.Equal(Required, list.Urls);
        });
    }

    [Fact]
    public async Task The_list_outlives_the_process_in_a_file()
    {
        bool up = true;
        await using StubServer node = await NodeAsync(data => Volatile.Read(ref up) ? null : "0x");
        await WithListAsync(node, _ => Task.CompletedTask, withFile: true);
        int asked = node.Requests.Count;
        Volatile.Write(ref up, false);
        clock.Advance(TimeSpan.FromHours(23));
        await WithListAsync(node, async list =>
        {
            Assert.Equal(Required, list.Urls);
            clock.Advance(TimeSpan.FromHours(1));
            await Eventually.TrueAsync(() => node.Requests.Count > asked);
            Assert.Equal(asked + 1, node.Requests.Count); // only now was it old enough to be read again
            Assert.Equal(Required, list.Urls);
        }, withFile: true);
        // That of another network is none of this one.
        await WithListAsync(node, list =>
        {
            Assert.Empty(list.Urls);
            return Task.CompletedTask;
        }, withFile: true, network: "sepolia");
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("{}")]
    [InlineData("""{"Network":"mainnet","ReadAt":"2026-01-01T00:00:00Z","Catalysts":["http://insecure",null]}""")]
    [InlineData("""{"Network":"mainnet","ReadAt":"0001-01-01T00:00:00Z","Catalysts":["https://old"]}""")]
    [InlineData("""{"Network":"mainnet","ReadAt":"9999-12-31T23:00:00Z","Catalysts":["https://old"]}""")]
    [InlineData("""{"Network":"mainnet","Catalysts":["https://old"]}""")]
    public async Task A_file_that_is_none_or_old_does_not_keep_the_list_from_being_read(string content)
    {
        File.WriteAllText(ListFile, content);
        await using StubServer node = await NodeAsync();
        await WithListAsync(node, async list =>
        {
            // At once, whatever the file says of when.
            await Eventually.TrueAsync(() => list.Urls.SequenceEqual(Required));
        }, withFile: true);
        Assert.Contains(Required[^1], File.ReadAllText(ListFile), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_long_list_is_read_a_few_at_a_time()
    {
        const int Count = 300;
        await using StubServer node = await NodeAsync(data => data[..10] switch
        {
            "0x18becc10" => "0x" + Word(Count),
            "0x7b9b4f2c" => "0x" + data[10..],
            _ => "0x" + data[10..] + Word(2) + Word(160) + Word(0) + Word(0) + Word(12) + Convert.ToHexString(System.Text.Encoding.UTF8.GetBytes($"c{data[^4..]}.example")).PadRight(64, '0').ToLowerInvariant(),
        });
        await WithListAsync(node, async list =>
        {
            await Eventually.TrueAsync(() => list.Urls.Count > 0);
            Assert.Equal(Count, list.Urls.Count);
            Assert.Equal("https://c0005.examp", list.Urls[5][..19]);
        });
    }

    [Fact]
    public async Task The_host_offers_what_the_contract_lists()
    {
        await using StubServer node = await NodeAsync(), comms = await StubServer.StartAsync(c => c.Response.WriteAsync("{}"));
        await using RunningHost host = await RunningHost.StartAsync(
            RealmProviderHost.Build,
            new() { ["ETH_RPC_URL"] = node.Url, ["ARCHIPELAGO_STATS_URL"] = comms.Url, ["ARCHIPELAGO_WS_CONNECTOR_URL"] = comms.Url },
            clock);
        Assert.Contains("archipelago_catalysts_listed 5\n", await host.GetAsync("/metrics"), StringComparison.Ordinal);
        // None of them exists.
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await host.SendAsync(HttpMethod.Get, "/main/about")).StatusCode);
    }
}
