using System.Runtime.CompilerServices;

namespace Archipelago.Ethereum.Internals;

/// <summary>
/// Arithmetic modulo p = 2²⁵⁶ − 2³² − 977, the field of secp256k1. Numbers are kept below p. Not constant-time: no secret passes through.
/// </summary>
internal static class Field
{
    /// <summary>2²⁵⁶ − p.</summary>
    private const ulong Complement = 0x1000003D1;

    private const ulong LowestLimb = 0xFFFFFFFEFFFFFC2F;

    public static readonly UInt256 P = new(LowestLimb, ulong.MaxValue, ulong.MaxValue, ulong.MaxValue);
    /// <summary>β, a cube root of one; see <see cref="Scalar.Lambda"/>.</summary>
    public static readonly UInt256 Beta = new(0xC1396C28719501EE, 0x9CF0497512F58995, 0x6E64479EAC3434E9, 0x7AE96A2B657C0710);

    public static readonly UInt256 One = new(1, 0, 0, 0);

    public static UInt256 Add(in UInt256 a, in UInt256 b)
    {
        UInt256 sum = UInt256.Add(a, b, out ulong carry);
        return Normalize(sum, carry);
    }

    public static UInt256 Subtract(in UInt256 a, in UInt256 b)
    {
        UInt256 difference = UInt256.Subtract(a, b, out ulong borrow);
        if (borrow == 0)
            return difference;
        // Below zero by less than p: adding p is subtracting its complement from the wrapped value.
        return UInt256.Subtract(difference, new UInt256(Complement, 0, 0, 0), out _);
    }

    public static UInt256 Negate(in UInt256 a) => a.IsZero ? a : UInt256.Subtract(P, a, out _);

    public static UInt256 Double(in UInt256 a) => Add(a, a);

    public static UInt256 Square(in UInt256 a) => Multiply(a, a);

    public static UInt256 Multiply(in UInt256 a, in UInt256 b)
    {
        ulong a0 = a.L0, a1 = a.L1, a2 = a.L2, a3 = a.L3, b0 = b.L0, b1 = b.L1, b2 = b.L2, b3 = b.L3;
        (ulong t0, ulong carry) = UInt256.MultiplyAdd(a0, b0, 0, 0);
        (ulong t1, carry) = UInt256.MultiplyAdd(a0, b1, 0, carry);
        (ulong t2, carry) = UInt256.MultiplyAdd(a0, b2, 0, carry);
        (ulong t3, carry) = UInt256.MultiplyAdd(a0, b3, 0, carry);
        ulong t4 = carry;

        (t1, carry) = UInt256.MultiplyAdd(a1, b0, t1, 0);
        (t2, carry) = UInt256.MultiplyAdd(a1, b1, t2, carry);
        (t3, carry) = UInt256.MultiplyAdd(a1, b2, t3, carry);
        (t4, carry) = UInt256.MultiplyAdd(a1, b3, t4, carry);
        ulong t5 = carry;

        (t2, carry) = UInt256.MultiplyAdd(a2, b0, t2, 0);
        (t3, carry) = UInt256.MultiplyAdd(a2, b1, t3, carry);
        (t4, carry) = UInt256.MultiplyAdd(a2, b2, t4, carry);
        (t5, carry) = UInt256.MultiplyAdd(a2, b3, t5, carry);
        ulong t6 = carry;

        (t3, carry) = UInt256.MultiplyAdd(a3, b0, t3, 0);
        (t4, carry) = UInt256.MultiplyAdd(a3, b1, t4, carry);
        (t5, carry) = UInt256.MultiplyAdd(a3, b2, t5, carry);
        (t6, carry) = UInt256.MultiplyAdd(a3, b3, t6, carry);
        ulong t7 = carry;

        // The upper half counts 2²⁵⁶ ≡ Complement each: fold it in, then the little that this carries out.
        (t0, carry) = UInt256.MultiplyAdd(t4, Complement, t0, 0);
        (t1, carry) = UInt256.MultiplyAdd(t5, Complement, t1, carry);
        (t2, carry) = UInt256.MultiplyAdd(t6, Complement, t2, carry);
        (t3, carry) = UInt256.MultiplyAdd(t7, Complement, t3, carry);
        ulong high = UInt256.MultiplyHigh(carry, Complement);
        (t0, carry) = UInt256.AddWithCarry(t0, carry * Complement, 0);
        (t1, carry) = UInt256.AddWithCarry(t1, high, carry);
        (t2, carry) = UInt256.AddWithCarry(t2, 0, carry);
        (t3, carry) = UInt256.AddWithCarry(t3, 0, carry);
        return Normalize(new UInt256(t0, t1, t2, t3), carry);
    }

    /// <summary>a⁻¹; zero for zero.</summary>
    public static UInt256 Invert(in UInt256 a) => UInt256.Invert(a, P);

    /// <summary>A root of a, when there is one: a^((p+1)/4), since p ≡ 3 mod 4.</summary>
    public static bool TrySquareRoot(in UInt256 a, out UInt256 root)
    {
        PowerOnes(a, out UInt256 x2, out UInt256 x22, out UInt256 x223);
        UInt256 t = Multiply(SquareTimes(x223, 23), x22);
        t = Multiply(SquareTimes(t, 6), x2);
        root = SquareTimes(t, 2);
        return Square(root) == a;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static UInt256 Normalize(in UInt256 value, ulong carry)
    {
        // At or above p only when the upper limbs are full, which is rare.
        if (carry == 0 && ((value.L1 & value.L2 & value.L3) != ulong.MaxValue || value.L0 < LowestLimb))
            return value;
        return UInt256.Add(value, new UInt256(Complement, 0, 0, 0), out _);
    }

    private static UInt256 SquareTimes(UInt256 a, int times)
    {
        for (int i = 0; i < times; i++)
            a = Square(a);
        return a;
    }

    /// <summary>a to the powers 2ⁿ−1 (n ones in binary): the exponent above is 223 ones, a zero, 22 ones and a short tail.</summary>
    private static void PowerOnes(in UInt256 a, out UInt256 x2, out UInt256 x22, out UInt256 x223)
    {
        x2 = Multiply(Square(a), a);
        UInt256 x3 = Multiply(Square(x2), a);
        UInt256 x6 = Multiply(SquareTimes(x3, 3), x3);
        UInt256 x9 = Multiply(SquareTimes(x6, 3), x3);
        UInt256 x11 = Multiply(SquareTimes(x9, 2), x2);
        x22 = Multiply(SquareTimes(x11, 11), x11);
        UInt256 x44 = Multiply(SquareTimes(x22, 22), x22);
        UInt256 x88 = Multiply(SquareTimes(x44, 44), x44);
        UInt256 x176 = Multiply(SquareTimes(x88, 88), x88);
        UInt256 x220 = Multiply(SquareTimes(x176, 44), x44);
        x223 = Multiply(SquareTimes(x220, 3), x3);
    }
}
