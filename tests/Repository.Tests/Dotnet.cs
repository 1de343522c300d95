using System.Diagnostics;

namespace Repository.Tests;

/// <summary>The SDK's command line.</summary>
internal static class Dotnet
{
    private static readonly string Configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;

    /// <summary>A program that was built with the solution, in the configuration of the tests.</summary>
    /// <param name="folder">Where its project is, from the root.</param>
    /// <param name="name">What it is called.</param>
    public static string Program(string folder, string name) => Path.Combine(StructureTests.Root, folder, name, "bin", Configuration, "net10.0", name + ".dll");

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
