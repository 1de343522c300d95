using System.Numerics;
using System.Runtime.CompilerServices;

namespace Archipelago.Core.Internals;

/// <summary>
/// One bit a body. Several threads may write words of their own at once; who goes through the marks afterwards finds them in the order of bodies, whichever thread made them.
/// </summary>
internal sealed class BodyMarks
{
    /// <summary>Bodies of one chunk of work, in words: enough to be worth taking, few enough that nobody is long waited for. Few in debug builds, so that small worlds have several.</summary>
#if DEBUG
    private const int ChunkWords = 1;
#else
    private const int ChunkWords = 32;
#endif

    private readonly Pool<ulong> words = new();
    private int bodies;

    /// <summary>Chunks that the bodies come to.</summary>
    public int Chunks => ChunksOf(bodies);

    /// <summary>Chunks that so many bodies come to.</summary>
    public static int ChunksOf(int bodies) => (bodies + (64 * ChunkWords) - 1) / (64 * ChunkWords);

    /// <summary>Makes room for a mark for each of these bodies. Marks are undefined until every word has been written.</summary>
    public void Reset(int count)
    {
        bodies = count;
        words.Resize((count + 63) >> 6);
    }

    /// <summary>The words of a chunk.</summary>
    public (int From, int To) WordsOf(int chunk) => (chunk * ChunkWords, Math.Min((chunk + 1) * ChunkWords, words.Count));

    /// <summary>The bodies of a word: it has a bit for each, from the lowest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public (int From, int To) BodiesOf(int word) => (word << 6, Math.Min((word + 1) << 6, bodies));

    /// <summary>The marks, 64 to a word.</summary>
    public Span<ulong> Words => words.Span;

    /// <summary>Goes through the bodies that are marked, in their order: pass -1 first, then what was returned; -1 at the end.</summary>
    public int Next(int body)
    {
        int from = body + 1, word = from >> 6;
        ReadOnlySpan<ulong> all = words.Span;
        if (word >= all.Length)
            return -1;
        ulong bits = all[word] & (ulong.MaxValue << from);
        while (bits == 0)
        {
            if (++word == all.Length)
                return -1;
            bits = all[word];
        }
        return (word << 6) + BitOperations.TrailingZeroCount(bits);
    }

    /// <summary>Gives the memory back, where that is worth it.</summary>
    public void Release() => words.Release();
}
