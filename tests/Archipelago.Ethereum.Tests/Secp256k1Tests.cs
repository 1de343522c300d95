using System.Numerics;
using System.Security.Cryptography;
using System.Text;
using Archipelago.Ethereum.Internals;

namespace Archipelago.Ethereum.Tests;

/// <summary>Our recovery against OpenSSL's secp256k1.</summary>
public class Secp256k1Tests
{
    private static readonly BigInteger N = BigInteger.Parse("0FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", System.Globalization.NumberStyles.HexNumber);
    private static readonly BigInteger P = BigInteger.Pow(2, 256) - BigInteger.Pow(2, 32) - 977;

    private static ECDsa NewKey() => ECDsa.Create(ECCurve.CreateFromValue("1.3.132.0.10"));

    private static byte[] PublicKey(ECDsa key)
    {
        ECPoint q = key.ExportParameters(false).Q;
        return [.. q.X!, .. q.Y!];
    }

    private static byte[] Bytes(BigInteger value)
    {
        byte[] bytes = value.ToByteArray(isUnsigned: true, isBigEndian: true);
        return [.. new byte[32 - bytes.Length], .. bytes];
    }

    [Fact]
    public void Thousands_of_random_signatures_lead_to_the_key_that_made_them()
    {
        var random = new Random(20260115);
        byte[] hash = new byte[32], recovered = new byte[64];
        for (int k = 0; k < 40; k++)
        {
            using ECDsa key = NewKey();
            byte[] expected = PublicKey(key);
            for (int i = 0; i < 50; i++)
            {
                random.NextBytes(hash);
                byte[] signature = key.SignHash(hash);
                int fits = Enumerable.Range(0, 2).Count(v => Secp256k1.TryRecover(hash, signature, v, recovered) && recovered.AsSpan().SequenceEqual(expected));
                Assert.Equal(1, fits);
            }
        }
    }

    [Fact]
    public void High_s_leads_to_the_same_key_by_the_other_recovery_id()
    {
        using ECDsa key = NewKey();
        byte[] hash = RandomNumberGenerator.GetBytes(32), signature = key.SignHash(hash), recovered = new byte[64];
        byte[] high = [.. signature[..32], .. Bytes(N - new BigInteger(signature.AsSpan(32), isUnsigned: true, isBigEndian: true))];
        for (int v = 0; v < 2; v++)
        {
            bool direct = Secp256k1.TryRecover(hash, signature, v, recovered) && recovered.AsSpan().SequenceEqual(PublicKey(key));
            bool mirrored = Secp256k1.TryRecover(hash, high, 1 - v, recovered) && recovered.AsSpan().SequenceEqual(PublicKey(key));
            Assert.Equal(direct, mirrored);
        }
    }

    public static TheoryData<string, string> Extremes
    {
        get
        {
            var data = new TheoryData<string, string>();
            BigInteger[] rs = [1, 2, 3, 4, 5, 6, 7, 8, N - 1, N - 2, N - 3, (N - 1) / 2, BigInteger.Pow(2, 255), BigInteger.Pow(2, 64) - 1, BigInteger.Pow(2, 128), BigInteger.Pow(2, 192) + 1];
            BigInteger[] ss = [1, 2, N - 1, N - 2, (N + 1) / 2, BigInteger.Pow(2, 64) - 1, BigInteger.Pow(2, 128) - 1];
            foreach (BigInteger r in rs)
                foreach (BigInteger s in ss)
                    data.Add(r.ToString(), s.ToString());
            return data;
        }
    }

    /// <summary>Whatever key is recovered, OpenSSL must accept the signature under it.</summary>
    [Theory]
    [MemberData(nameof(Extremes))]
    public void Extreme_numbers_give_a_key_that_OpenSSL_verifies(string rText, string sText)
    {
        BigInteger r = BigInteger.Parse(rText), s = BigInteger.Parse(sText);
        byte[] signature = [.. Bytes(r), .. Bytes(s)], recovered = new byte[64];
        BigInteger square = (BigInteger.ModPow(r, 3, P) + 7) % P;
        bool onCurve = BigInteger.ModPow(square, (P - 1) / 2, P) == 1;
        foreach (byte[] hash in (byte[][])[new byte[32], [.. Enumerable.Repeat((byte)0xFF, 32)], Bytes(N), Bytes(1), SHA256.HashData("x"u8)])
        {
            for (int v = 0; v < 2; v++)
            {
                bool found = Secp256k1.TryRecover(hash, signature, v, recovered);
                Assert.Equal(onCurve, found);
                if (!found)
                    continue;
                using ECDsa key = ECDsa.Create(new ECParameters
                {
                    Curve = ECCurve.CreateFromValue("1.3.132.0.10"),
                    Q = new ECPoint { X = recovered[..32], Y = recovered[32..] },
                });
                Assert.True(key.VerifyHash(hash, signature));
            }
        }
    }

    [Theory]
    [InlineData("0", "1")]
    [InlineData("1", "0")]
    [InlineData("N", "1")]
    [InlineData("1", "N")]
    [InlineData("P", "1")]
    public void Numbers_outside_the_group_are_refused(string r, string s)
    {
        static BigInteger Value(string text) => text switch { "N" => N, "P" => P, _ => BigInteger.Parse(text) };
        byte[] signature = [.. Bytes(Value(r)), .. Bytes(Value(s))];
        Assert.False(Secp256k1.TryRecover(new byte[32], signature, 0, new byte[64]));
    }

