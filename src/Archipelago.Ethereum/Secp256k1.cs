using Archipelago.Ethereum.Internals;

namespace Archipelago.Ethereum;

/// <summary>
/// Recovers the public key behind a signature on secp256k1 (SEC 1, version 2, §4.1.6). For verification only: nothing secret passes through, so
/// nothing here is constant-time.
/// </summary>
/// <remarks>
/// Why a slip in this arithmetic cannot admit a stranger: the caller compares the Keccak hash of the recovered key with an address that the
/// signer claims. Whatever is computed for a signature by somebody else, right or wrong, would have to hash to exactly that 160-bit address; an error
/// that an attacker could steer there would be a second preimage of Keccak-256. A slip can only turn honest people away, and the tests compare
/// thousands of ordinary and extreme signatures with OpenSSL to show that it does not. All members may be called from any thread.
/// </remarks>
public static class Secp256k1
{
    private const int GeneratorWindow = 8;
    private const int PointWindow = 5;

    private static readonly AffinePoint Generator = new(
        new UInt256(0x59F2815B16F81798, 0x029BFCDB2DCE28D9, 0x55A06295CE870B07, 0x79BE667EF9DCBBAC),
        new UInt256(0x9C47D08FFB10D4B8, 0xFD17B448A6855419, 0x5DA4FBFC0E1108A8, 0x483ADA7726A3C465));

    /// <summary>G, 3G, 5G … : the odd multiples that a signed window of eight bits needs.</summary>
    private static readonly AffinePoint[] GeneratorMultiples =
        [.. OddMultiples(JacobianPoint.From(Generator), 1 << (GeneratorWindow - 2)).Select(p => p.ToAffine())];

    /// <summary>λ times each of them.</summary>
    private static readonly AffinePoint[] TurnedGeneratorMultiples = [.. GeneratorMultiples.Select(p => p.Turn())];

    // Half of 256 bits, one for rounding, and the places by which a borrowed digit can reach beyond.
    private const int MostPlaces = 140;

    /// <summary>Recovers the public key that made a signature.</summary>
    /// <param name="hash">The 32-byte hash that was signed.</param>
    /// <param name="signature">r and s, 32 bytes each, big-endian. High s is accepted.</param>
    /// <param name="recoveryId">0 or 1: whether the y of the signature's point was odd.</param>
    /// <param name="publicKey">Receives x and y, 64 bytes.</param>
    /// <returns>False when r or s is not within 1…n−1, or no key fits.</returns>
    /// <exception cref="ArgumentException">A span has the wrong length, or the recovery id is neither 0 nor 1.</exception>
    public static bool TryRecover(ReadOnlySpan<byte> hash, ReadOnlySpan<byte> signature, int recoveryId, Span<byte> publicKey)
    {
        if (hash.Length != 32 || signature.Length != 64 || publicKey.Length < 64 || recoveryId is not (0 or 1))
            throw new ArgumentException("A hash has 32 bytes, a signature 64 and a public key 64; the recovery id is 0 or 1.");
        UInt256 r = UInt256.FromBigEndian(signature), s = UInt256.FromBigEndian(signature[32..]);
        if (r.IsZero || s.IsZero || !r.IsBelow(Scalar.N) || !s.IsBelow(Scalar.N))
            return false;

        // r is the x of the point (x ≥ n, which would need recovery ids 2 and 3, Ethereum does not allow).
        UInt256 seven = new(7, 0, 0, 0);
        if (!Field.TrySquareRoot(Field.Add(Field.Multiply(Field.Square(r), r), seven), out UInt256 y))
            return false;
        if (y.IsOdd != (recoveryId == 1))
            y = Field.Negate(y);

        UInt256 inverse = Scalar.Invert(r);
        UInt256 e = Scalar.Reduce(UInt256.FromBigEndian(hash));
        JacobianPoint key = MultiplyAdd(
            Scalar.Multiply(Scalar.Negate(e), inverse),
            new AffinePoint(r, y),
            Scalar.Multiply(s, inverse));
        if (key.IsInfinity)
            return false;
        AffinePoint point = key.ToAffine();
        point.X.WriteBigEndian(publicKey);
        point.Y.WriteBigEndian(publicKey[32..]);
        return true;
    }

    /// <summary>The public key of a secret, for loads and tests that make keys by the thousand. Takes a time that tells about the secret, so it is for secrets that are none.</summary>
    internal static AffinePoint PublicKeyOf(in UInt256 secret) => MultiplyAdd(secret, Generator, default).ToAffine();

