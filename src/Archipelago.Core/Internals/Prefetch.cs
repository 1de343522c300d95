using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Archipelago.Core.Internals;

/// <summary>Asks for memory before it is needed, where the processor can be asked; elsewhere it does nothing.</summary>
internal static class Prefetch
{
    /// <summary>How many entries ahead of its use an entry is asked for: enough to hide a trip to memory behind the work on those between.</summary>
    public const int Distance = 16;

    /// <summary>Fetches the cache line of this entry; an index out of range fetches nothing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Entry<T>(T[] column, int index)
        where T : unmanaged
    {
        // The address may be stale by the time it is used, when the collector moves the array: a prefetch of any address is harmless.
        if (Sse.IsSupported && (uint)index < (uint)column.Length)
            Sse.Prefetch0(Unsafe.AsPointer(ref column[index]));
    }
}
