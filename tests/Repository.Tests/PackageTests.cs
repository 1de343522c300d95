using System.IO.Compression;
using System.Xml.Linq;
using Archipelago.Testing;

namespace Repository.Tests;

/// <summary>Our packages in a folder, as a feed.</summary>
public sealed class PackageFeed : IAsyncLifetime
{
    internal static readonly string[] Names = ["Archipelago.Core", "Archipelago.Messaging", "Archipelago.Nats", "Archipelago.Protocol"];

    public string Folder { get; } = Directory.CreateTempSubdirectory("archipelago-packages").FullName;

    /// <summary>A version of its own, since the machine's package cache keeps what it has seen.</summary>
    public string Version { get; } = $"0.1.0-test.{Guid.NewGuid():N}";

    public async Task InitializeAsync()
    {
        foreach (string name in Names)
            await Dotnet.RunAsync(StructureTests.Root, "pack", $"src/{name}", "-c", "Release", "-o", Folder, $"-p:Version={Version}", "-nologo");
    }

    public Task DisposeAsync()
    {
        Directory.Delete(Folder, recursive: true);
        string cache = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        foreach (string copy in Names.Select(n => Path.Combine(cache, n.ToLowerInvariant(), Version)).Where(Directory.Exists))
            Directory.Delete(copy, recursive: true);
        return Task.CompletedTask;
    }
}

/// <summary>The packages, consumed by fresh projects that know nothing of this repository.</summary>
public sealed class PackageTests(PackageFeed feed) : IClassFixture<PackageFeed>, IDisposable
{
    private readonly string project = Directory.CreateTempSubdirectory("archipelago-consumer").FullName;

    public static TheoryData<string> Packages => [.. PackageFeed.Names];

    public void Dispose() => Directory.Delete(project, recursive: true);

    [Theory]
    [InlineData("Archipelago.Core", "peer 0.1 goes from no island to island 1\npeer 1.1 goes from no island to island 1")]
    [InlineData("Archipelago.Messaging", "hall.ann: hello")]
    [InlineData("Archipelago.Protocol", "0x00000000000000000000000000000000000000aa is at 8 1 -24")]
    public async Task A_fresh_project_runs_the_sample_of_the_package(string package, string output) =>
        Assert.Equal(output, await RunAsync(package, Sample(package)));

    [Fact]
    public async Task A_fresh_project_reaches_a_server_with_the_sample_of_the_NATS_package()
    {
        await using NatsServer server = await NatsServer.StartAsync();
        string sample = Sample("Archipelago.Nats"), elsewhere = sample.Replace("nats://127.0.0.1:4222", server.Url.ToString(), StringComparison.Ordinal);
        Assert.NotEqual(sample, elsewhere);
        Assert.Equal("hall.ann: hello", await RunAsync("Archipelago.Nats", elsewhere));
    }

    [Theory]
    [MemberData(nameof(Packages))]
    public void A_package_says_what_it_is_and_brings_its_documents_and_symbols(string package)
    {
        using ZipArchive content = ZipFile.OpenRead(Path.Combine(feed.Folder, $"{package}.{feed.Version}.nupkg"));
        string[] files = [.. content.Entries.Select(e => e.FullName)];
        foreach (string file in (string[])["README.md", "icon.png", $"lib/net10.0/{package}.dll", $"lib/net10.0/{package}.xml"])
            Assert.Contains(file, files);
        using Stream nuspec = content.GetEntry(package + ".nuspec")!.Open();
        Dictionary<string, string> metadata = XDocument.Load(nuspec).Root!.Elements().Single().Elements()
            .GroupBy(e => e.Name.LocalName).ToDictionary(g => g.Key, g => g.First().Value);
        foreach (string field in (string[])["authors", "license", "tags", "description"])
            Assert.NotEmpty(metadata[field]);
        Assert.Equal(("README.md", "icon.png"), (metadata["readme"], metadata["icon"]));
        Assert.NotEqual("Package Description", metadata["description"]);
        using ZipArchive symbols = ZipFile.OpenRead(Path.Combine(feed.Folder, $"{package}.{feed.Version}.snupkg"));
        Assert.Contains(symbols.Entries, e => e.FullName == $"lib/net10.0/{package}.pdb");
    }

    [Fact]
    public void The_sample_on_the_first_page_is_that_of_the_package() =>
        Assert.Equal(Sample("Archipelago.Core"), Sample(Path.Combine(StructureTests.Root, "README.md"), "Archipelago.Core"));

    private async Task<string> RunAsync(string package, string program)
    {
        await File.WriteAllTextAsync(Path.Combine(project, "nuget.config"), $"""<configuration><packageSources><clear /><add key="local" value="{feed.Folder}" /></packageSources></configuration>""");
        // The analysers of a trimmed and ahead-of-time compiled program, as errors.
        await File.WriteAllTextAsync(Path.Combine(project, "consumer.csproj"), $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
                <EnableAotAnalyzer>true</EnableAotAnalyzer>
                <EnableTrimAnalyzer>true</EnableTrimAnalyzer>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="{package}" Version="{feed.Version}" />
              </ItemGroup>
            </Project>
            """);
        await File.WriteAllTextAsync(Path.Combine(project, "Program.cs"), program);
        return (await Dotnet.RunAsync(project, "run", "-c", "Release")).Trim();
    }

    private static string Sample(string package) => Sample(Path.Combine(StructureTests.Root, "src", package, "README.md"), package);

    /// <summary>The C# of a document.</summary>
    private static string Sample(string document, string package)
    {
        string text = File.ReadAllText(document);
        int start = text.IndexOf("```csharp\n", StringComparison.Ordinal) + "```csharp\n".Length;
        string sample = text[start..text.IndexOf("```", start, StringComparison.Ordinal)];
        Assert.Contains("using " + package, sample, StringComparison.Ordinal);
        return sample;
    }
}
