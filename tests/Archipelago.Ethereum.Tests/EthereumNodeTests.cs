using System.Net;

namespace Archipelago.Ethereum.Tests;

/// <summary>What a node may answer, and what becomes of it.</summary>
public class EthereumNodeTests
{
    private sealed class Stub(Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> answer) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => answer(request, cancellationToken);
    }

    private static EthereumNode Node(Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> answer, EthereumNodeOptions? options = null) =>
        new(new Uri("http://node.example/"), options, new Stub(answer));

    [Theory]
    [InlineData("""{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted"}}""", "nothing")]
    [InlineData("""{"jsonrpc":"2.0","id":1,"error":7}""", null)]
    [InlineData("""{"jsonrpc":"2.0","id":1,"result":"0x1626ba7e"}""", "0x1626ba7e")]
    [InlineData("""{"jsonrpc":"2.0","id":1,"result":"0x","error":null}""", "0x")]
    [InlineData("""{"jsonrpc":"2.0","id":2,"result":"0x1626ba7e"}""", null)] // the answer to another question
    [InlineData("""{"jsonrpc":"2.0","id":"1","result":"0x1626ba7e"}""", null)]
    [InlineData("""{"jsonrpc":"1.0","id":1,"result":"0x1626ba7e"}""", null)]
    [InlineData("""{"id":1,"result":"0x1626ba7e"}""", null)]
    [InlineData("""{"jsonrpc":"2.0","id":1,"error":{"code":3},"result":"0x1626ba7e"}""", "nothing")]
    [InlineData("""{"jsonrpc":"2.0","id":1,"result":{"x":1}}""", null)]
    [InlineData("""{"jsonrpc":"2.0","id":1,"result":"1626ba7e"}""", null)]
    [InlineData("""{"jsonrpc":"2.0","id":1,"result":"0xzz"}""", null)]
    [InlineData("""{"jsonrpc":"2.0","id":1,"result":"\ud800"}""", null)]
    [InlineData("[]", null)]
    [InlineData("", null)]
    public void Only_a_proper_answer_to_the_question_counts(string answer, string? result) =>
        Assert.Equal(result, EthereumNode.TryReadAnswer(System.Text.Encoding.UTF8.GetBytes(answer), 1, out string? read) ? read ?? "nothing" : null);

    [Fact]
    public async Task An_error_status_an_unreachable_node_and_an_endless_answer_are_no_answers()
    {
        using EthereumNode broken = Node((_, _) => Task.FromResult(new HttpResponseMessage(HttpStatusCode.BadGateway)));
        Assert.Null(await broken.BlockNumberAsync(default));
        using EthereumNode unreachable = Node((_, _) => throw new HttpRequestException("no route"));
        Assert.Null(await unreachable.BlockNumberAsync(default));
        using EthereumNode endless = Node((_, _) => Task.FromResult(RecordedNode.Answer(new string(' ', 10_000))), new EthereumNodeOptions { MaxAnswer = 1000 });
        Assert.Null(await endless.BlockNumberAsync(default));
        using EthereumNode odd = Node((_, _) => Task.FromResult(RecordedNode.Answer("""{"jsonrpc":"2.0","id":1,"result":"0x123"}""")));
        Assert.Equal((false, null), await odd.CallAsync("0x", default, "latest", default));
    }

    private static Task<AuthChainResult> ValidateAsync(string wallet, EthereumNode node)
    {
        string json = $$"""[{"type":"SIGNER","payload":"{{wallet}}"},{"type":"ECDSA_EIP_1654_SIGNED_ENTITY","payload":"text","signature":"0x01"}]""";
        Assert.True(AuthChain.TryParse(json, out AuthChain? chain));
        return new AuthChainValidator(node).ValidateAsync(chain, "text", DateTimeOffset.UnixEpoch).AsTask();
    }

    [Fact]
    public async Task A_contract_that_nobody_could_be_asked_about_is_not_the_same_as_one_that_refuses()
    {
        const string Wallet = "0x12653bfc677d6335e3084006c8d3bbb379d17352";
        using EthereumNode unreachable = Node((_, _) => throw new HttpRequestException("no route"));
        Assert.Equal(AuthChainError.NoAnswer, (await ValidateAsync(Wallet, unreachable)).Error);
        // The first call fails on the way, and the others are refused.
        int calls = 0;
        using EthereumNode shaky = Node((request, _) => ++calls == 1
            ? throw new HttpRequestException("lost")
            : Task.FromResult(RecordedNode.Answer($$"""{"jsonrpc":"2.0","id":{{calls}},"result":"0x00"}""")));
        Assert.Equal(AuthChainError.NoAnswer, (await ValidateAsync(Wallet, shaky)).Error);
        int refusals = 0;
        using EthereumNode refusing = Node((_, _) => Task.FromResult(RecordedNode.Answer($$$"""{"jsonrpc":"2.0","id":{{{++refusals}}},"error":{"code":3}}""")));
        Assert.Equal(AuthChainError.NoAnswer, (await ValidateAsync(Wallet, refusing)).Error); // not even a number of the newest block
    }

    [Fact]
    public async Task An_address_of_the_networks_own_functions_is_nobodys_wallet()
    {
        // What 0x…04 is given it gives back, and a call begins with the very bytes that mean yes.
        using EthereumNode node = Node(async (request, stop) =>
        {
            using var asked = System.Text.Json.JsonDocument.Parse(await request.Content!.ReadAsByteArrayAsync(stop));
            string id = asked.RootElement.GetProperty("id").GetRawText(), data = asked.RootElement.GetProperty("params")[0].GetProperty("data").GetRawText();
            return RecordedNode.Answer($"{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{data}}}");
        });
        Assert.Equal(AuthChainError.ContractAddress, (await ValidateAsync("0x0000000000000000000000000000000000000004", node)).Error);
        Assert.Equal(AuthChainError.None, (await ValidateAsync("0x0000000000000000000000000000000000010000", node)).Error);
    }

    [Fact]
    public async Task A_node_that_hangs_is_asked_by_a_bounded_number_and_given_up()
    {
        int reached = 0;
        var options = new EthereumNodeOptions { TimeLimit = TimeSpan.FromMilliseconds(200), MaxInFlight = 2, MaxWaiting = 3 };
        using EthereumNode node = Node(
            async (_, stop) =>
            {
                Interlocked.Increment(ref reached);
                await Task.Delay(Timeout.Infinite, stop);
                throw new InvalidOperationException();
            },
            options);
        Task<string?>[] all = [.. Enumerable.Range(0, 10).Select(_ => node.BlockNumberAsync(default))];
        // Two are under way, three wait, and the others have their answer.
        Assert.Equal(5, all.Count(t => t.IsCompleted));
        Assert.Equal(2, reached);
        Assert.All(await Task.WhenAll(all), Assert.Null);
        // The places are free again.
        Assert.False(node.BlockNumberAsync(default).IsCompleted);
    }
}
