using System.Text;
using System.Text.Json;

namespace Archipelago.Ethereum.Tests;

/// <summary>Mutations of what honest clients and nodes send: nothing throws, nothing false is accepted, and nothing costs more than it is long.</summary>
public class FuzzTests
{
    private static readonly JsonElement[] Vectors =
        [.. JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors", "auth-chains.json"))).RootElement.GetProperty("vectors").EnumerateArray()];

    private static string Mutate(string text, Random random, string alphabet)
    {
        var mutated = new StringBuilder(text);
        for (int changes = random.Next(1, 5); changes > 0 && mutated.Length > 0; changes--)
        {
            int at = random.Next(mutated.Length);
            switch (random.Next(5))
            {
                case 0:
                    mutated.Remove(at, Math.Min(random.Next(1, 10), mutated.Length - at));
                    break;
                case 1:
                    mutated.Insert(at, alphabet[random.Next(alphabet.Length)]);
                    break;
                case 2:
                    int length = Math.Min(random.Next(1, 30), mutated.Length - at);
                    mutated.Insert(random.Next(mutated.Length), mutated.ToString(at, length));
                    break;
                case 3:
                    mutated[at] = (char)random.Next(0x20, 0xE000);
                    break;
                default:
                    mutated[at] = alphabet[random.Next(alphabet.Length)];
                    break;
            }
        }
        return mutated.ToString();
    }

    [Fact]
    public async Task No_chain_throws_and_none_costs_more_than_a_recovery_a_link()
    {
        var random = new Random(11);
        int recoveries = 0, parsed = 0;
        // The arithmetic has a test of its own; here it is counted and always comes to nothing.
        var validator = new AuthChainValidator(recover: (_, _, _) =>
        {
            recoveries++;
            return new((string?)null);
        });
        string[] chains = [.. Vectors.Select(v => v.GetProperty("chain").GetRawText())];
        for (int i = 0; i < 400_000; i++)
        {
            string json = Mutate(chains[random.Next(chains.Length)], random, "[]{}\",:0x\\n \u00df");
            if (!AuthChain.TryParse(json, out AuthChain? chain))
                continue;
            parsed++;
            Assert.InRange(chain.Links.Count, 1, AuthChain.MaxLinks);
            recoveries = 0;
            Assert.False((await validator.ValidateAsync(chain, "dcl-0.7xk2m9q4vbc", DateTimeOffset.UnixEpoch)).Ok);
            Assert.InRange(recoveries, 0, chain.Links.Count - 1);
        }
        Assert.InRange(parsed, 10_000, 390_000);
    }

    [Fact]
    public async Task No_mutation_of_a_good_chain_is_good_unless_it_says_the_same()
    {
        var random = new Random(12);
        using EthereumKey owner = EthereumKey.Create();
        DateTimeOffset now = DateTimeOffset.UnixEpoch;
        using var device = new EphemeralIdentity(owner, now.AddHours(1));
        string good = device.SignChain("dcl-challenge");
        var validator = new AuthChainValidator();
        for (int i = 0; i < 3_000; i++)
        {
            string json = Mutate(good, random, "0123456789abcdefABCDEF");
            if (AuthChain.TryParse(json, out AuthChain? chain) && (await validator.ValidateAsync(chain, "dcl-challenge", now)).Ok)
                Assert.Equal(owner.Address, chain.Claimed);
        }
    }

    [Fact]
    public void No_delegation_throws_and_a_date_that_is_read_is_one()
    {
        var random = new Random(13);
        string[] payloads =
        [
            .. Vectors.SelectMany(v => v.GetProperty("chain") is { ValueKind: JsonValueKind.Array } chain ? chain.EnumerateArray().ToArray() : [])
                .Where(l => l.ValueKind == JsonValueKind.Object && l.TryGetProperty("payload", out JsonElement p) && p.ValueKind == JsonValueKind.String)
                .Select(l => l.GetProperty("payload").GetString()!),
            EphemeralPayload.Format("0x0000000000000000000000000000000000000001", DateTimeOffset.UnixEpoch),
        ];
        int dated = 0;
        for (int i = 0; i < 1_000_000; i++)
        {
            if (!EphemeralPayload.TryParse(Mutate(payloads[random.Next(payloads.Length)], random, "0123456789-:.TZ+\n "), out EphemeralPayload? payload) || payload.ExpiresAt is not { } end)
                continue;
            dated++;
            Assert.InRange(end.Year, 1, 9999);
        }
        Assert.InRange(dated, 10_000, 900_000);
    }

    [Fact]
    public void No_signature_throws_whatever_its_numbers()
    {
        var random = new Random(14);
        byte[] signature = new byte[65];
        for (int i = 0; i < 2_000; i++)
        {
            random.NextBytes(signature);
            if (random.Next(4) == 0)
                signature.AsSpan(0, 32).Fill((byte)(random.Next(2) * 255));
            if (random.Next(4) == 0)
                signature.AsSpan(32, 32).Fill((byte)(random.Next(2) * 255));
            signature[64] = (byte)random.Next(30);
            if (PersonalMessage.TryRecover("text", signature, out string address))
                Assert.True(EthereumAddress.IsAddress(address));
        }
        Assert.False(PersonalMessage.TryRecover("text", new byte[64], out _));
    }

    [Fact]
    public void No_answer_of_a_node_throws()
    {
        var random = new Random(15);
        string[] answers =
        [
            """{"jsonrpc":"2.0","id":1,"result":"0x1626ba7e00000000000000000000000000000000000000000000000000000000"}""",
            """{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted"}}""",
            """{"jsonrpc":"2.0","id":1,"result":{"number":"0x16e3600","timestamp":"0x6968d6ba"}}""",
        ];
        int read = 0;
        for (int i = 0; i < 500_000; i++)
            if (EthereumNode.TryReadAnswer(Encoding.UTF8.GetBytes(Mutate(answers[random.Next(answers.Length)], random, "{}[]\",:0x1\\")), 1, out string? result) && result is not null)
            {
                read++;
                Assert.StartsWith("0x", result, StringComparison.Ordinal);
            }
        Assert.InRange(read, 1_000, 400_000);
    }
}
