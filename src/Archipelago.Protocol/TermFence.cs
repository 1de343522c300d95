using System.Buffers.Text;
using Archipelago.Messaging;

namespace Archipelago.Protocol;

/// <summary>
/// Keeps out what a Service says that no longer leads: of several, each that takes the lead has a larger term, and from the moment in which one is heard, what comes from an earlier
/// one is dropped, however late it was sent (fencing, after Kleppmann). Any thread; takes no lock and allocates nothing.
/// </summary>
/// <param name="clock">Where the time comes from.</param>
public sealed class TermFence(TimeProvider clock)
{
    /// <summary>
    /// A leader speaks every second. After so long without it the term is forgotten, so that a Service that has no standbys, and so no terms, can take the place of one that had.
    /// </summary>
    public static readonly TimeSpan Memory = TimeSpan.FromSeconds(30);

    /// <summary>Terms begin with the seconds since 2020 and rise by one; what is larger than this is none.</summary>
    public const long MostTerm = 1L << 36;

    private long term;
    private long heardAt;
    private long dropped;

    /// <summary>The latest term that was heard; 0 for none.</summary>
    public long Term => Volatile.Read(ref term);

    /// <summary>Messages that came from an earlier term.</summary>
    public long Dropped => Volatile.Read(ref dropped);

    /// <summary>True when what has these headers counts: it is of the latest term, or no term is known. Of a later term than any before, it makes that the latest.</summary>
    public bool Admits(ReadOnlySpan<byte> headers)
    {
        long of = Read(headers);
        while (true)
        {
            long known = Volatile.Read(ref term);
            if (of == known)
            {
                if (of != 0)
                    Volatile.Write(ref heardAt, clock.GetTimestamp());
                return true;
            }
            if (of < known && clock.GetElapsedTime(Volatile.Read(ref heardAt)) < Memory)
            {
                Interlocked.Increment(ref dropped);
                return false;
            }
            // First the time: who sees the term must not find it long unheard.
            Volatile.Write(ref heardAt, clock.GetTimestamp());
            if (Interlocked.CompareExchange(ref term, of, known) == known)
                return true;
        }
    }

    /// <summary>The header block that says that a message is of this term.</summary>
    public static byte[] HeadersOf(long term) => BusHeaders.Of(Subjects.TermHeader, term.ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>The term that a message is of; 0 when it does not say. Allocates nothing.</summary>
    public static long Read(ReadOnlySpan<byte> headers) =>
        BusHeaders.TryGet(headers, Subjects.TermHeaderUtf8, out ReadOnlySpan<byte> text) && Utf8Parser.TryParse(text, out long term, out int digits) && digits == text.Length && term is > 0 and <= MostTerm ? term : 0;
}
