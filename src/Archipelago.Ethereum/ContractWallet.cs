using System.Buffers.Binary;
using System.Text;

namespace Archipelago.Ethereum;

/// <summary>
/// Asks a wallet that is a contract whether it accepts a signature: <c>isValidSignature(bytes32,bytes)</c> (EIP-1271, which EIP-1654 became). The contract decides
/// by any rule of its own, so a signature may have any length.
/// </summary>
internal static class ContractWallet
{
    private const uint Selector = 0x1626BA7E;
    private const int Word = 32;

    /// <summary>True for an address that the reference library would ask: <c>0x</c> optional, and where letters are of both cases, the checksum of EIP-55.</summary>
    public static bool IsAddress(string text)
    {
        string digits = text.StartsWith("0x", StringComparison.Ordinal) ? text : "0x" + text;
        // The lowest addresses are the network's own functions, one of which gives back what it is given: it would accept everything.
        if (!EthereumAddress.IsAddress(digits) || !digits.AsSpan(2, 36).ContainsAnyExcept('0'))
            return false;
        bool lower = digits.AsSpan(2).ContainsAnyInRange('a', 'f'), upper = digits.AsSpan(2).ContainsAnyInRange('A', 'F');
        return !(lower && upper) || digits == EthereumAddress.ToChecksum(digits);
    }

    /// <summary>
    /// Tries the text's plain hash, then the hash that people's wallets sign (EIP-191), at the newest block, and once more at the newest block by number, for
    /// nodes that answer <c>latest</c> from behind. The reference library looks for the block of the validation time there; for a login that is the newest one.
    /// </summary>
    /// <returns>Null when it was not accepted, and not every question got an answer.</returns>
    public static async Task<bool?> AcceptsAsync(EthereumNode node, string wallet, string text, ReadOnlyMemory<byte> signature, CancellationToken cancellationToken)
    {
        byte[] plain = Call(Keccak256.Hash(Encoding.UTF8.GetBytes(text)), signature.Span), prefixed = Call(PersonalMessage.Hash(text), signature.Span);
        bool answered = true;
        if (await AcceptsAtAsync("latest"))
            return true;
        string? block = await node.BlockNumberAsync(cancellationToken);
        if (block is not null && await AcceptsAtAsync(block))
            return true;
        return answered && block is not null ? false : null;

        async Task<bool> AcceptsAtAsync(string block) => await AcceptsCallAsync(plain, block) || await AcceptsCallAsync(prefixed, block);

        async Task<bool> AcceptsCallAsync(byte[] call, string block)
        {
            (bool hasAnswer, byte[]? result) = await node.CallAsync(wallet, call, block, cancellationToken);
            answered &= hasAnswer;
            return IsMagic(result);
        }
    }

    private static bool IsMagic(byte[]? result) => result is { Length: >= 4 } && BinaryPrimitives.ReadUInt32BigEndian(result) == Selector;

    /// <summary>Selector, hash, offset of the bytes, their length, and the bytes padded to whole words (contract ABI).</summary>
    private static byte[] Call(ReadOnlySpan<byte> hash, ReadOnlySpan<byte> signature)
    {
        byte[] call = new byte[4 + (3 * Word) + ((signature.Length + Word - 1) / Word * Word)];
        BinaryPrimitives.WriteUInt32BigEndian(call, Selector);
        hash.CopyTo(call.AsSpan(4));
        call[4 + (2 * Word) - 1] = 2 * Word;
        BinaryPrimitives.WriteInt32BigEndian(call.AsSpan(4 + (3 * Word) - 4), signature.Length);
        signature.CopyTo(call.AsSpan(4 + (3 * Word)));
        return call;
    }
}
