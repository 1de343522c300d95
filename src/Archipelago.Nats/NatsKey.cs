using System.Text;
using Archipelago.Nats.Internals;

namespace Archipelago.Nats;

/// <summary>
/// A NATS key pair: Ed25519 (RFC 8032) with seeds and public keys in base 32, a prefix byte for the kind and a CRC-16 at the end. Immutable; any thread may use it.
/// </summary>
public sealed class NatsKey
{
    private const int SeedPrefix = 18 << 3;

    private readonly byte[] secret;

    private NatsKey(byte[] secret, string publicKey)
    {
        this.secret = secret;
        PublicKey = publicKey;
    }

    /// <summary>The public key as the server's configuration writes it, such as <c>UDX…</c>.</summary>
    public string PublicKey { get; }

    /// <summary>Reads a seed, such as <c>SUA…</c>.</summary>
    /// <exception cref="FormatException">It is no seed of a key.</exception>
    public static NatsKey FromSeed(string seed)
    {
        ArgumentNullException.ThrowIfNull(seed);
        byte[] raw = Base32.Decode(seed.Trim());
        // Two prefixes share the first two bytes: five bits say that it is a seed, the next eight of what kind.
        if (raw.Length != 36 || (raw[0] & 0xF8) != SeedPrefix || Crc16(raw.AsSpan(0, 34)) != (raw[34] | (raw[35] << 8)))
            throw new FormatException("This is no NATS seed: it must be what nk or nsc print, such as SUA….");
        int kind = ((raw[0] & 7) << 5) | ((raw[1] & 0xF8) >> 3);
        byte[] secret = raw[2..34], data = new byte[35];
        data[0] = (byte)kind;
        Ed25519.PublicKey(secret).CopyTo(data, 1);
        int crc = Crc16(data.AsSpan(0, 33));
        (data[33], data[34]) = ((byte)crc, (byte)(crc >> 8));
        return new NatsKey(secret, Base32.Encode(data));
    }

    /// <summary>Signs the server's challenge; base 64 for URLs, as the protocol wants it.</summary>
    internal string Sign(string nonce) => System.Buffers.Text.Base64Url.EncodeToString(Ed25519.Sign(secret, Encoding.ASCII.GetBytes(nonce)));

    /// <summary>The public key; never the secret.</summary>
    public override string ToString() => PublicKey;

    /// <summary>CRC-16/XMODEM.</summary>
    private static int Crc16(ReadOnlySpan<byte> data)
    {
        int crc = 0;
        foreach (byte b in data)
        {
            crc ^= b << 8;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc & 0x8000) != 0 ? ((crc << 1) ^ 0x1021) & 0xFFFF : (crc << 1) & 0xFFFF;
        }
        return crc;
    }
}
