using System.Diagnostics;

namespace Repository.Tests;

/// <summary>The engine's package, packed and consumed by a fresh project that knows nothing of this repository.</summary>
public sealed class PackageTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("archipelago-package").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task A_fresh_project_runs_the_sample_of_the_readme()
    {
        // A version of its own, since the machine's package cache keeps what it has seen.
        string version = $"0.1.0-test.{Guid.NewGuid():N}", feed = Path.Combine(folder, "feed"), project = Path.Combine(folder, "world");
        await RunAsync(StructureTests.Root, "pack", "src/Archipelago.Core", "-c", "Release", "-o", feed, $"-p:Version={version}", "-nologo");
        Directory.CreateDirectory(project);
        await File.WriteAllTextAsync(Path.Combine(project, "nuget.config"), $"""<configuration><packageSources><clear /><add key="local" value="{feed}" /></packageSources></configuration>""");
        await File.WriteAllTextAsync(Path.Combine(project, "world.csproj"), $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="Archipelago.Core" Version="{version}" />
              </ItemGroup>
            </Project>
            """);
        await File.WriteAllTextAsync(Path.Combine(project, "Program.cs"), Sample());
        string output = await RunAsync(project, "run", "-c", "Release");
        Assert.Equal("peer 0.1 goes from no island to island 1\npeer 1.1 goes from no island to island 1", output.Trim());
        try
        {
            Directory.Delete(Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages", "archipelago.core", version), recursive: true);
        }
        catch (DirectoryNotFoundException)
        {
            // The cache is elsewhere on this machine.
        }
    }

    /// <summary>The C# of the README.</summary>
    private static string Sample()
    {
        string readme = File.ReadAllText(Path.Combine(StructureTests.Root, "README.md"));
        int start = readme.IndexOf("```csharp\n", StringComparison.Ordinal) + "```csharp\n".Length;
        string sample = readme[start..readme.IndexOf("```", start, StringComparison.Ordinal)];
        Assert.Contains(sample, File.ReadAllText(Path.Combine(StructureTests.Root, "src", "Archipelago.Core", "README.md")), StringComparison.Ordinal);
        return sample;
    }

    private static async Task<string> RunAsync(string directory, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = directory, RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(3));
        Assert.True(process.ExitCode == 0, await output + await error);
        return await output;
    }
}
