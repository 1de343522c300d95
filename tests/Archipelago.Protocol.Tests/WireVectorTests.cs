using System.Text.Json;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Archipelago.Protocol.Tests;

/// <summary>Messages encoded by the reference codec must decode, and encode again to the same bytes.</summary>
public class WireVectorTests
{
    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors", "wire.json"))).RootElement.GetProperty("vectors");

    /// <summary>Leniencies of the JavaScript codec that a strict parser lacks; honest clients never need them.</summary>
    private static readonly HashSet<string> StricterHere =
    [
        "client packet single zero byte",
        "client packet end-group tag",
        "client packet from text frame \"hello\"",
    ];

    /// <summary>Where the standard merges a repeated message or keeps an entry without value, and the JavaScript codec replaces or drops.</summary>
    private static readonly HashSet<string> StandardHere =
    [
        "client packet same member twice",
        "server island_changed map entry without value",
        "nats discovery time above 2^53-1",
    ];

    private static readonly Dictionary<string, MessageDescriptor> Types = new MessageDescriptor[]
    {
        ClientPacket.Descriptor, ServerPacket.Descriptor, Heartbeat.Descriptor, IslandChangedMessage.Descriptor,
        IslandStatusMessage.Descriptor, ServiceDiscoveryMessage.Descriptor, Position.Descriptor,
    }.ToDictionary(d => d.FullName);

    public static TheoryData<string> Decodable => Names(v => Mode(v) != "decode-error" && !StricterHere.Contains(Name(v)) && !StandardHere.Contains(Name(v)));

    public static TheoryData<string> Undecodable => Names(v => (Mode(v) == "decode-error" || StricterHere.Contains(Name(v))) && !StandardHere.Contains(Name(v)));

    private static TheoryData<string> Names(Func<JsonElement, bool> where) => [.. Vectors.EnumerateArray().Where(where).Select(Name)];

    private static string Name(JsonElement vector) => vector.GetProperty("name").GetString()!;

    private static string Mode(JsonElement vector) => vector.GetProperty("mode").GetString()!;

    private static JsonElement Find(string name) => Vectors.EnumerateArray().Single(v => Name(v) == name);

    private static byte[] Hex(string text) => Convert.FromHexString(text);

    private static IMessage Decode(JsonElement vector) =>
        Types[vector.GetProperty("type").GetString()!].Parser.WithDiscardUnknownFields(true).ParseFrom(Hex(vector.GetProperty("hex").GetString()!));

    [Theory]
    [MemberData(nameof(Decodable))]
    public void Decodes_and_encodes_as_the_reference_does(string name)
    {
        JsonElement vector = Find(name);
        IMessage decoded = Decode(vector);
        IMessage expected = JsonParser.Default.Parse(vector.GetProperty("json").GetRawText(), decoded.Descriptor);
        Assert.Equal(expected.ToString(), decoded.ToString());
        string bytes = vector.TryGetProperty("reencodedHex", out JsonElement again) ? again.GetString()! : vector.GetProperty("hex").GetString()!;
        if (!name.Contains("NaN", StringComparison.Ordinal))
            Assert.Equal(bytes, Convert.ToHexStringLower(decoded.ToByteArray()));
    }

    [Fact]
    public void Where_the_reference_codec_is_not_the_standard_the_standard_holds()
    {
        // The same member twice: merged, so the position survives. An entry without value: the origin. A time beyond 2^53: a time.
        Assert.Equal(1, ((ClientPacket)Decode(Find("client packet same member twice"))).Heartbeat.Position.X);
        Assert.Equal(new Position(), ((ServerPacket)Decode(Find("server island_changed map entry without value"))).IslandChanged.Peers["aa"]);
        Assert.True(((ServiceDiscoveryMessage)Decode(Find("nats discovery time above 2^53-1"))).Status.CurrentTime >= 1UL << 53);
    }

    [Theory]
    [MemberData(nameof(Undecodable))]
    public void Bytes_that_are_no_message_are_refused_without_an_exception(string name)
    {
        byte[] bytes = Hex(Find(name).GetProperty("hex").GetString()!);
        Assert.False(ClientFrames.TryDecode(bytes, out ClientPacket? packet));
        Assert.Null(packet);
    }

    [Theory]
    [InlineData("server welcome")]
    [InlineData("server kicked new session")]
    [InlineData("server challenge_response already connected")]
    public void Frames_are_the_reference_bytes(string name)
    {
        JsonElement vector = Find(name);
        ServerPacket packet = (ServerPacket)Decode(vector);
        ReadOnlyMemory<byte> frame = packet.MessageCase switch
        {
            ServerPacket.MessageOneofCase.Welcome => ServerFrames.Welcome(packet.Welcome.PeerId),
            ServerPacket.MessageOneofCase.ChallengeResponse => ServerFrames.ChallengeResponse(packet.ChallengeResponse.ChallengeToSign, packet.ChallengeResponse.AlreadyConnected),
            _ => ServerFrames.Kicked,
        };
        Assert.Equal(vector.GetProperty("hex").GetString(), Convert.ToHexStringLower(frame.Span));
    }

    [Theory]
    [InlineData("server island_changed first island, self only")]
    [InlineData("server island_changed from previous island, two peers")]
    [InlineData("server island_changed 100 peers")]
    public void An_island_change_is_framed_without_decoding(string name)
    {
        JsonElement vector = Find(name);
        byte[] frame = Hex(vector.GetProperty("hex").GetString()!);
        byte[] payload = ServerPacket.Parser.ParseFrom(frame).IslandChanged.ToByteArray();
        byte[] framed = new byte[ServerFrames.IslandChangedLength(payload.Length)];
        ServerFrames.WriteIslandChanged(payload, framed);
        Assert.Equal(frame, framed);
    }
}
