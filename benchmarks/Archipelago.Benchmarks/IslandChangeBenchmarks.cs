using System.Buffers;
using System.Globalization;
using System.Text;
using Archipelago.Protocol;
using Archipelago.Service;
using BenchmarkDotNet.Attributes;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;

namespace Archipelago.Benchmarks;

/// <summary>
/// Ten thousand people come to islands of a hundred in one flush: their <c>island_changed</c> messages into memory, with the list of neighbours encoded once
/// an island, beside each message encoded whole with the generated classes; and their tokens.
/// </summary>
[MemoryDiagnoser]
public class IslandChangeBenchmarks
{
    private const int Islands = 100, Members = 100;

    private readonly string[] addresses = [.. Enumerable.Range(0, Islands * Members).Select(i => "0x" + i.ToString("x40", CultureInfo.InvariantCulture))];
    private readonly byte[][] addressBytes;
    private readonly byte[] connection = Encoding.UTF8.GetBytes("livekit:wss://livekit.example.org?access_token=" + new string('x', 420));
    private readonly LiveKitTokens tokens = new(new LiveKitOptions("wss://livekit.example.org", "key", "a-secret-of-at-least-thirty-two-characters"));
    private readonly ArrayBufferWriter<byte> members = new(1 << 20);
    private readonly ArrayBufferWriter<byte> message = new(1 << 16);
    private readonly DateTimeOffset now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private readonly byte[] output = new byte[1 << 16];

    public IslandChangeBenchmarks() => addressBytes = [.. addresses.Select(Encoding.UTF8.GetBytes)];

    [Benchmark(Baseline = true)]
    public long GeneratedClasses()
    {
        long bytes = 0;
        string conn = Encoding.UTF8.GetString(connection);
        for (int island = 0; island < Islands; island++)
        {
            for (int receiver = 0; receiver < Members; receiver++)
            {
                var change = new IslandChangedMessage { IslandId = "I1", ConnStr = conn };
                for (int m = 0; m < Members; m++)
                    change.Peers[addresses[(island * Members) + m]] = new Position { X = m, Y = 1, Z = island };
                int size = change.CalculateSize();
                change.WriteTo(output.AsSpan(0, size));
                bytes += size;
            }
        }
        return bytes;
    }

    [Benchmark]
    public long EncodedOnceAnIsland()
    {
        long bytes = 0;
        for (int island = 0; island < Islands; island++)
        {
            members.ResetWrittenCount();
            for (int m = 0; m < Members; m++)
                IslandChangeWriter.WritePeer(members, addressBytes[(island * Members) + m], m, 1, island);
            for (int receiver = 0; receiver < Members; receiver++)
            {
                message.ResetWrittenCount();
                IslandChangeWriter.WriteChange(message, "I1"u8, connection, default);
                message.Write(members.WrittenSpan);
                bytes += message.WrittenCount;
            }
        }
        return bytes;
    }

    [Benchmark]
    public long Tokens()
    {
        long bytes = 0;
        foreach (byte[] address in addressBytes)
        {
            message.ResetWrittenCount();
            tokens.Write(message, "I1"u8, address, now);
            bytes += message.WrittenCount;
        }
        return bytes;
    }
}
