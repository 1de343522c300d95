using System.Buffers.Binary;
using System.Runtime.CompilerServices;

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

    /// <summary>a + b + the rest of a longer sum: returns the low limb, leaves the carry (0 or 1).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong AddWithCarry(ulong a, ulong b, ref ulong carry)
    {
        ulong sum = a + b;
        ulong first = sum < a ? 1UL : 0;
        ulong result = sum + carry;
        carry = first + (result < sum ? 1UL : 0);
        return result;
    }

    /// <summary>a − b − borrow: returns the low limb, leaves the borrow (0 or 1).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong SubtractWithBorrow(ulong a, ulong b, ref ulong borrow)
    {
        ulong difference = a - b;
        ulong first = a < b ? 1UL : 0;
        ulong result = difference - borrow;
        borrow = first + (difference < borrow ? 1UL : 0);
        return result;
    }

    /// <summary>a·b + addend + carry, which always fits two limbs: returns the low one, leaves the high one in the carry.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong MultiplyAdd(ulong a, ulong b, ulong addend, ref ulong carry)
    {
        ulong high = Math.BigMul(a, b, out ulong low);
        low += addend;
        high += low < addend ? 1UL : 0;
        low += carry;
        high += low < carry ? 1UL : 0;
        carry = high;
        return low;
    }

    public static UInt256 Add(in UInt256 a, in UInt256 b, out ulong carry)
    {
        carry = 0;
        ulong l0 = AddWithCarry(a.L0, b.L0, ref carry);
        ulong l1 = AddWithCarry(a.L1, b.L1, ref carry);
        ulong l2 = AddWithCarry(a.L2, b.L2, ref carry);
        ulong l3 = AddWithCarry(a.L3, b.L3, ref carry);
        return new UInt256(l0, l1, l2, l3);
    }

    public static UInt256 Subtract(in UInt256 a, in UInt256 b, out ulong borrow)
    {
        borrow = 0;
        ulong l0 = SubtractWithBorrow(a.L0, b.L0, ref borrow);
        ulong l1 = SubtractWithBorrow(a.L1, b.L1, ref borrow);
        ulong l2 = SubtractWithBorrow(a.L2, b.L2, ref borrow);
        ulong l3 = SubtractWithBorrow(a.L3, b.L3, ref borrow);
        return new UInt256(l0, l1, l2, l3);
    }
}
