using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Archipelago.Cli.Tests;

/// <summary>The command line tool as a process: what it prints and how it ends.</summary>
public class ProcessTests
{
    private static readonly string Tool = Path.Combine(AppContext.BaseDirectory, "archipelago.dll");

    private static async Task<(int Code, string Out, string Error)> RunAsync(string arguments, params (string Name, string Value)[] environment)
    {
        using Process process = Start(arguments, environment);
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));
        return (process.ExitCode, await output, await error);
    }

    private static Process Start(string arguments, (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo("dotnet", $"\"{Tool}\" {arguments}") { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Path.GetTempPath() };
        foreach (string scope in (string[])["SERVICE", "CONNECTOR", "STATS", "REALM_PROVIDER"])
            start.Environment[scope + "__HTTP_SERVER_PORT"] = "0";
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        return Process.Start(start)!;
    }

    [Fact]
    public async Task Up_with_bots_ends_by_itself_with_a_summary()
    {
        (int code, string output, string error) = await RunAsync("up --bots 5 --duration 6", ("ARCHIPELAGO_FLUSH_FREQUENCY", "0.2"));
        Assert.True(code == 0, error);
        Assert.Contains("5 bots: 5 connected, 5 welcomed, 5 got an island", output, StringComparison.Ordinal);
        Assert.Contains("at the end 5 people were in it", output, StringComparison.Ordinal);
        Assert.Contains("for development", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Up_stops_cleanly_when_asked_to()
    {
        using Process process = Start("up", []);
        while (await process.StandardOutput.ReadLineAsync() is { } line && !line.Contains("Ctrl-C", StringComparison.Ordinal))
        {
            // Until it is up.
        }
        using (Process kill = Process.Start("kill", $"-INT {process.Id}"))
            await kill.WaitForExitAsync();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(0, process.ExitCode);
        Assert.Contains("at the end 0 people were in it", await process.StandardOutput.ReadToEndAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("up --bots -1", "--bots must be between", null, null)]
    [InlineData("bots --url http://x", "--url must be", null, null)]
    [InlineData("bots --count many", "many", null, null)]
    [InlineData("fly", "fly", null, null)]
    [InlineData("replay /nowhere/at/all", "/nowhere/at/all", null, null)]
    [InlineData("replay /dev/null --compare size=3", "join=METRES", null, null)]
    [InlineData("replay /dev/null --compare join=80,leave=64", "LeaveDistance", null, null)]
    [InlineData("record /nowhere/at/all/x", "/nowhere/at/all", null, null)]
    [InlineData("record /dev/null --nats nonsense://x", "NATS_URL", null, null)]
    [InlineData("up", "SERVICE: LIVEKIT_API_SECRET is not set", "LIVEKIT_API_SECRET", "")]
    [InlineData("up", "SERVICE: LIVEKIT_ISLAND_SIZE is \"x\"; it must be a number.", "LIVEKIT_ISLAND_SIZE", "x")]
    public async Task Bad_input_is_told_in_a_line_with_exit_code_2(string arguments, string message, string? name, string? value)
    {
        (int code, string output, string error) = await RunAsync(arguments, name is null ? [] : [(name, value!)]);
        Assert.Equal(2, code);
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
        Assert.Equal("", output);
    }

    [Fact]
    public async Task A_taken_port_is_told_in_a_line_with_exit_code_2()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        (int code, _, string error) = await RunAsync("up", ("CONNECTOR__HTTP_SERVER_PORT", $"{((IPEndPoint)taken.LocalEndpoint).Port}"));
        Assert.Equal(2, code);
        Assert.Contains("CONNECTOR__HTTP_SERVER_PORT", Assert.Single(error.Trim().Split('\n')), StringComparison.Ordinal);
    }
}
