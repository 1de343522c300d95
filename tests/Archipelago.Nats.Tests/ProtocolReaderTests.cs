using System.Buffers;
using System.Text;
using Archipelago.Nats.Internals;

namespace Archipelago.Nats.Tests;

public class ProtocolReaderTests
{
    private sealed class Recorder : IServerCommands
    {
        public List<string> Heard { get; } = [];

        public void OnMessage(long subscription, NatsMessage message) => Heard.Add(
            $"{subscription} {Text(message.Subject)} [{Text(message.ReplyTo)}] [{Text(message.Headers)}] {Text(message.Payload)}");

        public void OnInfo(ReadOnlySpan<byte> json) => Heard.Add("info " + Text(json));

        public void OnPing() => Heard.Add("ping");

        public void OnPong() => Heard.Add("pong");

        public void OnError(string error) => Heard.Add("error " + error);

        private static string Text(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes);
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(ReadOnlyMemory<byte> bytes) => Memory = bytes;

        public Piece Then(ReadOnlyMemory<byte> bytes)
        {
            var next = new Piece(bytes) { RunningIndex = RunningIndex + Memory.Length };
            Next = next;
            return next;
        }
    }

    private const string Session =
        "INFO {\"server_id\":\"x\"}\r\nPING\r\nMSG a.b 7 5\r\nhello\r\npong\r\n+OK\r\nMSG a 8 _INBOX.1 0\r\n\r\nmsg\ta.b  9\tr   2\r\nok\r\n"
        + "HMSG h 10 12 15\r\nNATS/1.0\r\n\r\nabc\r\nHMSG h 11 reply 29 29\r\nNATS/1.0 503\r\nName: value\r\n\r\n\r\n-ERR 'Unknown Protocol Operation'\r\nMSG a 1048577 2\r\n\r\n\r\n";

    private static readonly string[] Expected =
    [
        "info {\"server_id\":\"x\"}", "ping", "7 a.b [] [] hello", "pong", "8 a [_INBOX.1] [] ", "9 a.b [r] [] ok",
        "10 h [] [NATS/1.0\r\n\r\n] abc", "11 h [reply] [NATS/1.0 503\r\nName: value\r\n\r\n] ", "error Unknown Protocol Operation", "1048577 a [] [] \r\n",
    ];

    [Fact]
    public void Commands_are_told_apart()
    {
        var recorder = new Recorder();
        var bytes = new ReadOnlySequence<byte>(Encoding.ASCII.GetBytes(Session));
        SequencePosition end = new ProtocolReader(recorder).Read(bytes);
        Assert.Equal(Expected, recorder.Heard);
        Assert.Equal(bytes.End, end);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(40)]
    public void However_the_bytes_are_cut(int size)
    {
        var recorder = new Recorder();
        var reader = new ProtocolReader(recorder);
        byte[] all = Encoding.ASCII.GetBytes(Session);
        // As a pipe does: what was not consumed comes again, with one piece more.
        int consumed = 0;
        for (int received = size; consumed < all.Length; received = Math.Min(all.Length, received + size))
        {
            var first = new Piece(all.AsMemory(consumed, Math.Min(size, received - consumed)));
            Piece last = first;
            for (int at = consumed + first.Memory.Length; at < received; at += size)
                last = last.Then(all.AsMemory(at, Math.Min(size, received - at)));
            var buffer = new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
            consumed += (int)buffer.Slice(0, reader.Read(buffer)).Length;
        }
        Assert.Equal(Expected, recorder.Heard);
    }

    [Theory]
    [InlineData("HELLO\r\n")]
    [InlineData("MSG a 1\r\n\r\n")]
    [InlineData("MSG a 1 x\r\n\r\n")]
    [InlineData("MSG a 1 -1\r\n\r\n")]
    [InlineData("MSG a 1 99999999999999999999\r\n\r\n")]
    [InlineData("MSG a 1 999999999\r\n")]
    [InlineData("MSG a x 0\r\n\r\n")]
    [InlineData("MSG a 1 2\r\nabcd")]
    [InlineData("HMSG a 1 9 5\r\nabcde\r\n")]
    [InlineData("MSG a 1 r 2 2 2\r\nab\r\n")]
    [InlineData("MSG a 1 r 2 9\r\nab\r\n")]
    [InlineData("\0\0\0\r\n")]
    [InlineData("\r\n")]
    public void What_is_not_the_protocol_is_refused(string garbage) =>
        Assert.Throws<NatsProtocolException>(() => new ProtocolReader(new Recorder()).Read(new ReadOnlySequence<byte>(Encoding.Latin1.GetBytes(garbage))));

    [Fact]
    public void A_line_without_end_is_refused() =>
        Assert.Throws<NatsProtocolException>(() => new ProtocolReader(new Recorder()).Read(new ReadOnlySequence<byte>(new byte[2_000_000].Select(_ => (byte)'a').ToArray())));

    [Fact]
    public void Random_bytes_never_do_worse_than_a_refusal()
    {
        var random = new Random(1);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = Encoding.ASCII.GetBytes(Session);
            for (int change = random.Next(1, 6); change > 0; change--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            int cut = random.Next(1, bytes.Length);
            var first = new Piece(bytes.AsMemory(0, cut));
            Piece last = first.Then(bytes.AsMemory(cut));
            try
            {
                new ProtocolReader(new Recorder()).Read(new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length));
            }
            catch (NatsProtocolException)
            {
                // Refused: that is what is to happen to garbage.
            }
        }
    }
}
