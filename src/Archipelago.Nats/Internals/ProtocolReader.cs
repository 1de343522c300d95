using System.Buffers;
using System.Buffers.Text;

namespace Archipelago.Nats.Internals;

/// <summary>What the server's bytes mean, one call a command, on the read loop.</summary>
internal interface IServerCommands
{
    void OnMessage(long subscription, NatsMessage message);

    void OnInfo(ReadOnlySpan<byte> json);

    void OnPing();

    void OnPong();

    void OnError(string error);
}

/// <summary>
/// Cuts received bytes into commands. What lies in one piece of the receive buffer is handed on where it lies; a message across two pieces is first copied
/// into a scratch buffer that is kept. One thread at a time; nothing is allocated once the scratch is large enough.
/// </summary>
internal sealed class ProtocolReader(IServerCommands commands)
{
    /// <summary>A control line longer than this is not the protocol; INFO of a large cluster is the longest.</summary>
    private const int LongestLine = 1 << 20;

    private const int LongestMessage = 1 << 29;

    /// <summary>Two numbers and the spaces before them, of so few digits that no sum overflows.</summary>
    private const int LongestPlainNumbers = 19;

    private byte[] scratch = [];

    /// <summary>Handles all whole commands of the buffer; returns where the first that is not whole begins.</summary>
    /// <exception cref="NatsProtocolException">The bytes are not the protocol.</exception>
    public SequencePosition Read(in ReadOnlySequence<byte> buffer)
    {
        ReadOnlySequence<byte> rest = buffer;
        while (true)
        {
            int done = ReadSpan(rest.FirstSpan, out long needed);
            rest = rest.Slice(done);
            if (rest.IsEmpty || rest.IsSingleSegment)
                return rest.Start;
            if (needed < 0)
                needed = LengthAcross(rest);
            if (needed < 0 || needed > rest.Length)
                return rest.Start;
            if (scratch.Length < needed)
                scratch = new byte[Math.Max(needed, Math.Min(2L * scratch.Length, LongestMessage))];
            Span<byte> whole = scratch.AsSpan(0, (int)needed);
            rest.Slice(0, needed).CopyTo(whole);
            if (ReadSpan(whole, out _) != whole.Length)
                throw new NatsProtocolException("A command changed its length while it was read.");
            rest = rest.Slice(needed);
        }
    }

    /// <summary>
    /// Handles the whole commands at the beginning of the bytes and returns their length. <paramref name="needed"/> is the length of the command that
    /// follows, or -1 while its line is not whole.
    /// </summary>
    private int ReadSpan(ReadOnlySpan<byte> bytes, out long needed)
    {
        int done = 0;
        needed = -1;
        while (done < bytes.Length)
        {
            ReadOnlySpan<byte> rest = bytes[done..];
            int end = rest.IndexOf((byte)'\n');
            if (end < 0)
            {
                if (rest.Length > LongestLine)
                    throw new NatsProtocolException("The server sent a line without end.");
                return done;
            }
            ReadOnlySpan<byte> line = rest[..(end > 0 && rest[end - 1] == '\r' ? end - 1 : end)];
            int length = end + 1;
            if (!TryReadMessage(line, rest, ref length, out needed))
                return done;
            done += length;
            needed = -1;
        }
        return done;
    }

    /// <summary>Handles one command; false when it is a message whose bytes are not all there.</summary>
    private bool TryReadMessage(ReadOnlySpan<byte> line, ReadOnlySpan<byte> rest, ref int length, out long needed)
    {
        needed = -1;
        if (!IsMessage(line, out bool headers))
        {
            Control(line);
            return true;
        }
        Arguments arguments = Parse(line, headers);
        needed = (long)length + arguments.Total + 2;
        if (needed > rest.Length)
            return false;
        ReadOnlySpan<byte> body = rest.Slice(length, arguments.Total);
        if (rest[(int)needed - 2] != '\r' || rest[(int)needed - 1] != '\n')
            throw new NatsProtocolException("A message is longer or shorter than the server said.");
        length = (int)needed;
        commands.OnMessage(arguments.Subscription, new NatsMessage(arguments.Subject, arguments.ReplyTo, body[..arguments.HeaderLength], body[arguments.HeaderLength..]));
        return true;
    }

    private static bool IsMessage(ReadOnlySpan<byte> line, out bool headers)
    {
        headers = false;
        // In capitals with a space, as every server writes it.
        if (line.Length > 4 && System.Buffers.Binary.BinaryPrimitives.ReadInt32LittleEndian(line) == ('M' | ('S' << 8) | ('G' << 16) | (' ' << 24)))
            return true;
        headers = line.Length > 5 && (line[4] is (byte)' ' or (byte)'\t') && Is(line, "hmsg"u8);
        return headers || (line.Length > 4 && (line[3] is (byte)' ' or (byte)'\t') && Is(line, "msg"u8));
    }

    private readonly ref struct Arguments(ReadOnlySpan<byte> subject, long subscription, ReadOnlySpan<byte> replyTo, int headerLength, int total)
    {
        public readonly ReadOnlySpan<byte> Subject = subject;
        public readonly ReadOnlySpan<byte> ReplyTo = replyTo;
        public readonly long Subscription = subscription;
        public readonly int HeaderLength = headerLength;
        public readonly int Total = total;
    }

