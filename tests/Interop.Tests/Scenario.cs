using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Interop.Tests;

/// <summary>Plays scenarios that are written in JavaScript.</summary>
internal static class Scenario
{
    /// <summary>Plays one scenario of a file in <c>js</c>; fails with what it wrote when an assertion there fails.</summary>
    /// <param name="file">The file.</param>
    /// <param name="name">The scenario.</param>
    /// <param name="realm">What it finds in the variable <c>REALM</c>.</param>
    public static async Task PlayAsync(string file, string name, JsonObject realm)
    {
        var start = new ProcessStartInfo("node", [file, name]) { WorkingDirectory = Scripts, RedirectStandardError = true, RedirectStandardOutput = true };
        start.Environment["REALM"] = realm.ToJsonString();
        using Process node = Process.Start(start)!;
        Task<string> output = node.StandardOutput.ReadToEndAsync(), error = node.StandardError.ReadToEndAsync();
        try
        {
            await node.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));
        }
        catch (TimeoutException)
        {
            node.Kill();
        }
        Assert.True(node.HasExited && node.ExitCode == 0, await output + await error);
    }

    private static string Scripts
    {
        get
        {
            DirectoryInfo? at = new(AppContext.BaseDirectory);
            while (at is not null && !File.Exists(Path.Combine(at.FullName, "Archipelago.slnx")))
                at = at.Parent;
            string scripts = Path.Combine(at!.FullName, "tests", "Interop.Tests", "js");
            Assert.True(Directory.Exists(Path.Combine(scripts, "node_modules")), $"The reference libraries are not installed. Run ./test.sh, or npm ci in {scripts}.");
            return scripts;
        }
    }
}
