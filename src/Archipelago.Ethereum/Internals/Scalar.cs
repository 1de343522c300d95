namespace Archipelago.Ethereum.Internals;

/// <summary>Arithmetic modulo n, the order of secp256k1's generator. A signature needs a handful of these, so they are plain rather than fast.</summary>
internal static class Scalar
{
    public static readonly UInt256 N = new(0xBFD25E8CD0364141, 0xBAAEDCE6AF48A03B, 0xFFFFFFFFFFFFFFFE, ulong.MaxValue);

    // 2²⁵⁶ − n, 129 bits.
    private static readonly ulong[] Complement = [0x402DA1732FC9BEBF, 0x4551231950B75FC4, 1];

    /// <summary>The value itself, or less n when it is not below.</summary>
    public static UInt256 Reduce(in UInt256 a) => a.IsBelow(N) ? a : UInt256.Subtract(a, N, out _);

    public static UInt256 Negate(in UInt256 a) => a.IsZero ? a : UInt256.Subtract(N, a, out _);

    public static UInt256 Multiply(in UInt256 a, in UInt256 b)
    {
        ReadOnlySpan<ulong> x = [a.L0, a.L1, a.L2, a.L3], y = [b.L0, b.L1, b.L2, b.L3];
        Span<ulong> wide = stackalloc ulong[8];
        wide.Clear();
        MultiplyAdd(x, y, wide);

        // Each fold replaces what lies above 2²⁵⁶ by its multiple of the complement; 512 bits shrink to 385, 258 and 256.
        Span<ulong> folded = stackalloc ulong[8];
        while ((wide[4] | wide[5] | wide[6] | wide[7]) != 0)
        {
            folded.Clear();
            wide[..4].CopyTo(folded);
            MultiplyAdd(wide[4..], Complement, folded);
            folded.CopyTo(wide);
        }
        return Reduce(new UInt256(wide[0], wide[1], wide[2], wide[3]));
    }

    /// <summary>a⁻¹; zero for zero.</summary>
    public static UInt256 Invert(in UInt256 a) => UInt256.Invert(a, N);

    private static void MultiplyAdd(ReadOnlySpan<ulong> x, ReadOnlySpan<ulong> y, Span<ulong> sum)
    {
        for (int i = 0; i < x.Length; i++)
        {
            ulong carry = 0;
            int at = i;
            foreach (ulong limb in y)
            {
                (sum[at], carry) = UInt256.MultiplyAdd(x[i], limb, sum[at], carry);
                at++;
            }
            for (; carry != 0 && at < sum.Length; at++)
            {
                sum[at] += carry;
                carry = sum[at] < carry ? 1UL : 0;
            }
        }
    }
}
