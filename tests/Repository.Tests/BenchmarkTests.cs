using System.Diagnostics;
using System.Text.Json;

namespace Repository.Tests;

/// <summary>The measurements' own program, with loads of a second.</summary>
public sealed class BenchmarkTests : IDisposable
{
    internal static readonly string Program = Dotnet.Program("benchmarks", "Archipelago.Benchmarks");

    private readonly string track = Path.GetTempFileName();

    public void Dispose() => File.Delete(track);

    /// <summary>People who stand in a row, two metres apart, for some flushes; the last comes in the third.</summary>
    private async Task WriteTrackAsync(int people, int flushes)
    {
        await using FileStream file = File.Create(track);
        for (int flush = 0; flush < flushes; flush++)
        {
            for (int i = 0; i < people; i++)
            {
                float x = i == people - 1 && flush < 2 ? float.NaN : i * 7 % people * 2;
                await file.WriteAsync(BitConverter.GetBytes(x));
                await file.WriteAsync(BitConverter.GetBytes(0f));
            }
        }
    }

    [Fact]
    public async Task A_crowd_from_a_file_is_measured_under_both_policies()
    {
        await WriteTrackAsync(90, 80);
        string[] lines = (await Dotnet.RunAsync(StructureTests.Root, Program, "probe", "crowd", "--track", track, "--people", "90", "--cap", "30")).Trim().Split('\n');
        JsonElement[] results = [.. lines.Select(l => JsonDocument.Parse(l).RootElement)];
        Assert.Equal(["plain", "coherent"], results.Select(r => r.GetProperty("policy").GetString()));
        foreach (JsonElement result in results)
        {
            Assert.Equal((90, 3, 3.0), (result.GetProperty("people").GetInt32(), result.GetProperty("lastArrivalFlush").GetInt32(), result.GetProperty("minimumIslands").GetDouble()));
            Assert.InRange(result.GetProperty("islands").GetDouble(), 3, 6);
            Assert.InRange(result.GetProperty("r10LowestTenth").GetDouble(), 0, result.GetProperty("r10").GetDouble());
            foreach (string name in (string[])["movesPerPersonPer5Min", "nsPerMemberPerFlush", "allocatedBytesPerFlush", "worstFlushMoves", "lastMoveFlush"])
                Assert.Equal(JsonValueKind.Number, result.GetProperty(name).ValueKind);
        }
        Assert.InRange(results[1].GetProperty("r10").GetDouble(), 0.7, 1);
    }

    [Theory]
    [InlineData("probe crowd --track /not/there --people 3", "/not/there")]
    [InlineData("probe crowd --track {0} --people 7", "--people")]
    [InlineData("bench crowds --scenario moon", "\"moon\"")]
    [InlineData("bench crowds --policy tidy", "--policy must be")]
    public async Task Bad_input_is_told_in_a_line_with_exit_code_2(string arguments, string message)
    {
        await WriteTrackAsync(5, 1);
        using Process process = Dotnet.Start(StructureTests.Root, [Program, .. arguments.Replace("{0}", track, StringComparison.Ordinal).Split(' ')]);
        string[] lines = (await process.StandardError.ReadToEndAsync()).Trim().Split('\n');
        await process.WaitForExitAsync();
        Assert.Contains(message, Assert.Single(lines), StringComparison.Ordinal);
        Assert.Equal(2, process.ExitCode);
    }
}
