using System.Buffers.Binary;
using System.Text;
using Archipelago.Ethereum;

namespace Archipelago.RealmProvider.Catalysts;

/// <summary>
/// Reads the list of catalysts from the DAO's contract: how many there are, the id of each, and the record of each. Three functions of its ABI (Solidity contract ABI
/// specification), answers verified.
/// </summary>
/// <param name="node">The Ethereum node that is asked.</param>
/// <param name="contract">The contract's address.</param>
internal sealed class DaoContract(EthereumNode node, string contract)
{
    private const int Word = 32, MostCatalysts = 1000, MostDomain = 2048, AtOnce = 8;

    private static readonly byte[] CatalystCount = [0x18, 0xbe, 0xcc, 0x10], CatalystIds = [0x7b, 0x9b, 0x4f, 0x2c], CatalystById = [0xc9, 0x03, 0x8c, 0xe9];

    /// <summary>Addresses of the contract, and chain ids, by network.</summary>
    public static IReadOnlyDictionary<string, (int ChainId, string Contract)> Networks { get; } = new Dictionary<string, (int, string)>
    {
        ["mainnet"] = (1, "0x4a2f10076101650f40342885b99b6b101d83c486"),
        ["sepolia"] = (11155111, "0x9b5091588a4bae0a5ea54a35af3c31f57a68ed37"),
        ["goerli"] = (5, "0x380e46851c47b73b6aa9bea50cf3b50e2cf637cf"),
    };

    /// <summary>The URLs of the catalysts, in the contract's order, each once.</summary>
    /// <exception cref="InvalidDataException">An answer is missing or makes no sense.</exception>
    public async Task<IReadOnlyList<string>> ReadAsync(CancellationToken cancellationToken)
    {
        byte[] count = await CallAsync(CatalystCount, default, cancellationToken);
        if (!TryReadNumber(count, out int catalysts) || catalysts > MostCatalysts)
            throw new InvalidDataException($"the contract's number of catalysts makes no sense: 0x{Convert.ToHexStringLower(count.AsSpan(0, Math.Min(count.Length, Word)))}");
        string?[] urls = new string?[catalysts];
        await Parallel.ForAsync(0, catalysts, new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken }, async (i, token) => urls[i] = await ReadOneAsync(i, token));
        return [.. urls.OfType<string>().Distinct(StringComparer.Ordinal)];
    }

    /// <summary>The URL of a domain as it stands in the contract; null for one that is not to be used: empty, without encryption, or no URL.</summary>
    public static string? ToUrl(string domain)
    {
        string trimmed = domain.Trim();
        string url = trimmed.Contains("://", StringComparison.Ordinal) ? trimmed : "https://" + trimmed;
        return Uri.TryCreate(url, UriKind.Absolute, out Uri? parsed) && parsed.Scheme == Uri.UriSchemeHttps && parsed.Host.Length > 0 ? url : null;
    }

    private async Task<string?> ReadOneAsync(int index, CancellationToken cancellationToken)
    {
        byte[] argument = new byte[Word];
        BinaryPrimitives.WriteInt32BigEndian(argument.AsSpan(Word - sizeof(int)), index);
        byte[] id = await CallAsync(CatalystIds, argument, cancellationToken);
        if (id.Length < Word)
            throw new InvalidDataException($"the id of catalyst {index} makes no sense");
        byte[] record = await CallAsync(CatalystById, id.AsMemory(0, Word), cancellationToken);
        return ToUrl(DomainOf(record) ?? throw new InvalidDataException($"the record of catalyst {index} makes no sense"));
    }

    /// <summary>The domain in a record (id, owner, domain, start, end), of which the third word says where it stands.</summary>
    private static string? DomainOf(ReadOnlySpan<byte> record)
    {
        if (record.Length < 5 * Word || !TryReadNumber(record[(2 * Word)..], out int offset) || offset > record.Length - Word
            || !TryReadNumber(record[offset..], out int length) || length > MostDomain || length > record.Length - offset - Word)
            return null;
        return Encoding.UTF8.GetString(record.Slice(offset + Word, length));
    }

    /// <summary>Reads a word that holds a number of no more than 31 bits.</summary>
    private static bool TryReadNumber(ReadOnlySpan<byte> data, out int number)
    {
        number = data.Length < Word ? -1 : BinaryPrimitives.ReadInt32BigEndian(data[(Word - sizeof(int))..]);
        return number >= 0 && data[..(Word - sizeof(int))].IndexOfAnyExcept((byte)0) < 0;
    }

    private async Task<byte[]> CallAsync(byte[] selector, ReadOnlyMemory<byte> argument, CancellationToken cancellationToken)
    {
        (bool answered, byte[]? result) = await node.CallAsync(contract, (byte[])[.. selector, .. argument.Span], "latest", cancellationToken);
        return answered && result is not null ? result : throw new InvalidDataException("the Ethereum node did not answer a call of the contract");
    }
}
