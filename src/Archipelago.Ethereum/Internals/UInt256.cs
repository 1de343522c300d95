using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Archipelago.Ethereum.Internals;

/// <summary>256 bits in four 64-bit limbs, the lowest first, with the carries that field and scalar arithmetic are made of.</summary>
internal readonly struct UInt256(ulong l0, ulong l1, ulong l2, ulong l3)
{
    public readonly ulong L0 = l0, L1 = l1, L2 = l2, L3 = l3;

    public bool IsZero => (L0 | L1 | L2 | L3) == 0;

    public bool IsOdd => (L0 & 1) != 0;

    public static UInt256 FromBigEndian(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadUInt64BigEndian(bytes[24..]),
        BinaryPrimitives.ReadUInt64BigEndian(bytes[16..]),
        BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]),
        BinaryPrimitives.ReadUInt64BigEndian(bytes));

    public void WriteBigEndian(Span<byte> bytes)
    {
        BinaryPrimitives.WriteUInt64BigEndian(bytes[24..], L0);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[16..], L1);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], L2);
        BinaryPrimitives.WriteUInt64BigEndian(bytes, L3);
    }

    public static bool operator ==(in UInt256 a, in UInt256 b) =>
        ((a.L0 ^ b.L0) | (a.L1 ^ b.L1) | (a.L2 ^ b.L2) | (a.L3 ^ b.L3)) == 0;

    public static bool operator !=(in UInt256 a, in UInt256 b) => !(a == b);

    public override bool Equals(object? obj) => obj is UInt256 other && this == other;

    public override int GetHashCode() => HashCode.Combine(L0, L1, L2, L3);

    public bool IsBelow(in UInt256 other)
    {
        if (L3 != other.L3)
            return L3 < other.L3;
        if (L2 != other.L2)
            return L2 < other.L2;
        return L1 != other.L1 ? L1 < other.L1 : L0 < other.L0;
    }

    /// <summary>This, shifted right by one place, with <paramref name="top"/> (0 or 1) as the new highest bit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public UInt256 HalveWith(ulong top) => new((L0 >> 1) | (L1 << 63), (L1 >> 1) | (L2 << 63), (L2 >> 1) | (L3 << 63), (L3 >> 1) | (top << 63));

    /// <summary>
    /// The inverse of a modulo an odd prime, for a below it; zero for zero. The binary extended Euclidean algorithm (Knuth, The Art of Computer Programming, volume 2,
    /// 4.5.2, exercise 39): a tenth of the time of raising to a power. Not constant-time: nothing secret passes through.
    /// </summary>
    public static UInt256 Invert(in UInt256 a, in UInt256 modulus)
    {
        if (a.IsZero)
            return a;
        // Always x·a ≡ u and y·a ≡ v.
        UInt256 u = a, v = modulus, x = new(1, 0, 0, 0), y = default, one = x;
        while (u != one && v != one)
        {
            while (!u.IsOdd)
                (u, x) = (u.HalveWith(0), HalveModulo(x, modulus));
            while (!v.IsOdd)
                (v, y) = (v.HalveWith(0), HalveModulo(y, modulus));
            if (v.IsBelow(u))
                (u, x) = (Subtract(u, v, out _), SubtractModulo(x, y, modulus));
            else
                (v, y) = (Subtract(v, u, out _), SubtractModulo(y, x, modulus));
        }
        return u == one ? x : y;
    }

    private static UInt256 HalveModulo(in UInt256 a, in UInt256 modulus)
    {
        if (!a.IsOdd)
            return a.HalveWith(0);
        UInt256 even = Add(a, modulus, out ulong carry);
        return even.HalveWith(carry);
    }

    private static UInt256 SubtractModulo(in UInt256 a, in UInt256 b, in UInt256 modulus)
    {
        UInt256 difference = Subtract(a, b, out ulong borrow);
        return borrow == 0 ? difference : Add(difference, modulus, out _);
    }

    // Results come back as pairs, which the JIT keeps in registers; by-reference carries would live on the stack and triple the time of a product.

    /// <summary>a + b + carry (0 or 1): the low limb, and the carry (0 or 1).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (ulong Sum, ulong Carry) AddWithCarry(ulong a, ulong b, ulong carry)
    {
        ulong sum = a + b, result = sum + carry;
        return (result, (sum < a ? 1UL : 0) + (result < sum ? 1UL : 0));
    }

    /// <summary>a − b − borrow (0 or 1): the low limb, and the borrow (0 or 1).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (ulong Difference, ulong Borrow) SubtractWithBorrow(ulong a, ulong b, ulong borrow)
    {
        ulong difference = a - b;
        return (difference - borrow, (a < b ? 1UL : 0) + (difference < borrow ? 1UL : 0));
    }

    /// <summary>a·b + addend + carry, which always fits two limbs: the low one and the high one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (ulong Low, ulong Carry) MultiplyAdd(ulong a, ulong b, ulong addend, ulong carry)
    {
        ulong high = MultiplyHigh(a, b), low = a * b;
        low += addend;
        high += low < addend ? 1UL : 0;
        low += carry;
        high += low < carry ? 1UL : 0;
        return (low, high);
    }

    /// <summary>The upper limb of a·b.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong MultiplyHigh(ulong a, ulong b)
    {
        if (Bmi2.X64.IsSupported)
            return Bmi2.X64.MultiplyNoFlags(a, b);
        if (ArmBase.Arm64.IsSupported)
            return ArmBase.Arm64.MultiplyHigh(a, b);
        return Math.BigMul(a, b, out _);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static UInt256 Add(in UInt256 a, in UInt256 b, out ulong carry)
    {
        (ulong l0, ulong c) = AddWithCarry(a.L0, b.L0, 0);
        (ulong l1, c) = AddWithCarry(a.L1, b.L1, c);
        (ulong l2, c) = AddWithCarry(a.L2, b.L2, c);
        (ulong l3, c) = AddWithCarry(a.L3, b.L3, c);
        carry = c;
        return new UInt256(l0, l1, l2, l3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static UInt256 Subtract(in UInt256 a, in UInt256 b, out ulong borrow)
    {
        (ulong l0, ulong c) = SubtractWithBorrow(a.L0, b.L0, 0);
        (ulong l1, c) = SubtractWithBorrow(a.L1, b.L1, c);
        (ulong l2, c) = SubtractWithBorrow(a.L2, b.L2, c);
        (ulong l3, c) = SubtractWithBorrow(a.L3, b.L3, c);
        borrow = c;
        return new UInt256(l0, l1, l2, l3);
    }
}