    /// <summary>Reads "MSG subject sid [reply-to] size" or "HMSG subject sid [reply-to] header-size size".</summary>
    private static Arguments Parse(ReadOnlySpan<byte> line, bool headers)
    {
        if (!headers && TryParsePlain(line, out Arguments plain))
            return plain;
        ReadOnlySpan<byte> rest = line[(headers ? 5 : 4)..];
        ReadOnlySpan<byte> subject = NextToken(ref rest), sid = NextToken(ref rest), third = NextToken(ref rest), fourth = NextToken(ref rest), fifth = NextToken(ref rest);
        bool reply = (headers ? fifth : fourth).Length > 0;
        ReadOnlySpan<byte> replyTo = reply ? third : default;
        ReadOnlySpan<byte> headerSize = !headers ? default : reply ? fourth : third;
        ReadOnlySpan<byte> size = headers ? (reply ? fifth : fourth) : (reply ? fourth : third);
        long headerLength = headers ? Number(headerSize) : 0, total = Number(size);
        if (subject.IsEmpty || headerLength > total || total > LongestMessage || NextToken(ref rest).Length > 0 || (!headers && fifth.Length > 0))
            throw Malformed(line);
        return new Arguments(subject, Number(sid), replyTo, (int)headerLength, (int)total);

        static ReadOnlySpan<byte> NextToken(scoped ref ReadOnlySpan<byte> rest)
        {
            rest = rest.TrimStart(" \t"u8);
            int end = rest.IndexOfAny((byte)' ', (byte)'\t');
            ReadOnlySpan<byte> token = end < 0 ? rest : rest[..end];
            rest = end < 0 ? default : rest[(end + 1)..];
            return token;
        }
    }

    /// <summary>Reads "MSG subject sid size" with single spaces and short numbers, which is what nearly all messages have.</summary>
    private static bool TryParsePlain(ReadOnlySpan<byte> line, out Arguments arguments)
    {
        arguments = default;
        ReadOnlySpan<byte> rest = line[4..];
        int end = rest.IndexOf((byte)' ');
        if (end <= 0 || rest.Length > end + LongestPlainNumbers)
            return false;
        ReadOnlySpan<byte> subject = rest[..end], numbers = rest[(end + 1)..];
        int i = 0;
        long subscription = 0, total = 0;
        for (; i < numbers.Length && (uint)(numbers[i] - '0') <= 9; i++)
            subscription = (subscription * 10) + (numbers[i] - '0');
        if (i == 0 || i + 1 >= numbers.Length || numbers[i] != ' ')
            return false;
        for (i++; i < numbers.Length && (uint)(numbers[i] - '0') <= 9; i++)
            total = (total * 10) + (numbers[i] - '0');
        if (i < numbers.Length || total > LongestMessage)
            return false;
        arguments = new Arguments(subject, subscription, default, 0, (int)total);
        return true;
    }

    private static long Number(ReadOnlySpan<byte> digits)
    {
        long value = 0;
        foreach (byte digit in digits)
        {
            if ((uint)(digit - '0') > 9 || value > long.MaxValue / 20)
                throw Malformed(digits);
            value = (value * 10) + (digit - '0');
        }
        return digits.IsEmpty ? throw Malformed(digits) : value;
    }

    private void Control(ReadOnlySpan<byte> line)
    {
        if (Is(line, "ping"u8))
            commands.OnPing();
        else if (Is(line, "pong"u8))
            commands.OnPong();
        else if (Is(line, "+ok"u8))
            return;
        else if (Is(line, "-err"u8))
            commands.OnError(System.Text.Encoding.UTF8.GetString(line[4..].Trim(" '"u8)));
        else if (Is(line, "info "u8))
            commands.OnInfo(line[5..]);
        else
            throw Malformed(line);
    }

    /// <summary>True when the line begins with these lower-case letters in any case.</summary>
    private static bool Is(ReadOnlySpan<byte> line, ReadOnlySpan<byte> lower) =>
        line.Length >= lower.Length && System.Text.Ascii.EqualsIgnoreCase(line[..lower.Length], lower);

    /// <summary>The length of the command at the beginning of bytes that lie in several pieces; -1 while its line is not whole.</summary>
    private static long LengthAcross(in ReadOnlySequence<byte> rest)
    {
        if (rest.PositionOf((byte)'\n') is not { } end)
            return rest.Length > LongestLine ? throw new NatsProtocolException("The server sent a line without end.") : -1;
        ReadOnlySequence<byte> line = rest.Slice(0, end);
        long length = line.Length + 1;
        if (line.Length > LongestLine)
            throw new NatsProtocolException("The server sent a line without end.");
        byte[] copy = ArrayPool<byte>.Shared.Rent((int)line.Length);
        try
        {
            line.CopyTo(copy);
            ReadOnlySpan<byte> text = copy.AsSpan(0, (int)line.Length).TrimEnd((byte)'\r');
            return IsMessage(text, out bool headers) ? length + Parse(text, headers).Total + 2 : length;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(copy);
        }
    }

    private static NatsProtocolException Malformed(ReadOnlySpan<byte> line)
    {
        ReadOnlySpan<byte> head = line[..Math.Min(line.Length, 60)];
        return new NatsProtocolException($"The server sent what is not the NATS protocol: \"{System.Text.Encoding.Latin1.GetString(head)}\".");
    }
}
