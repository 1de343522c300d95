using System.Globalization;
using System.Text;

namespace Archipelago.Benchmarks.Nats;

/// <summary>The traffic that is measured: positions of 34 bytes on the subjects of 10,000 addresses.</summary>
internal static class Heartbeats
{
    public const int Addresses = 10_000;
    public const string Pattern = "peer.*.heartbeat";

    public static readonly byte[] Payload = new byte[34];

    public static readonly string[] Subjects =
        [.. Enumerable.Range(0, Addresses).Select(i => $"peer.0x{(i * 2654435761L).ToString("x40", CultureInfo.InvariantCulture)}.heartbeat")];

    /// <summary>One message a subject, as a publisher writes them.</summary>
    public static byte[] AsPublished() => Concatenate(subject => $"PUB {subject} {Payload.Length}\r\n");

    /// <summary>One message a subject, as a server writes them to this subscription.</summary>
    public static byte[] AsDelivered(string subscription) => Concatenate(subject => $"MSG {subject} {subscription} {Payload.Length}\r\n");

    private static byte[] Concatenate(Func<string, string> line)
    {
        using var bytes = new MemoryStream();
        foreach (string subject in Subjects)
        {
            bytes.Write(Encoding.ASCII.GetBytes(line(subject)));
            bytes.Write(Payload);
            bytes.Write("\r\n"u8);
        }
        return bytes.ToArray();
    }
}
