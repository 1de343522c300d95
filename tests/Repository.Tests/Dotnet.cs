using System.Diagnostics;

namespace Repository.Tests;

/// <summary>The SDK's command line.</summary>
internal static class Dotnet
{
    /// <summary>Runs it to its end, which must be a good one, and returns what it printed.</summary>
    public static async Task<string> RunAsync(string directory, params string[] arguments)
    {
        using Process process = Start(directory, arguments);
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(3));
        Assert.True(process.ExitCode == 0, await output + await error);
        return await output;
    }

    public static Process Start(string directory, params string[] arguments) =>
        Process.Start(new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = directory, RedirectStandardOutput = true, RedirectStandardError = true })!;
}