    /// <summary>g·G + k·P in one run of 129 doublings: both scalars in halves, each half in signed windows (width-w non-adjacent form).</summary>
    private static JacobianPoint MultiplyAdd(in UInt256 g, in AffinePoint point, in UInt256 k)
    {
        Scalar.Split(g, out UInt256 g1, out bool g1IsNegative, out UInt256 g2, out bool g2IsNegative);
        Scalar.Split(k, out UInt256 k1, out bool k1IsNegative, out UInt256 k2, out bool k2IsNegative);
        Span<sbyte> digits = stackalloc sbyte[4 * MostPlaces];
        Span<sbyte> g1Digits = digits[..MostPlaces], g2Digits = digits[MostPlaces..(2 * MostPlaces)], k1Digits = digits[(2 * MostPlaces)..(3 * MostPlaces)], k2Digits = digits[(3 * MostPlaces)..];
        int length = Math.Max(
            Math.Max(SignedDigits(g1, g1IsNegative, GeneratorWindow, g1Digits), SignedDigits(g2, g2IsNegative, GeneratorWindow, g2Digits)),
            Math.Max(SignedDigits(k1, k1IsNegative, PointWindow, k1Digits), SignedDigits(k2, k2IsNegative, PointWindow, k2Digits)));
        JacobianPoint[] multiples = OddMultiples(JacobianPoint.From(point), 1 << (PointWindow - 2)), turned = Array.ConvertAll(multiples, p => p.Turn());

        JacobianPoint sum = JacobianPoint.Infinity;
        for (int i = length - 1; i >= 0; i--)
        {
            sum = sum.Double();
            if (g1Digits[i] is not 0 and var digit)
                sum = sum.Add(digit > 0 ? GeneratorMultiples[digit / 2] : GeneratorMultiples[-digit / 2].Negate());
            if ((digit = g2Digits[i]) != 0)
                sum = sum.Add(digit > 0 ? TurnedGeneratorMultiples[digit / 2] : TurnedGeneratorMultiples[-digit / 2].Negate());
            if ((digit = k1Digits[i]) != 0)
                sum = sum.Add(digit > 0 ? multiples[digit / 2] : multiples[-digit / 2].Negate());
            if ((digit = k2Digits[i]) != 0)
                sum = sum.Add(digit > 0 ? turned[digit / 2] : turned[-digit / 2].Negate());
        }
        return sum;
    }

    private static JacobianPoint[] OddMultiples(JacobianPoint point, int count)
    {
        var multiples = new JacobianPoint[count];
        JacobianPoint twice = point.Double();
        multiples[0] = point;
        for (int i = 1; i < count; i++)
            multiples[i] = multiples[i - 1].Add(twice);
        return multiples;
    }

    /// <summary>Writes odd digits between −2^(w−1) and 2^(w−1), any two of them at least w places apart; returns how many places are used.</summary>
    private static int SignedDigits(in UInt256 scalar, bool isNegative, int window, Span<sbyte> digits)
    {
        digits.Clear();
        // Five limbs, because a borrowed digit can carry one place beyond 256 bits.
        Span<ulong> rest = [scalar.L0, scalar.L1, scalar.L2, scalar.L3, 0];
        int length = 0;
        for (int place = 0; place < digits.Length;)
        {
            if (Bits(rest, place, 1) == 0)
            {
                place++;
                continue;
            }
            int digit = Bits(rest, place, window);
            if (digit >= 1 << (window - 1))
            {
                digit -= 1 << window;
                Increment(rest, place + window);
            }
            digits[place] = (sbyte)(isNegative ? -digit : digit);
            length = place + 1;
            place += window;
        }
        return length;
    }

    private static int Bits(ReadOnlySpan<ulong> limbs, int place, int count)
    {
        int limb = place / 64, shift = place % 64;
        ulong value = limb < limbs.Length ? limbs[limb] >> shift : 0;
        if (shift + count > 64 && limb + 1 < limbs.Length)
            value |= limbs[limb + 1] << (64 - shift);
        return (int)(value & ((1UL << count) - 1));
    }

    private static void Increment(Span<ulong> limbs, int place)
    {
        ulong carry = 1UL << (place % 64);
        for (int limb = place / 64; carry != 0 && limb < limbs.Length; limb++)
        {
            limbs[limb] += carry;
            carry = limbs[limb] < carry ? 1UL : 0;
        }
    }
}
