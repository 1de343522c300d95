using System.Buffers;
using System.Text;

namespace Archipelago.Connector.Tests;

/// <summary>Frames and messages, byte by byte (RFC 6455, §5).</summary>
public class FrameTests
{
    private static readonly Limit Standard = new(16 * 1024);

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, Segment? before)
        {
            Memory = memory;
            if (before is null)
                return;
            RunningIndex = before.RunningIndex + before.Memory.Length;
            before.Next = this;
        }
    }

    /// <summary>The bytes in pieces of random sizes, as they may lie in the buffers of a connection.</summary>
    private static ReadOnlySequence<byte> Scatter(byte[] bytes, Random random)
    {
        Segment? first = null, last = null;
        for (int at = 0; at < bytes.Length || first is null;)
        {
            int length = Math.Min(bytes.Length - at, random.Next(1, 30));
            last = new Segment(bytes.AsMemory(at, length), last);
            first ??= last;
            at += length;
        }
        return new ReadOnlySequence<byte>(first, 0, last!, last!.Memory.Length);
    }

    /// <summary>Feeds the bytes in pieces and says what was read, one line each; the steps that it took come with it.</summary>
    private static (List<string> Read, int Steps) Feed(byte[] bytes, Random random, Limit? limit = null)
    {
        var reader = new MessageReader(limit ?? Standard);
        var read = new List<string>();
        int steps = 0, arrived = 0, consumed = 0;
        while (true)
        {
            ReadOnlySequence<byte> sequence = Scatter(bytes[consumed..arrived], random);
            long before = sequence.Length;
            while (true)
            {
                steps++;
                Reading reading = reader.Read(ref sequence, out ReadOnlyMemory<byte> content);
                if (reading == Reading.NeedsMore)
                    break;
                read.Add(reading is Reading.TooBig or Reading.Broken or Reading.NotText ? $"{reading}" : $"{reading} {Convert.ToHexString(content.Span)}");
                if (reading == Reading.Broken)
                    return (read, steps);
            }
            consumed += (int)(before - sequence.Length);
            if (arrived == bytes.Length)
                break;
            arrived = Math.Min(bytes.Length, arrived + random.Next(1, 60));
        }
        reader.Release();
        return (read, steps);
    }

    [Fact]
    public void Whatever_way_the_bytes_come_the_messages_are_those_that_were_sent()
    {
        var random = new Random(1);
        for (int round = 0; round < 3000; round++)
        {
            var bytes = new List<byte>();
            var expected = new List<string>();
            for (int messages = random.Next(1, 6); messages > 0; messages--)
            {
                byte[] message = new byte[random.Next(8) switch { 0 => 0, 1 => random.Next(120, 135), 2 => random.Next(65_000, 66_000), _ => random.Next(60) }];
                random.NextBytes(message);
                bool isText = random.Next(4) == 0;
                if (isText)
                    message = Encoding.UTF8.GetBytes(Convert.ToHexString(message));
                int fragments = random.Next(3) == 0 ? random.Next(2, 5) : 1;
                for (int i = 0; i < fragments; i++)
                {
                    FrameKind kind = i > 0 ? FrameKind.Continuation : isText ? FrameKind.Text : FrameKind.Binary;
                    bytes.AddRange(MemoryClient.Frame(kind, message[(message.Length * i / fragments)..(message.Length * (i + 1) / fragments)], i == fragments - 1, (uint)random.Next()));
                    if (random.Next(4) != 0)
                        continue;
                    byte[] payload = new byte[random.Next(126)];
                    if (i < fragments - 1)
                        expected.Add($"Ping {Convert.ToHexString(payload)}");
                    if (i < fragments - 1)
                        bytes.AddRange(MemoryClient.Frame(FrameKind.Ping, payload));
                }
                expected.Add($"Message {Convert.ToHexString(message)}");
            }
            Assert.Equal(expected, Feed([.. bytes], random, new Limit(1 << 20)).Read);
        }
    }

    [Theory]
    [InlineData("0205", "Broken")] // not masked
    [InlineData("C28000000000", "Broken")] // a reserved bit
    [InlineData("838000000000", "Broken")] // a reserved kind
    [InlineData("8B8000000000", "Broken")]
    [InlineData("098000000000", "Broken")] // a ping in fragments
    [InlineData("89FE007E00000000", "Broken")] // a ping of 126 bytes
    [InlineData("808000000000", "Broken")] // goes on where nothing began
    [InlineData("028000000000828000000000", "Broken")] // begins where something goes on
    [InlineData("82FF800000000000000000000000", "Broken")] // a length below zero
    [InlineData("81820000000028FF", "NotText")]
    [InlineData("828000000000", "Message ")]
    [InlineData("028000000000808000000000", "Message ")]
    [InlineData("888000000000", "Close ")]
    [InlineData("8A8000000000", "Pong ")]
    public void Bytes_are_read_as_the_protocol_says(string hex, string read) => Assert.Equal([read], Feed(Convert.FromHexString(hex), new Random(2)).Read);

    [Theory]
    [InlineData(16_384, 1, false)]
    [InlineData(16_385, 1, true)]
    [InlineData(16_384, 9, false)]
    [InlineData(16_385, 9, true)]
    public void A_message_over_the_limit_is_told_once_and_thrown_away_and_the_next_is_read(int length, int fragments, bool tooBig)
    {
        byte[] message = new byte[length];
        var bytes = new List<byte>();
        for (int i = 0; i < fragments; i++)
            bytes.AddRange(MemoryClient.Frame(i == 0 ? FrameKind.Binary : FrameKind.Continuation, message[(length * i / fragments)..(length * (i + 1) / fragments)], i == fragments - 1));
        bytes.AddRange(MemoryClient.Frame(FrameKind.Binary, [7]));
        List<string> read = Feed([.. bytes], new Random(3)).Read;
        Assert.Equal(2, read.Count);
        Assert.Equal(tooBig, read[0] == "TooBig");
        Assert.Equal("Message 07", read[1]);
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(long.MaxValue - 16_384)]
    [InlineData(1L << 40)]
    public void A_length_beyond_reason_is_too_big_whatever_came_before(long length)
    {
        byte[] header = [0x80, 0xFF, .. BitConverter.GetBytes(System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(length)), 1, 2, 3, 4];
        byte[] bytes = [.. MemoryClient.Frame(FrameKind.Binary, [1], final: false), .. header, .. new byte[100_000]];
        Assert.Equal(["TooBig"], Feed(bytes, new Random(5)).Read);
    }

    [Fact]
    public void Without_a_limit_a_large_message_is_told_and_read_all_the_same()
    {
        byte[] bytes = MemoryClient.Frame(FrameKind.Binary, new byte[20_000]);
        List<string> read = Feed(bytes, new Random(3), new Limit(0, 16_384)).Read;
        Assert.Equal("TooBig", read[0]);
        Assert.Equal(8 + 40_000, read[1].Length);
    }

    [Fact]
    public void No_bytes_make_it_throw_or_work_harder_than_they_are_long()
    {
        var random = new Random(4);
        byte[][] seeds =
        [
            MemoryClient.Frame(FrameKind.Binary, new byte[30]), MemoryClient.Frame(FrameKind.Text, "text"u8), MemoryClient.Frame(FrameKind.Ping, "p"u8),
            [.. MemoryClient.Frame(FrameKind.Binary, new byte[3], false), .. MemoryClient.Frame(FrameKind.Continuation, [])], MemoryClient.Frame(FrameKind.Close, [3, 232]),
            MemoryClient.Frame(FrameKind.Binary, new byte[200]),
        ];
        for (int i = 0; i < 200_000; i++)
        {
            List<byte> bytes = [.. seeds[random.Next(seeds.Length)], .. seeds[random.Next(seeds.Length)]];
            for (int changes = random.Next(4); changes > 0; changes--)
                bytes[random.Next(bytes.Count)] = (byte)random.Next(256);
            (List<string> read, int steps) = Feed([.. bytes], random);
            // A call for each piece that came, and one for each thing that was read: no frame is shorter than six bytes.
            Assert.InRange(steps, 1, bytes.Count + 2);
            Assert.InRange(read.Count, 0, (bytes.Count / 6) + 1);
        }
    }

    [Fact]
    public void A_large_frame_that_dribbles_in_holds_no_more_memory_than_has_come()
    {
        byte[] frame = MemoryClient.Frame(FrameKind.Binary, new byte[16_000]);
        var readers = new MessageReader[200];
        Array.Fill(readers, new MessageReader(Standard));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < readers.Length; i++)
        {
            var sequence = new ReadOnlySequence<byte>(frame, 0, 50);
            Assert.Equal(Reading.NeedsMore, readers[i].Read(ref sequence, out _));
        }
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, readers.Length * 1000);
        for (int i = 0; i < readers.Length; i++)
            readers[i].Release();
    }

    [Theory]
    [InlineData("", 0, "8800")]
    [InlineData("03E8", 1000, "880203E8")]
    [InlineData("0BB8", 3000, "88020BB8")]
    [InlineData("03E9616263", 1001, "880203E9")]
    [InlineData("03", 1002, null)] // half a code
    [InlineData("03ED", 1002, null)] // 1005, 1006 and 1015 are never sent
    [InlineData("03EE", 1002, null)]
    [InlineData("03F7", 1002, null)]
    [InlineData("03E8FF", 1002, null)] // a reason that is not UTF-8
    public void A_close_is_answered_with_its_code_and_one_that_may_not_be_with_an_error(string payload, int code, string? frame)
    {
        CloseReason answer = CloseReason.AnswerTo(Convert.FromHexString(payload));
        Assert.Equal(code, answer.Code);
        Assert.Equal(frame ?? "88103EA", frame is null ? "88103EA" : Convert.ToHexString(answer.ToFrame()));
    }

    [Fact]
    public void No_close_of_ours_has_a_code_that_may_not_be_written_or_a_reason_that_does_not_fit()
    {
        foreach (System.Reflection.PropertyInfo property in typeof(CloseReason).GetProperties(System.Reflection.BindingFlags.Static | System.Reflection.BindingFlags.Public))
        {
            var reason = (CloseReason)property.GetValue(null)!;
            Assert.DoesNotContain(reason.Code, (int[])[1004, 1005, 1006, 1015]);
            byte[] frame = reason.ToFrame();
            Assert.Equal(frame.Length - 2, frame[1]);
            Assert.Equal(reason.Text, Encoding.ASCII.GetString(frame.AsSpan(Math.Min(4, frame.Length))));
        }
    }
}
