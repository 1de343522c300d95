using System.Text;
using Archipelago.Cli.Replay;

namespace Archipelago.Cli.Tests;

public class ReplayTests
{
    private static async Task<string> RunAsync(string lines)
    {
        using var output = new MemoryStream();
        await ReplayReader.RunAsync(new MemoryStream(Encoding.UTF8.GetBytes(lines)), [new ReplayWorld(output)]);
        return Encoding.UTF8.GetString(output.ToArray());
    }

    [Fact]
    public async Task A_recorded_day_is_told_flush_by_flush()
    {
        string output = await RunAsync("""
            {"op":"move","peer":"b","position":[0,1,0]}
            {"op":"move","peer":"a","position":[10,1,0]}

            {"op":"move","peer":"far","position":[500,1,0.5]}
            {"op":"flush"}
            {"op":"leave","peer":"b"}
            {"op":"leave","peer":"nobody"}
            {"op":"move","peer":"far","position":[20,1,0],"more":{"x":[1]}}
            {"op":"flush"}
            {"op":"flush"}
            """);
        Assert.Equal(
            """
            {"flush":1,"islands":[{"id":"I1","peers":["a","b"],"center":[5,0,0],"radius":5},{"id":"I2","peers":["far"],"center":[500,0,0.5],"radius":0}],"changes":[{"peer":"a","from":null,"to":"I1"},{"peer":"b","from":null,"to":"I1"},{"peer":"far","from":null,"to":"I2"}]}
            {"flush":2,"islands":[{"id":"I1","peers":["a","far"],"center":[15,0,0],"radius":5}],"changes":[{"peer":"far","from":"I2","to":"I1"}]}
            {"flush":3,"islands":[{"id":"I1","peers":["a","far"],"center":[15,0,0],"radius":5}],"changes":[]}

            """,
            output);
    }

    [Fact]
    public async Task Options_and_wishes_hold_as_the_engine_has_them()
    {
        string output = await RunAsync("""
            {"op":"options","maxIslandSize":3}
            {"op":"move","peer":"a1","position":[0,0,0]}
            {"op":"move","peer":"a2","position":[0,0,0]}
            {"op":"flush"}
            {"op":"move","peer":"b1","position":[120,0,0]}
            {"op":"move","peer":"b2","position":[120,0,0]}
            {"op":"flush"}
            {"op":"move","peer":"c","position":[60,0,0]}
            {"op":"move","peer":"c","position":[60,0,0],"prefer":"I2"}
            {"op":"flush"}
            {"op":"options","joinDistance":10,"leaveDistance":20}
            {"op":"flush"}
            """);
        string[] flushes = output.TrimEnd().Split('\n');
        Assert.EndsWith("""{"peer":"c","from":null,"to":"I2"}]}""", flushes[2], StringComparison.Ordinal);
        Assert.EndsWith("""{"peer":"c","from":"I2","to":"I3"}]}""", flushes[3], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"op\":\"flush\"}\nnonsense", 2, "no JSON")]
    [InlineData("[1]", 1, "no JSON object")]
    [InlineData("{\"op\":\"flush\"} {}", 1, "no JSON")]
    [InlineData("{\"op\":\"flush\"", 1, "no JSON")]
    [InlineData("\n\n{\"op\":\"fly\"}", 3, "must be options, move, leave or flush")]
    [InlineData("{}", 1, "\"op\" is missing")]
    [InlineData("{\"op\":\"move\",\"position\":[0,0,0]}", 1, "\"peer\" is missing")]
    [InlineData("{\"op\":\"move\",\"peer\":7,\"position\":[0,0,0]}", 1, "\"peer\" must be a text")]
    [InlineData("{\"op\":\"move\",\"peer\":\"a\"}", 1, "\"position\" is missing")]
    [InlineData("{\"op\":\"move\",\"peer\":\"a\",\"position\":[0,0]}", 1, "three numbers")]
    [InlineData("{\"op\":\"move\",\"peer\":\"a\",\"position\":[0,0,0,0]}", 1, "three numbers")]
    [InlineData("{\"op\":\"move\",\"peer\":\"a\",\"position\":[0,1e39,0]}", 1, "beyond the range")]
    [InlineData("{\"op\":\"move\",\"peer\":\"a\",\"position\":[0,0,0],\"prefer\":3}", 1, "\"prefer\" must be a text")]
    [InlineData("{\"op\":\"options\",\"joinDistance\":100}", 1, "JoinDistance 100 is above")]
    [InlineData("{\"op\":\"options\",\"maxIslandSize\":1.5}", 1, "whole number")]
    [InlineData("{\"op\":\"move\",\"peer\":\"\\ud800\",\"position\":[0,0,0]}", 1, "")]
    public async Task A_bad_line_is_told_by_its_number_and_what_is_wrong(string lines, long number, string message)
    {
        BadLineException e = await Assert.ThrowsAsync<BadLineException>(() => RunAsync(lines));
        Assert.Equal(number, e.Line);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }
}
