using System.Buffers.Text;
using System.Text;
using Archipelago.Messaging;

namespace Archipelago.Nats.Internals;

/// <summary>What became of a message that was to be sent.</summary>
internal enum Appended
{
    Yes,

    /// <summary>There is no room just now.</summary>
    Full,

    /// <summary>The server is out of reach, and the message was not to be kept or there is no room for it.</summary>
    Dropped,
}

/// <summary>
/// Bytes on their way to the server. Publishers append whole commands under a lock that is held for the copying alone; the link's write loop takes all of
/// them at once, so that many messages go into one write. While there is no link, what is to be kept waits here.
/// </summary>
/// <remarks>
/// Shared fields are guarded by <see cref="Gate"/>. Two buffers take turns: one is filled while the other is written. The same lock guards the
/// table of subscriptions and the list of expected PONGs, since their order must be that of the commands.
/// </remarks>
internal sealed class Outbox(NatsOptions options, NatsStatistics statistics)
{
    private const int FirstSize = 1 << 14;

    /// <summary>Room for the words, numbers and line ends of a command.</summary>
    private const int Overhead = 64;

    private byte[] filling = new byte[FirstSize];
    private byte[]? spare;
    private int length;
    private int messages;
    private int pings;
    private bool open;
    private TaskCompletionSource? room;

    /// <summary>Guards everything here, and what must keep its order.</summary>
    public Lock Gate { get; } = new();

    /// <summary>Set when there is something to write.</summary>
    public WakeUp Filled { get; } = new();

    /// <summary>Messages that wait. Under the gate.</summary>
    public int WaitingMessages => messages;

    public int PendingBytes => Volatile.Read(ref length);

    /// <summary>True while a link takes what is appended. Under the gate.</summary>
    public bool IsOpen => open;

    /// <summary>Appends PUB, or HPUB when there are headers.</summary>
    public Appended Publish(string subject, string? replyTo, ReadOnlySpan<byte> headers, ReadOnlySpan<byte> payload, WhenDisconnected whenDisconnected)
    {
        int needed = Overhead + Encoding.UTF8.GetMaxByteCount(subject.Length) + Encoding.UTF8.GetMaxByteCount(replyTo?.Length ?? 0) + headers.Length + payload.Length;
        lock (Gate)
        {
            if (!open && whenDisconnected == WhenDisconnected.Drop)
            {
                statistics.CountDropped(DropCause.Disconnected);
                return Appended.Dropped;
            }
            if (length > 0 && (long)length + needed > (open ? options.SendBuffer : options.KeepBuffer))
            {
                if (open)
                    return Appended.Full;
                statistics.CountDropped(DropCause.KeepBufferFull);
                return Appended.Dropped;
            }
            bool wake = length == 0;
            Write(Reserve(needed), subject, replyTo, headers, payload);
            messages++;
            statistics.CountSent(headers.Length + payload.Length);
            if (wake)
                Filled.Set();
        }
        return Appended.Yes;
    }

    /// <summary>Appends a command of the protocol, whatever waits. Under the gate.</summary>
    public void Command(ReadOnlySpan<byte> command)
    {
        command.CopyTo(Reserve(command.Length));
        length += command.Length;
        Filled.Set();
    }

    /// <summary>Appends a PING, whose PONG tells that everything before has arrived. Under the gate.</summary>
    public void Ping()
    {
        pings++;
        Command("PING\r\n"u8);
    }

    /// <summary>PINGs that wait; the next link will send them. Under the gate.</summary>
    public int WaitingPings => pings;

    /// <summary>A link begins: what is appended from now on is written. Under the gate, after the link was given the subscriptions.</summary>
    public void Open() => open = true;

    /// <summary>The link has ended. What was not taken yet is kept. Under the gate.</summary>
    public void Close()
    {
        open = false;
        Release();
    }

    /// <summary>Hands out all that waits, and how many messages it is; the buffer that was handed out before comes back by it.</summary>
    public ReadOnlyMemory<byte> Take(ref byte[]? written, out int taking)
    {
        lock (Gate)
        {
            // A burst's buffer is not kept for ever.
            if (written is not null && written.Length <= 2 * options.SendBuffer)
                spare = written;
            int taken = length;
            taking = messages;
            messages = pings = 0;
            written = filling;
            filling = spare ?? new byte[FirstSize];
            spare = null;
            Volatile.Write(ref length, 0);
            Release();
            return written.AsMemory(0, taken);
        }
    }

    /// <summary>Completes when something has been taken, or the link has ended.</summary>
    public Task WaitForRoomAsync()
    {
        lock (Gate)
        {
            if (!open || length == 0)
                return Task.CompletedTask;
            room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return room.Task;
        }
    }

    private void Release()
    {
        room?.SetResult();
        room = null;
    }

    private Span<byte> Reserve(int needed)
    {
        if (filling.Length - length < needed)
            Array.Resize(ref filling, Math.Max(filling.Length * 2, length + needed));
        return filling.AsSpan(length);
    }

    private void Write(Span<byte> to, string subject, string? replyTo, ReadOnlySpan<byte> headers, ReadOnlySpan<byte> payload)
    {
        int at = 0;
        Copy(headers.IsEmpty ? "PUB "u8 : "HPUB "u8, to, ref at);
        at += Encoding.UTF8.GetBytes(subject, to[at..]);
        to[at++] = (byte)' ';
        if (replyTo is not null)
        {
            at += Encoding.UTF8.GetBytes(replyTo, to[at..]);
            to[at++] = (byte)' ';
        }
        if (!headers.IsEmpty)
        {
            Number(headers.Length, to, ref at);
            to[at++] = (byte)' ';
        }
        Number(headers.Length + payload.Length, to, ref at);
        Copy("\r\n"u8, to, ref at);
        Copy(headers, to, ref at);
        Copy(payload, to, ref at);
        Copy("\r\n"u8, to, ref at);
        length += at;
    }

    private static void Copy(ReadOnlySpan<byte> bytes, Span<byte> to, ref int at)
    {
        bytes.CopyTo(to[at..]);
        at += bytes.Length;
    }

    private static void Number(int value, Span<byte> to, ref int at)
    {
        Utf8Formatter.TryFormat(value, to[at..], out int written);
        at += written;
    }
}
