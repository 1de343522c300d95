using Archipelago.Ethereum;
using BenchmarkDotNet.Attributes;
using System.Security.Cryptography;

namespace Archipelago.Benchmarks;

/// <summary>What a handshake costs in arithmetic, beside the platform verifying a signature whose key it knows.</summary>
[MemoryDiagnoser]
public class SignatureBenchmarks : IDisposable
{
    private readonly ECDsa key = ECDsa.Create(ECCurve.CreateFromValue("1.3.132.0.10"));
    private readonly EthereumKey owner = EthereumKey.Create();
    private readonly byte[] hash = SHA256.HashData("benchmark"u8);
    private readonly byte[] publicKey = new byte[64];
    private byte[] signature = [];
    private readonly AuthChainValidator strangers = new();
    private readonly DelegationCache delegations = new(10);
    private AuthChainValidator acquaintances = null!;
    private AuthChain chain = null!;

    [GlobalSetup]
    public void Setup()
    {
        signature = key.SignHash(hash);
        using var identity = new EphemeralIdentity(owner, DateTimeOffset.UnixEpoch.AddYears(1));
        AuthChain.TryParse(identity.SignChain("dcl-challenge"), out AuthChain? parsed);
        chain = parsed!;
        acquaintances = new AuthChainValidator(delegations: delegations);
    }

    [Benchmark(Baseline = true)]
    public bool VerifyWithOpenSsl() => key.VerifyHash(hash, signature);

    [Benchmark]
    public bool Recover() => Secp256k1.TryRecover(hash, signature, 0, publicKey);

    [Benchmark]
    public bool ValidateChainOfThree() => Validate(strangers);

    [Benchmark]
    public bool ValidateChainOfThreeWhoseDelegationIsKnown() => Validate(acquaintances);

    // Without a queue and without contracts everything happens at once.
    private bool Validate(AuthChainValidator validator) => validator.ValidateAsync(chain, "dcl-challenge", DateTimeOffset.UnixEpoch).GetAwaiter().GetResult().Ok;

    [GlobalCleanup]
    public void Dispose()
    {
        key.Dispose();
        owner.Dispose();
        delegations.Dispose();
        GC.SuppressFinalize(this);
    }
}