    [Fact]
    public void A_signature_whose_key_would_be_infinity_is_refused()
    {
        // R = G and s = e make Q = r⁻¹(sR − eG) the point at infinity.
        byte[] gx = Convert.FromHexString("79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798");
        byte[] hash = SHA256.HashData("anything"u8);
        Assert.False(Secp256k1.TryRecover(hash, [.. gx, .. hash], 0, new byte[64]));
        Assert.True(Secp256k1.TryRecover(hash, [.. gx, .. hash], 1, new byte[64]));
    }

    [Theory]
    [InlineData("", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")]
    [InlineData("abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45")]
    public void Keccak_gives_the_published_hashes(string text, string hash) =>
        Assert.Equal(hash, Convert.ToHexStringLower(Keccak256.Hash(Encoding.UTF8.GetBytes(text))));

    [Fact]
    public void Keccak_pads_a_full_block_with_one_more() =>
        Assert.Equal("3a5912a7c5faa06ee4fe906253e339467a9ce87d533c65be3c15cb231cdb25f9", Convert.ToHexStringLower(Keccak256.Hash(new byte[136])));

    [Theory]
    [InlineData("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")]
    [InlineData("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359")]
    [InlineData("0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB")]
    [InlineData("0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb")]
    public void Checksums_are_those_of_EIP_55(string address) => Assert.Equal(address, EthereumAddress.ToChecksum(address));

    [Theory]
    [InlineData("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", true)]
    [InlineData("0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", false)]
    [InlineData("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed00", false)]
    [InlineData("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", false)]
    [InlineData("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg", false)]
    [InlineData(null, false)]
    public void Addresses_are_recognised(string? text, bool expected) => Assert.Equal(expected, EthereumAddress.IsAddress(text));

    [Fact]
    public void A_scalar_is_its_halves_and_the_halves_are_short()
    {
        var random = new Random(9);
        BigInteger n = ToBig(Scalar.N), lambda = ToBig(Scalar.Lambda);
        UInt256[] edges = [default, new(1, 0, 0, 0), UInt256.Subtract(Scalar.N, new(1, 0, 0, 0), out _), Scalar.Lambda, Scalar.Negate(Scalar.Lambda), new(0, 0, 0, 1UL << 63), new(0, 0, 1, 0), new(ulong.MaxValue, ulong.MaxValue, 0, 0)];
        for (int i = 0; i < 20_000; i++)
        {
            UInt256 k = i < edges.Length ? edges[i] : Scalar.Reduce(new((ulong)random.NextInt64(), (ulong)random.NextInt64() << 1, (ulong)random.NextInt64(), (ulong)random.NextInt64() << random.Next(2)));
            Scalar.Split(k, out UInt256 first, out bool firstIsNegative, out UInt256 second, out bool secondIsNegative);
            Assert.True(ToBig(first).GetBitLength() <= 129 && ToBig(second).GetBitLength() <= 129);
            BigInteger sum = (firstIsNegative ? -ToBig(first) : ToBig(first)) + ((secondIsNegative ? -ToBig(second) : ToBig(second)) * lambda);
            Assert.Equal(ToBig(k), ((sum % n) + n) % n);
        }
    }

    [Fact]
    public void An_inverse_times_its_number_is_one()
    {
        var random = new Random(10);
        UInt256 one = new(1, 0, 0, 0);
        for (int i = 0; i < 5_000; i++)
        {
            UInt256 a = i switch { 0 => one, 1 => new(2, 0, 0, 0), 2 => UInt256.Subtract(Scalar.N, one, out _), _ => new((ulong)random.NextInt64(), (ulong)random.NextInt64(), (ulong)random.NextInt64(), (ulong)random.NextInt64()) };
            Assert.True(Scalar.Multiply(a, Scalar.Invert(a)) == one);
            Assert.True(Field.Multiply(a, Field.Invert(a)) == one);
        }
        Assert.True(Scalar.Invert(default).IsZero && Field.Invert(default).IsZero);
    }

    private static BigInteger ToBig(in UInt256 value)
    {
        byte[] bytes = new byte[32];
        value.WriteBigEndian(bytes);
        return new BigInteger(bytes, isUnsigned: true, isBigEndian: true);
    }

    [Fact]
    public async Task An_identity_signs_chains_that_validate_until_it_expires()
    {
        var now = new DateTimeOffset(2026, 1, 15, 12, 0, 0, TimeSpan.Zero);
        using EthereumKey owner = EthereumKey.Create();
        using var identity = new EphemeralIdentity(owner, now.AddHours(1));
        Assert.True(AuthChain.TryParse(identity.SignChain("dcl-challenge"), out AuthChain? chain));
        var validator = new AuthChainValidator();
        Assert.Equal(owner.Address, (await validator.ValidateAsync(chain, "dcl-challenge", now)).Address);
        Assert.Equal(AuthChainError.EphemeralExpired, (await validator.ValidateAsync(chain, "dcl-challenge", now.AddHours(1))).Error);
    }
}
