using System.Buffers;
using System.Text;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Protocol.Tests;

/// <summary>What reads and writes without objects agrees with the generated classes.</summary>
public class HotPathTests
{
    private static readonly float[] Coordinates = [0, -0f, 1, -8.5f, float.NaN, float.PositiveInfinity, float.MaxValue, float.Epsilon];

    private static void AssertReadsAlike(byte[] bytes)
    {
        bool generated = ClientFrames.TryDecodeHeartbeat(bytes, out Heartbeat? expected);
        Assert.Equal(generated, HeartbeatReader.TryRead(bytes, out HeartbeatView read));
        if (!generated)
            return;
        Assert.Equal(expected!.Position is not null, read.HasPosition);
        Assert.Equal((expected.Position?.X ?? 0, expected.Position?.Y ?? 0, expected.Position?.Z ?? 0), (read.X, read.Y, read.Z));
        Assert.Equal(expected.DesiredRoom, Encoding.UTF8.GetString(read.DesiredRoom));
    }

    [Fact]
    public void Heartbeats_are_read_as_the_generated_classes_read_them()
    {
        AssertReadsAlike([]);
        foreach (float x in Coordinates)
            foreach (float z in Coordinates)
                foreach (string room in (string[])["", "I1", "ü", new('r', 300)])
                    AssertReadsAlike(new Heartbeat { Position = new Position { X = x, Y = 1, Z = z }, DesiredRoom = room }.ToByteArray());
        AssertReadsAlike(new Heartbeat { DesiredRoom = "I1" }.ToByteArray());
    }

    [Fact]
    public void Damaged_heartbeats_get_the_same_verdict()
    {
        var random = new Random(1);
        byte[] whole = new Heartbeat { Position = new Position { X = 1, Y = 2, Z = 3 }, DesiredRoom = "I1" }.ToByteArray();
        for (int i = 0; i < 50_000; i++)
        {
            // Bytes changed, taken out, and parts repeated.
            List<byte> bytes = [.. whole, .. random.Next(3) == 0 ? whole[..random.Next(whole.Length)] : []];
            for (int change = random.Next(4); change > 0 && bytes.Count > 0; change--)
            {
                if (random.Next(3) == 0)
                    bytes.RemoveAt(random.Next(bytes.Count));
                else
                    bytes[random.Next(bytes.Count)] = (byte)random.Next(256);
            }
            AssertReadsAlike([.. bytes]);
        }
    }

    [Fact]
    public void Reading_a_heartbeat_allocates_nothing()
    {
        byte[] bytes = new Heartbeat { Position = new Position { X = 1, Y = 2, Z = 3 }, DesiredRoom = "I1" }.ToByteArray();
        HeartbeatReader.TryRead(bytes, out _);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
            HeartbeatReader.TryRead(bytes, out _);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Theory]
    [InlineData("I1", "livekit:wss://x?access_token=abc", "")]
    [InlineData("room-1", "c", "room-2")]
    [InlineData("I1", "", "I2")]
    public void Island_changes_are_the_bytes_of_the_generated_classes(string island, string connection, string from)
    {
        foreach (float x in Coordinates)
        {
            // A map of one entry has one order.
            var expected = new IslandChangedMessage { IslandId = island, ConnStr = connection, Peers = { ["0xab"] = new Position { X = x, Y = 2, Z = -x } } };
            if (from.Length > 0)
                expected.FromIslandId = from;
            var written = new ArrayBufferWriter<byte>();
            IslandChangeWriter.WriteChange(written, Encoding.UTF8.GetBytes(island), Encoding.UTF8.GetBytes(connection), Encoding.UTF8.GetBytes(from));
            IslandChangeWriter.WritePeer(written, "0xab"u8, x, 2, -x);
            if (connection.Length > 0)
                Assert.Equal(Convert.ToHexString(expected.ToByteArray()), Convert.ToHexString(written.WrittenSpan));
            // Through the bytes, since −0 is not written by either.
            Assert.Equal(IslandChangedMessage.Parser.ParseFrom(expected.ToByteArray()), IslandChangedMessage.Parser.ParseFrom(written.WrittenSpan));
        }
    }

    [Fact]
    public void Long_texts_and_many_peers_are_written_whole()
    {
        var expected = new IslandChangedMessage { IslandId = new('i', 200), ConnStr = new('c', 20_000) };
        var written = new ArrayBufferWriter<byte>();
        IslandChangeWriter.WriteChange(written, Encoding.UTF8.GetBytes(expected.IslandId), Encoding.UTF8.GetBytes(expected.ConnStr), default);
        for (int i = 0; i < 300; i++)
        {
            string address = $"0x{i:x40}{new string('a', i)}";
            expected.Peers[address] = new Position { X = i, Y = i % 2, Z = 0 };
            IslandChangeWriter.WritePeer(written, Encoding.UTF8.GetBytes(address), i, i % 2, 0);
        }
        Assert.Equal(expected, IslandChangedMessage.Parser.ParseFrom(written.WrittenSpan));
    }

    [Theory]
    [InlineData("", 1, "I1")]
    [InlineData("room-", 36, "room-10")]
    [InlineData("é", long.MaxValue, "é1y2p0ij32e8e7")]
    public void Names_are_written_as_they_are_formatted(string prefix, long number, string expected)
    {
        var names = new IslandNames(prefix);
        byte[] bytes = new byte[names.MaxLength];
        Assert.Equal(expected, Encoding.UTF8.GetString(bytes.AsSpan(0, names.Format(number, bytes))));
        Assert.Equal(expected, names.Format(number));
    }
}
