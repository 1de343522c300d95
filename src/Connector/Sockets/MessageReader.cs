using System.Buffers;
using System.Text.Unicode;

namespace Archipelago.Connector;

/// <summary>What has been read from a client's bytes.</summary>
internal enum Reading
{
    /// <summary>Nothing whole yet.</summary>
    NeedsMore,

    /// <summary>A message, text or binary.</summary>
    Message,

    /// <summary>A ping, to be answered with the same payload.</summary>
    Ping,

    /// <summary>A pong.</summary>
    Pong,

    /// <summary>A close frame.</summary>
    Close,

    /// <summary>A message that is or becomes larger than allowed. Told once; its bytes are thrown away.</summary>
    TooBig,

    /// <summary>A text that is not UTF-8.</summary>
    NotText,

    /// <summary>Bytes that break the protocol; nothing can be read after them.</summary>
    Broken,
}

/// <summary>
/// Puts messages together from the frames of one client (RFC 6455, §5), as the bytes come, holding no more memory than has come. One thread at a time. In the steady state
/// nothing is allocated.
/// </summary>
/// <param name="maxMessage">Bytes of a message.</param>
internal struct MessageReader(Limit maxMessage)
{
    private byte[]? buffer;
    private int length;
    private FrameHeader frame;
    private long remaining;
    private bool inFrame;
    private bool inMessage;
    private bool isText;
    private bool tooBig;
    private bool told;

    /// <summary>Reads on until something is whole.</summary>
    /// <param name="bytes">What came; afterwards what is left of it.</param>
    /// <param name="content">The message, or the payload of the control frame; valid until the next call.</param>
    public Reading Read(ref ReadOnlySequence<byte> bytes, out ReadOnlyMemory<byte> content)
    {
        content = default;
        if (!inMessage && !inFrame)
            Release();
        while (true)
        {
            if (!inFrame)
            {
                if (!FrameHeader.TryRead(ref bytes, out frame, out bool broken))
                    return broken ? Reading.Broken : Reading.NeedsMore;
                if (frame.IsControl)
                    return ReadControl(ref bytes, out content);
                if (!TryBeginData())
                    return Reading.Broken;
                if (!told && frame.Length > maxMessage.Threshold - length)
                {
                    (told, tooBig) = (true, maxMessage.IsEnforced);
                    return Reading.TooBig;
                }
            }
            if (frame.IsControl)
                return ReadControl(ref bytes, out content);
            Take(ref bytes);
            if (remaining > 0)
                return Reading.NeedsMore;
            inFrame = false;
            if (!frame.IsFinal)
                continue;
            content = buffer.AsMemory(0, length);
            bool thrownAway = tooBig;
            (inMessage, told, tooBig, length) = (false, false, false, 0);
            if (thrownAway)
                continue;
            return isText && !Utf8.IsValid(content.Span) ? Reading.NotText : Reading.Message;
        }
    }

    /// <summary>Gives back what it holds; whatever was read is void.</summary>
    public void Release()
    {
        if (buffer is null)
            return;
        ArrayPool<byte>.Shared.Return(buffer);
        (buffer, length) = (null, 0);
    }

    private bool TryBeginData()
    {
        if (inMessage != (frame.Kind == FrameKind.Continuation))
            return false;
        if (!inMessage)
            isText = frame.Kind == FrameKind.Text;
        (inMessage, inFrame, remaining) = (true, true, frame.Length);
        return true;
    }

    private void Take(ref ReadOnlySequence<byte> bytes)
    {
        foreach (ReadOnlyMemory<byte> segment in bytes)
        {
            ReadOnlySpan<byte> part = segment.Span[..(int)Math.Min(segment.Length, remaining)];
            if (!tooBig)
            {
                MakeRoom(part.Length);
                frame.Unmask(part, buffer.AsSpan(length), frame.Length - remaining);
                length += part.Length;
            }
            remaining -= part.Length;
            bytes = bytes.Slice(part.Length);
            if (remaining == 0)
                return;
        }
    }

    private void MakeRoom(int more)
    {
        if (buffer is not null && length + more <= buffer.Length)
            return;
        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(length + more, 2 * length));
        if (buffer is not null)
        {
            buffer.AsSpan(0, length).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(buffer);
        }
        buffer = larger;
    }

    /// <summary>A control frame has at most 125 bytes, so it is waited for as a whole and leaves a message that it interrupts alone.</summary>
    private Reading ReadControl(ref ReadOnlySequence<byte> bytes, out ReadOnlyMemory<byte> content)
    {
        content = default;
        inFrame = bytes.Length < frame.Length;
        if (inFrame)
            return Reading.NeedsMore;
        byte[] payload = bytes.Slice(0, frame.Length).ToArray();
        frame.Unmask(payload, payload, 0);
        bytes = bytes.Slice(frame.Length);
        content = payload;
        return frame.Kind switch { FrameKind.Ping => Reading.Ping, FrameKind.Pong => Reading.Pong, _ => Reading.Close };
    }
}
