using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Repository.Tests;

/// <summary>The shape of the repository: data flows one way through the projects, and the documents name what is there.</summary>
public partial class StructureTests
{
    internal static readonly string Root = FindRoot();

    private static readonly string[] HostLayers = ["Archipelago.Core", "Archipelago.Protocol", "Archipelago.Messaging", "Archipelago.Ethereum", "Archipelago.Hosting"];

    /// <summary>What each project may reference; hosts never one another.</summary>
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Archipelago.Core"] = [],
        ["Archipelago.Messaging"] = [],
        ["Archipelago.Protocol"] = ["Archipelago.Messaging"],
        ["Archipelago.Nats"] = ["Archipelago.Messaging"],
        ["Archipelago.Ethereum"] = [],
        ["Archipelago.Hosting"] = ["Archipelago.Messaging", "Archipelago.Nats"],
        ["Archipelago.Service"] = HostLayers,
        ["Connector"] = HostLayers,
        ["Stats"] = HostLayers,
        ["RealmProvider"] = HostLayers,
        ["Archipelago.Cli"] = ["Archipelago.Service", "Connector", "Stats", "RealmProvider"],
    };

    private static string FindRoot()
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(at!.FullName, "Archipelago.slnx")))
            at = at.Parent;
        return at.FullName;
    }

    private static string Read(params string[] path) => File.ReadAllText(Path.Combine([Root, .. path]));

    private static IEnumerable<string> SourceFiles => Directory.EnumerateFiles(Path.Combine(Root, "src"), "*.cs", SearchOption.AllDirectories)
        .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal));

    public static TheoryData<string> Projects =>
        [.. Directory.EnumerateFiles(Path.Combine(Root, "src"), "*.csproj", SearchOption.AllDirectories).Select(f => Path.GetFileNameWithoutExtension(f)).Order()];

    [Theory]
    [MemberData(nameof(Projects))]
    public void References_follow_the_direction_of_the_data(string project)
    {
        Assert.True(Allowed.ContainsKey(project), $"{project} is new: say in this table, and in docs/architecture.md, what it may reference.");
        IEnumerable<string> references = XDocument.Load(Path.Combine(Root, "src", project, project + ".csproj"))
            .Descendants("ProjectReference").Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value));
        Assert.Empty(references.Except(Allowed[project]));
        Assert.Contains($"src/{project}", Read("docs", "architecture.md"), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_project_is_in_the_solution()
    {
        string solution = Read("Archipelago.slnx");
        foreach (string folder in (string[])["src", "tests", "benchmarks", "samples"])
            foreach (string file in Directory.EnumerateFiles(Path.Combine(Root, folder), "*.csproj", SearchOption.AllDirectories).Where(f => !f.Contains("/bin/", StringComparison.Ordinal)))
                Assert.Contains(Path.GetRelativePath(Root, file).Replace('\\', '/'), solution, StringComparison.Ordinal);
    }

    [GeneratedRegex("""(?:settings|Settings)\.(?:Text|Number|Integer|Required|HttpUrl|Limit|Find)\(\s*"([A-Z_]+)""")]
    private static partial Regex VariableRead();

    /// <summary>The variables that these sources read.</summary>
    internal static IEnumerable<string> VariablesIn(IEnumerable<string> files) =>
        files.SelectMany(f => VariableRead().Matches(File.ReadAllText(f)).Select(m => m.Groups[1].Value)).Distinct();

    [GeneratedRegex("^\\| `([A-Z_]+)`", RegexOptions.Multiline)]
    private static partial Regex VariableListed();

    [Fact]
    public void The_list_of_variables_is_that_of_the_code()
    {
        IEnumerable<string> read = VariablesIn(SourceFiles).Order();
        IEnumerable<string> listed = VariableListed().Matches(Read("docs", "configuration.md")).Select(m => m.Groups[1].Value).Distinct().Order();
        Assert.Equal(read, listed);
    }

    [GeneratedRegex(@"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")]
    private static partial Regex Link();

    [Fact]
    public void Links_between_documents_lead_somewhere()
    {
        IEnumerable<string> documents = Directory.EnumerateFiles(Root, "*.md").Concat(Directory.EnumerateFiles(Path.Combine(Root, "docs"), "*.md"));
        foreach (string document in documents)
            foreach (Match link in Link().Matches(File.ReadAllText(document)))
                Assert.True(Path.Exists(Path.Combine(Path.GetDirectoryName(document)!, link.Groups[1].Value)), $"{Path.GetFileName(document)} links to {link.Groups[1].Value}");
    }

    [GeneratedRegex("^\\|.*\\| `([A-Za-z]+Tests)\\.(\\w+)`", RegexOptions.Multiline)]
    private static partial Regex TestNamed();

    [Fact]
    public void Tests_that_the_list_of_differences_names_exist()
    {
        string tests = string.Join('\n', Directory.EnumerateFiles(Path.Combine(Root, "tests"), "*Tests.cs", SearchOption.AllDirectories).Select(File.ReadAllText));
        MatchCollection named = TestNamed().Matches(Read("docs", "compatibility.md"));
        Assert.NotEmpty(named);
        foreach (Match test in named)
        {
            Assert.Contains($"class {test.Groups[1].Value}", tests, StringComparison.Ordinal);
            Assert.Contains($" {test.Groups[2].Value}(", tests, StringComparison.Ordinal);
        }
    }

    [GeneratedRegex("""public const string \w+ = "((?:peer|engine)\.[^"]+)";""")]
    private static partial Regex SubjectDefined();

    [Fact]
    public void Every_subject_of_the_bus_is_described()
    {
        string source = Read("src", "Archipelago.Protocol", "Subjects.cs");
        // Those that anybody listens to by a pattern, and those that are for one alone.
        string[] subjects = [.. SubjectDefined().Matches(source).Select(m => m.Groups[1].Value).Concat(SubjectMade().Matches(source).Select(m => Placeholder().Replace(m.Groups[1].Value, "*"))).Distinct()];
        Assert.InRange(subjects.Length, 10, 30);
        string[] described = [.. SubjectDescribed().Matches(Read("docs", "protocol.md")).Select(m => Placeholder().Replace(m.Groups[1].Value, "*"))];
        Assert.Empty(subjects.Except(described));
        Assert.Empty(described.Except(subjects));
    }

    [GeneratedRegex("^\\| `((?:peer|engine)\\.[^`]+)` \\|", RegexOptions.Multiline)]
    private static partial Regex SubjectDescribed();

    [GeneratedRegex("""=> \$"((?:peer|engine)\.[^"]+)";""")]
    private static partial Regex SubjectMade();

    [GeneratedRegex("<[a-z]+>|\\{[a-zA-Z]+\\}")]
    private static partial Regex Placeholder();

    [GeneratedRegex("`((?:archipelago|dcl|nats)_[a-z_]+)`")]
    private static partial Regex MetricNamed();

    [Fact]
    public void Metrics_that_the_documents_name_are_those_of_the_code()
    {
        string code = string.Join('\n', SourceFiles.Select(File.ReadAllText));
        foreach (string document in (string[])["operations.md", "configuration.md", "bus.md", "security.md"])
            foreach (Match metric in MetricNamed().Matches(Read("docs", document)))
                Assert.True(code.Contains($"\"{metric.Groups[1].Value}\"", StringComparison.Ordinal), $"{document} names {metric.Groups[1].Value}, which nothing measures.");
    }

    [Fact]
    public async Task Pictures_of_measurements_are_drawn_from_the_results_that_are_filed()
    {
        string drawn = Directory.CreateTempSubdirectory("plots").FullName;
        await Dotnet.RunAsync(Root, BenchmarkTests.Program, "bench", "plots", "--to", drawn);
        string[] pictures = Directory.GetFiles(drawn);
        Assert.NotEmpty(pictures);
        foreach (string picture in pictures)
            Assert.True(File.ReadAllText(picture) == Read("docs", "images", Path.GetFileName(picture)), $"docs/images/{Path.GetFileName(picture)} is not up to date: ./run.sh bench plots");
        Directory.Delete(drawn, recursive: true);
    }
}
