using System.Text.Json;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Protocol.Tests;

/// <summary>What may go to the bus as it came, against the generated classes.</summary>
public class HeartbeatFrameTests
{
    /// <summary>The one thing asked of it: what it finds is, byte for byte, what decoding and encoding again would give.</summary>
    private static bool CheckAgainstCodec(byte[] frame)
    {
        if (!HeartbeatFrame.TryFind(frame, out int start, out HeartbeatView view))
            return false;
        Assert.True(ClientFrames.TryDecode(frame, out ClientPacket? packet), Convert.ToHexString(frame));
        Assert.Equal(ClientPacket.MessageOneofCase.Heartbeat, packet.MessageCase);
        Assert.Equal(Convert.ToHexString(packet.Heartbeat.ToByteArray()), Convert.ToHexString(frame.AsSpan(start)));
        Assert.Equal(packet.Heartbeat.Position is not null, view.HasPosition);
        Position position = packet.Heartbeat.Position ?? new Position();
        Assert.Equal((position.X, position.Y, position.Z), (view.X, view.Y, view.Z));
        return true;
    }

    private static byte[] Frame(float x, float y, float z, string? room)
    {
        var heartbeat = new Heartbeat { Position = new Position { X = x, Y = y, Z = z } };
        if (room is not null)
            heartbeat.DesiredRoom = room;
        return new ClientPacket { Heartbeat = heartbeat }.ToByteArray();
    }

    [Theory]
    [InlineData(0, 0, 0, null)]
    [InlineData(1, 2, 3, null)]
    [InlineData(-0.5f, 0, 1e30f, "I1a")]
    [InlineData(0, float.NaN, float.PositiveInfinity, "")]
    [InlineData(1, 0, 0, "ä ö 🌍")]
    public void What_clients_send_is_found_as_it_stands(float x, float y, float z, string? room) => Assert.True(CheckAgainstCodec(Frame(x, y, z, room)));

    [Fact]
    public void Long_rooms_and_heartbeats_without_position_are_found_too()
    {
        foreach (int length in (int[])[100, 127, 128, 16_000])
            Assert.True(CheckAgainstCodec(Frame(1, 2, 3, new string('r', length))));
        Assert.True(CheckAgainstCodec(new ClientPacket { Heartbeat = new Heartbeat() }.ToByteArray()));
        Assert.True(CheckAgainstCodec(new ClientPacket { Heartbeat = new Heartbeat { DesiredRoom = "x" } }.ToByteArray()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("1a")]
    [InlineData("1a070a050d00000000")] // a zero that no encoder writes
    [InlineData("1a070a050d00000080")] // minus zero
    [InlineData("1a0c0a0a15000040400d0000803f")] // y before x
    [InlineData("1a0c0a0a0d0000803f0d0000803f")] // x twice
    [InlineData("1a87000a050d0000803f")] // a length in two bytes where one does
    [InlineData("1a0912017212017212017a")]
    [InlineData("1a050d0000803f")] // a coordinate outside a position
    [InlineData("1a0312 01ff")] // a room that is not UTF-8
    [InlineData("1a070a050d0000803f1a070a050d0000803f")] // two heartbeats
    [InlineData("1a070a050d0000803f00")]
    [InlineData("0a0261 61")]
    public void Other_forms_are_left_to_the_codec(string hex) => Assert.False(CheckAgainstCodec(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal))));

    [Fact]
    public void No_mutation_of_a_heartbeat_is_passed_on_that_the_codec_would_change()
    {
        var random = new Random(5);
        byte[][] seeds =
        [
            Frame(1, 2, 3, null), Frame(0, 0, -7, "I1"), Frame(1, 0, 0, new string('r', 130)),
            .. JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "vectors", "wire.json"))).RootElement.GetProperty("vectors").EnumerateArray()
                .Where(v => v.TryGetProperty("hex", out _)).Select(v => Convert.FromHexString(v.GetProperty("hex").GetString()!)).Where(b => b.Length is > 0 and < 300),
        ];
        int found = 0;
        for (int i = 0; i < 300_000; i++)
        {
            byte[] bytes = (byte[])seeds[random.Next(seeds.Length)].Clone();
            for (int changes = random.Next(3); changes > 0; changes--)
                bytes[random.Next(bytes.Length)] = random.Next(3) switch { 0 => (byte)random.Next(256), 1 => (byte)random.Next(0x22), _ => 0 };
            if (random.Next(4) == 0)
                bytes = bytes[..random.Next(bytes.Length)];
            found += CheckAgainstCodec(bytes) ? 1 : 0;
        }
        Assert.InRange(found, 10_000, 200_000);
    }

    [Fact]
    public void Finding_allocates_nothing()
    {
        byte[] frame = Frame(1, 2, 3, "I1a");
        HeartbeatFrame.TryFind(frame, out _, out _);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10_000; i++)
            HeartbeatFrame.TryFind(frame, out _, out _);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }
}
