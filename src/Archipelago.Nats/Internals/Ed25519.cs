using System.Reflection;
using System.Runtime.InteropServices;

namespace Archipelago.Nats.Internals;

/// <summary>
/// Ed25519 by the system's libcrypto. .NET 10 has none of its own, and a signature over a secret wants constant-time code that others have reviewed;
/// on Linux .NET's TLS needs the same library anyway. It is loaded when the first key is read, so who uses no keys needs it not.
/// </summary>
internal static unsafe partial class Ed25519
{
    private const string Library = "libcrypto";
    private const int KeyType = 1087;
    private const int KeyLength = 32;
    private const int SignatureLength = 64;

    private static readonly string[] Names = ["libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.3.dylib", "libcrypto.dylib", "libcrypto-3-x64.dll", "libcrypto-3-arm64.dll", "libcrypto"];

    static Ed25519() => NativeLibrary.SetDllImportResolver(typeof(Ed25519).Assembly, Load);

    /// <summary>The public key of a secret of 32 bytes.</summary>
    public static byte[] PublicKey(ReadOnlySpan<byte> secret)
    {
        nint key = Open(secret);
        try
        {
            byte[] bytes = new byte[KeyLength];
            nuint length = KeyLength;
            fixed (byte* to = bytes)
                Check(EVP_PKEY_get_raw_public_key(key, to, ref length));
            return bytes;
        }
        finally
        {
            EVP_PKEY_free(key);
        }
    }

    /// <summary>The signature of a message, 64 bytes (RFC 8032 §5.1.6).</summary>
    public static byte[] Sign(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> message)
    {
        nint key = Open(secret), context = EVP_MD_CTX_new();
        try
        {
            byte[] signature = new byte[SignatureLength];
            nuint length = SignatureLength;
            Check(EVP_DigestSignInit(context, 0, 0, 0, key));
            fixed (byte* to = signature, from = message)
                Check(EVP_DigestSign(context, to, ref length, from, (nuint)message.Length));
            return signature;
        }
        finally
        {
            EVP_MD_CTX_free(context);
            EVP_PKEY_free(key);
        }
    }

    private static nint Open(ReadOnlySpan<byte> secret)
    {
        fixed (byte* from = secret)
        {
            nint key = EVP_PKEY_new_raw_private_key(KeyType, 0, from, (nuint)secret.Length);
            return key != 0 ? key : throw new NatsException("libcrypto refused the key.");
        }
    }

    private static void Check(int result)
    {
        if (result != 1)
            throw new NatsException("libcrypto could not sign.");
    }

    private static nint Load(string name, Assembly assembly, DllImportSearchPath? path)
    {
        if (name != Library)
            return 0;
        foreach (string candidate in Names)
            if (NativeLibrary.TryLoad(candidate, assembly, path, out nint handle))
                return handle;
        throw new DllNotFoundException("NATS keys (NKey, .creds) need OpenSSL's libcrypto 1.1.1 or newer on this machine; install it, or use a password or token.");
    }

    [LibraryImport(Library)]
    private static partial nint EVP_PKEY_new_raw_private_key(int type, nint engine, byte* key, nuint length);

    [LibraryImport(Library)]
    private static partial int EVP_PKEY_get_raw_public_key(nint key, byte* to, ref nuint length);

    [LibraryImport(Library)]
    private static partial void EVP_PKEY_free(nint key);

    [LibraryImport(Library)]
    private static partial nint EVP_MD_CTX_new();

    [LibraryImport(Library)]
    private static partial void EVP_MD_CTX_free(nint context);

    [LibraryImport(Library)]
    private static partial int EVP_DigestSignInit(nint context, nint keyContext, nint digest, nint engine, nint key);

    [LibraryImport(Library)]
    private static partial int EVP_DigestSign(nint context, byte* signature, ref nuint length, byte* message, nuint messageLength);
}
