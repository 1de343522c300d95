using System.Runtime.CompilerServices;

namespace Archipelago.Ethereum.Internals;

/// <summary>
/// Arithmetic modulo p = 2²⁵⁶ − 2³² − 977, the field of secp256k1. Numbers are kept below p. Not constant-time: no secret passes through.
/// </summary>
internal static class Field
{
    /// <summary>2²⁵⁶ − p.</summary>
    private const ulong Complement = 0x1000003D1;

    public static readonly UInt256 P = new(0xFFFFFFFEFFFFFC2F, ulong.MaxValue, ulong.MaxValue, ulong.MaxValue);
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static UInt256 Multiply(in UInt256 a, in UInt256 b)
    {
        ulong carry = 0;
        ulong t0 = UInt256.MultiplyAdd(a.L0, b.L0, 0, ref carry);
        ulong t1 = UInt256.MultiplyAdd(a.L0, b.L1, 0, ref carry);
        ulong t2 = UInt256.MultiplyAdd(a.L0, b.L2, 0, ref carry);
        ulong t3 = UInt256.MultiplyAdd(a.L0, b.L3, 0, ref carry);
        ulong t4 = carry;

        carry = 0;
        t1 = UInt256.MultiplyAdd(a.L1, b.L0, t1, ref carry);
        t2 = UInt256.MultiplyAdd(a.L1, b.L1, t2, ref carry);
        t3 = UInt256.MultiplyAdd(a.L1, b.L2, t3, ref carry);
        t4 = UInt256.MultiplyAdd(a.L1, b.L3, t4, ref carry);
        ulong t5 = carry;

        carry = 0;
        t2 = UInt256.MultiplyAdd(a.L2, b.L0, t2, ref carry);
        t3 = UInt256.MultiplyAdd(a.L2, b.L1, t3, ref carry);
        t4 = UInt256.MultiplyAdd(a.L2, b.L2, t4, ref carry);
        t5 = UInt256.MultiplyAdd(a.L2, b.L3, t5, ref carry);
        ulong t6 = carry;

        carry = 0;
        t3 = UInt256.MultiplyAdd(a.L3, b.L0, t3, ref carry);
        t4 = UInt256.MultiplyAdd(a.L3, b.L1, t4, ref carry);
        t5 = UInt256.MultiplyAdd(a.L3, b.L2, t5, ref carry);
        t6 = UInt256.MultiplyAdd(a.L3, b.L3, t6, ref carry);
        ulong t7 = carry;

        // The upper half counts 2²⁵⁶ ≡ Complement each: fold it in, then the little that this carries out.
        carry = 0;
        t0 = UInt256.MultiplyAdd(t4, Complement, t0, ref carry);
        t1 = UInt256.MultiplyAdd(t5, Complement, t1, ref carry);
        t2 = UInt256.MultiplyAdd(t6, Complement, t2, ref carry);
        t3 = UInt256.MultiplyAdd(t7, Complement, t3, ref carry);
        ulong high = Math.BigMul(carry, Complement, out ulong low);
        carry = 0;
        t0 = UInt256.AddWithCarry(t0, low, ref carry);
        t1 = UInt256.AddWithCarry(t1, high, ref carry);
        t2 = UInt256.AddWithCarry(t2, 0, ref carry);
        t3 = UInt256.AddWithCarry(t3, 0, ref carry);
        return Normalize(new UInt256(t0, t1, t2, t3), carry);
    }

    /// <summary>a⁻¹ = a^(p−2); zero for zero.</summary>
    public static UInt256 Invert(in UInt256 a)
    {
        PowerOnes(a, out UInt256 x2, out UInt256 x22, out UInt256 x223);
        UInt256 t = Multiply(SquareTimes(x223, 23), x22);
        t = Multiply(SquareTimes(t, 5), a);
        t = Multiply(SquareTimes(t, 3), x2);
        return Multiply(SquareTimes(t, 2), a);
    }

    /// <summary>A root of a, when there is one: a^((p+1)/4), since p ≡ 3 mod 4.</summary>
    public static bool TrySquareRoot(in UInt256 a, out UInt256 root)
    {
        PowerOnes(a, out UInt256 x2, out UInt256 x22, out UInt256 x223);
        UInt256 t = Multiply(SquareTimes(x223, 23), x22);
        t = Multiply(SquareTimes(t, 6), x2);
        root = SquareTimes(t, 2);
        return Square(root) == a;
    }

    private static UInt256 Normalize(in UInt256 value, ulong carry)
    {
        if (carry == 0 && value.IsBelow(P))
            return value;
        return UInt256.Add(value, new UInt256(Complement, 0, 0, 0), out _);
    }

    private static UInt256 SquareTimes(UInt256 a, int times)
    {
        for (int i = 0; i < times; i++)
            a = Square(a);
        return a;
    }

    /// <summary>a to the powers 2ⁿ−1 (n ones in binary): both exponents above are 223 ones, a gap, 22 ones and a short tail.</summary>
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
