using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using Archipelago.Core;

namespace Archipelago.Cli.Replay;

/// <summary>A line that is none; the message says what is wrong with it.</summary>
internal sealed class BadLineException(string message) : Exception(message)
{
    /// <summary>Its number, from 1.</summary>
    public long Line { get; set; }
}

/// <summary>Reads lines of JSON and does to a world what they say. Members that are not known are passed over.</summary>
internal static class ReplayReader
{
    public static async Task RunAsync(Stream input, IReadOnlyList<ReplayWorld> worlds, CancellationToken cancellationToken = default)
    {
        PipeReader reader = PipeReader.Create(input, new StreamPipeReaderOptions(bufferSize: 1 << 16));
        long line = 0;
        while (true)
        {
            ReadResult result = await reader.ReadAsync(cancellationToken);
            ReadOnlySequence<byte> buffer = result.Buffer;
            while (TryCutLine(ref buffer, result.IsCompleted, out ReadOnlySequence<byte> text))
                Take(worlds, ++line, text);
            reader.AdvanceTo(buffer.Start, buffer.End);
            if (result.IsCompleted)
                break;
        }
        await reader.CompleteAsync();
    }

    private static bool TryCutLine(ref ReadOnlySequence<byte> buffer, bool last, out ReadOnlySequence<byte> line)
    {
        if (buffer.PositionOf((byte)'\n') is { } end)
        {
            line = buffer.Slice(0, end);
            buffer = buffer.Slice(buffer.GetPosition(1, end));
            return true;
        }
        line = buffer;
        if (!last || buffer.IsEmpty)
            return false;
        buffer = buffer.Slice(buffer.End);
        return true;
    }

    private static void Take(IReadOnlyList<ReplayWorld> worlds, long number, ReadOnlySequence<byte> text)
    {
        if (IsBlank(text))
            return;
        try
        {
            ReplayLine line = ReplayLine.Parse(text);
            foreach (ReplayWorld world in worlds)
                Do(line, world);
        }
        catch (BadLineException e)
        {
            e.Line = number;
            throw;
        }
        catch (JsonException e)
        {
            throw new BadLineException($"This is no JSON object: {e.Message}") { Line = number };
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException or ArgumentException)
        {
            throw new BadLineException(e.Message) { Line = number };
        }
    }

    private static void Do(in ReplayLine line, ReplayWorld world)
    {
        switch (line.Op)
        {
            case "move": world.Move(line.NeedPeer(), line.NeedPosition(), line.Prefers, line.Prefer); break;
            case "leave": world.Leave(line.NeedPeer()); break;
            case "flush": world.Flush(line.Time); break;
            case "options": world.SetOptions(line); break;
            case null: throw new BadLineException("\"op\" is missing; it must be options, move, leave or flush.");
            default: throw new BadLineException($"\"op\" is \"{line.Op}\"; it must be options, move, leave or flush.");
        }
    }

    private static bool IsBlank(ReadOnlySequence<byte> text)
    {
        foreach (ReadOnlyMemory<byte> part in text)
            if (part.Span.IndexOfAnyExcept(" \t\r"u8) >= 0)
                return false;
        return true;
    }
}

/// <summary>What one line says; members that it does not have are null.</summary>
internal struct ReplayLine
{
    public string? Op;
    public string? Peer;
    public Position? Position;
    public bool Prefers;
    public string? Prefer;
    public double? JoinDistance;
    public double? LeaveDistance;
    public int? MaxIslandSize;
    public CrowdPolicy? Crowds;
    public double? Time;

    public static ReplayLine Parse(ReadOnlySequence<byte> text)
    {
        var reader = new Utf8JsonReader(text);
        var line = default(ReplayLine);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new BadLineException("This is no JSON object.");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            line.Take(ref reader);
        // What follows the object is an error that the reader tells.
        reader.Read();
        return line;
    }

    public readonly string NeedPeer() => Peer ?? throw new BadLineException("\"peer\" is missing.");

    public readonly Position NeedPosition() => Position ?? throw new BadLineException("\"position\" is missing; it must be [x,y,z].");

    private void Take(ref Utf8JsonReader reader)
    {
        if (reader.ValueTextEquals("op"u8))
            Op = Text(ref reader, "op");
        else if (reader.ValueTextEquals("peer"u8))
            Peer = Text(ref reader, "peer") ?? throw new BadLineException("\"peer\" must be a text.");
        else if (reader.ValueTextEquals("position"u8))
            Position = Place(ref reader);
        else if (reader.ValueTextEquals("prefer"u8))
            (Prefers, Prefer) = (true, Text(ref reader, "prefer"));
        else if (reader.ValueTextEquals("joinDistance"u8))
            JoinDistance = Number(ref reader, "joinDistance");
        else if (reader.ValueTextEquals("leaveDistance"u8))
            LeaveDistance = Number(ref reader, "leaveDistance");
        else if (reader.ValueTextEquals("maxIslandSize"u8))
            MaxIslandSize = Whole(ref reader);
        else if (reader.ValueTextEquals("crowds"u8))
            Crowds = Policy(ref reader);
        else if (reader.ValueTextEquals("time"u8))
            Time = Number(ref reader, "time");
        else
            reader.Skip();
    }

    private static string? Text(ref Utf8JsonReader reader, string name)
    {
        reader.Read();
        return reader.TokenType is JsonTokenType.String or JsonTokenType.Null
            ? reader.GetString()
            : throw new BadLineException($"\"{name}\" must be a text.");
    }

    private static CrowdPolicy Policy(ref Utf8JsonReader reader) =>
        ReplayComparison.PolicyOf(Text(ref reader, "crowds")) ?? throw new BadLineException("\"crowds\" must be \"plain\" or \"coherent\".");

    private static double Number(ref Utf8JsonReader reader, string name)
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.Number && reader.TryGetDouble(out double value)
            ? value
            : throw new BadLineException($"\"{name}\" must be a number.");
    }

    private static int Whole(ref Utf8JsonReader reader)
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out int value)
            ? value
            : throw new BadLineException("\"maxIslandSize\" must be a whole number.");
    }

    private static Position Place(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
            throw new BadLineException("\"position\" must be [x,y,z].");
        float x = Coordinate(ref reader), y = Coordinate(ref reader), z = Coordinate(ref reader);
        reader.Read();
        return reader.TokenType == JsonTokenType.EndArray
            ? new Position(x, y, z)
            : throw new BadLineException("\"position\" must have three numbers.");
    }

    private static float Coordinate(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.Number)
            throw new BadLineException("\"position\" must have three numbers.");
        float value = (float)reader.GetDouble();
        return float.IsFinite(value) ? value : throw new BadLineException("\"position\" has a number beyond the range of a 32-bit float.");
    }
}
