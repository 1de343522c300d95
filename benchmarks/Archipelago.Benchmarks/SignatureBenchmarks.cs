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
    private AuthChain chain = null!;

    [GlobalSetup]
    public void Setup()
    {
        signature = key.SignHash(hash);
        using var identity = new EphemeralIdentity(owner, DateTimeOffset.UnixEpoch.AddYears(1));
        AuthChain.TryParse(identity.SignChain("dcl-challenge"), out AuthChain? parsed);
        chain = parsed!;
    }

    [Benchmark(Baseline = true)]
    public bool VerifyWithOpenSsl() => key.VerifyHash(hash, signature);

    [Benchmark]
    public bool Recover() => Secp256k1.TryRecover(hash, signature, 0, publicKey);

    [Benchmark]
    public AuthChainResult ValidateChainOfThree() => AuthChainValidator.Validate(chain, "dcl-challenge", DateTimeOffset.UnixEpoch);

    [GlobalCleanup]
    public void Dispose()
    {
        key.Dispose();
        owner.Dispose();
        GC.SuppressFinalize(this);
    }
}
