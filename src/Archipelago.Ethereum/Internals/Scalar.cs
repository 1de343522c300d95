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

    /// <summary>λ, a cube root of one: for every point P, λ·P has the y of P and β times its x (<see cref="Field.Beta"/>).</summary>
    public static readonly UInt256 Lambda = new(0xDF02967C1B23BD72, 0x122E22EA20816678, 0xA5261C028812645A, 0x5363AD4CC05C30E0);

    // The short basis (a₁, b₁), (a₂, b₂) of the pairs (x, y) with x + y·λ ≡ 0, and 2³⁸⁴·b₂/n and −2³⁸⁴·b₁/n, rounded.
    private static readonly UInt256 MinusB1 = new(0x6F547FA90ABFE4C3, 0xE4437ED6010E8828, 0, 0);
    private static readonly UInt256 MinusB2 = new(0xD765CDA83DB1562C, 0x8A280AC50774346D, 0xFFFFFFFFFFFFFFFE, ulong.MaxValue);
    private static readonly UInt256 G1 = new(0xE893209A45DBB031, 0x3DAA8A1471E8CA7F, 0xE86C90E49284EB15, 0x3086D221A7D46BCD);
    private static readonly UInt256 G2 = new(0x1571B4AE8AC47F71, 0x221208AC9DF506C6, 0x6F547FA90ABFE4C4, 0xE4437ED6010E8828);

    /// <summary>
    /// Writes k as first + second·λ with halves of at most 129 bits, each with a sign, so that k·P takes half the doublings (Gallant, Lambert and Vanstone, "Faster Point
    /// Multiplication on Elliptic Curves with Efficient Endomorphisms", 2001).
    /// </summary>
    public static void Split(in UInt256 k, out UInt256 first, out bool firstIsNegative, out UInt256 second, out bool secondIsNegative)
    {
        second = Add(Multiply(MultiplyAndShift(k, G1), MinusB1), Multiply(MultiplyAndShift(k, G2), MinusB2));
        first = Add(k, Negate(Multiply(second, Lambda)));
        firstIsNegative = MakeShort(ref first);
        secondIsNegative = MakeShort(ref second);
    }

    private static bool MakeShort(ref UInt256 a)
    {
        bool isNegative = a.L3 >> 63 != 0;
        if (isNegative)
            a = Negate(a);
        return isNegative;
    }

    private static UInt256 Add(in UInt256 a, in UInt256 b)
    {
        UInt256 sum = UInt256.Add(a, b, out ulong carry);
        return carry == 0 ? Reduce(sum) : UInt256.Subtract(sum, N, out _);
    }

    /// <summary>a·b / 2³⁸⁴, rounded.</summary>
    private static UInt256 MultiplyAndShift(in UInt256 a, in UInt256 b)
    {
        Span<ulong> wide = stackalloc ulong[8];
        wide.Clear();
        MultiplyAdd([a.L0, a.L1, a.L2, a.L3], [b.L0, b.L1, b.L2, b.L3], wide);
        return UInt256.Add(new UInt256(wide[6], wide[7], 0, 0), new UInt256(wide[5] >> 63, 0, 0, 0), out _);
    }

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
