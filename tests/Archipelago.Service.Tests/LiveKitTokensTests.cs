using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Archipelago.Service.Tests;

public class LiveKitTokensTests
{
    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors", "livekit-tokens.json"))).RootElement.GetProperty("vectors");

    public static TheoryData<string> Names => [.. Vectors.EnumerateArray().Select(v => v.GetProperty("name").GetString()!)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Connection_strings_are_the_reference_bytes(string name)
    {
        JsonElement vector = Vectors.EnumerateArray().Single(v => v.GetProperty("name").GetString() == name), input = vector.GetProperty("input");
        string Text(string member) => input.GetProperty(member).GetString()!;
        var tokens = new LiveKitTokens(new LiveKitOptions(Text("host"), Text("key"), Text("secret")));
        Assert.Equal(vector.GetProperty("connStr").GetString(), tokens.Mint(Text("room"), Text("identity"), input.GetProperty("now").GetDateTimeOffset()));
    }

    [Fact]
    public void Minting_into_a_buffer_allocates_nothing()
    {
        var tokens = new LiveKitTokens(new LiveKitOptions("wss://livekit.example.org", "key", "a-secret-of-at-least-thirty-two-characters"));
        var buffer = new System.Buffers.ArrayBufferWriter<byte>(4096);
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        void Write()
        {
            buffer.ResetWrittenCount();
            tokens.Write(buffer, "I1"u8, "0x00000000000000000000000000000000000000aa"u8, now);
        }
        Write();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
            Write();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public async Task An_independent_library_accepts_the_signature()
    {
        const string Secret = "a-secret-of-at-least-thirty-two-characters";
        string connection = new LiveKitTokens(new LiveKitOptions("wss://x?", "key", Secret)).Mint("room \"1\"\\\n\u0001", "0xab", TimeProvider.System.GetUtcNow());
        string token = connection[(connection.LastIndexOf('=') + 1)..];
        TokenValidationResult result = await new JsonWebTokenHandler().ValidateTokenAsync(token, new TokenValidationParameters
        {
            ValidIssuer = "key", ValidateAudience = false, IssuerSigningKey = new SymmetricSecurityKey(System.Text.Encoding.UTF8.GetBytes(Secret)),
        });
        Assert.True(result.IsValid, result.Exception?.Message);
        Assert.Equal("0xab", result.Claims["sub"]);
    }
}
