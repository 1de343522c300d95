using System.Numerics;

namespace Archipelago.Protocol;

/// <summary>Numbers as protobuf writes them: seven bits a byte, the lowest first.</summary>
internal static class Varint
{
    /// <summary>The most bytes that a number of 32 bits takes.</summary>
    public const int MaxLength = 5;

    public static int Length(uint value) => 1 + (BitOperations.Log2(value | 1) / 7);

    /// <summary>Writes a number; returns how many bytes it took.</summary>
    public static int Write(Span<byte> to, uint value)
    {
        int at = 0;
        for (; value > 0x7F; value >>= 7)
            to[at++] = (byte)(value | 0x80);
        to[at++] = (byte)value;
        return at;
    }
}
