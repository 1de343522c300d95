using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Repository.Tests;

/// <summary>The compose file, which cannot be run here, says only what images and hosts understand.</summary>
public partial class DeployTests
{
    private sealed record Service(string Name, string Image, Dictionary<string, string> Environment, List<string> DependsOn);

    [GeneratedRegex(@"^  ([a-z0-9-]+):\s*$")]
    private static partial Regex ServiceName();

    [GeneratedRegex("""^    ([a-z_]+):\s*(.*)$""")]
    private static partial Regex Property();

    [GeneratedRegex("""^      ([A-Z_]+):\s*"?([^"]*)"?$""")]
    private static partial Regex Variable();

    private static readonly string[] Projects = ["Archipelago.Service", "Connector", "Stats", "RealmProvider"];

    private static string Source(params string[] path) => Path.Combine([StructureTests.Root, .. path]);

    /// <summary>The part of YAML that the file uses: services, their scalars, one-line lists, and maps of variables.</summary>
    private static List<Service> Services()
    {
        var services = new List<Service>();
        bool inside = false;
        foreach (string line in File.ReadLines(Source("deploy", "compose.yaml")))
        {
            if (line == "services:")
                inside = true;
            if (!inside)
                continue;
            if (ServiceName().Match(line) is { Success: true } name)
                services.Add(new Service(name.Groups[1].Value, "", [], []));
            else if (Variable().Match(line) is { Success: true } variable)
                services[^1].Environment.Add(variable.Groups[1].Value, variable.Groups[2].Value);
            else if (Property().Match(line) is { Success: true } property)
                Set(services, property.Groups[1].Value, property.Groups[2].Value);
        }
        return services;
    }

    private static void Set(List<Service> services, string property, string value)
    {
        if (property == "image")
            services[^1] = services[^1] with { Image = value };
        else if (property == "depends_on")
            services[^1].DependsOn.AddRange(value.Trim('[', ']').Split(", "));
    }

    private static string Repository(string project) =>
        XDocument.Load(Source("src", project, project + ".csproj")).Descendants("ContainerRepository").Single().Value;

    private static HashSet<string> VariablesOf(params string[] projects) =>
        [.. StructureTests.VariablesIn(projects.SelectMany(p => Directory.EnumerateFiles(Source("src", p), "*.cs", SearchOption.AllDirectories)))];

    [Fact]
    public void Every_host_has_an_image_in_it_and_what_must_not_fail_is_there_more_than_once()
    {
        List<Service> services = Services();
        foreach (string project in Projects)
            Assert.Equal(project is "Connector" or "Archipelago.Service" ? 2 : 1, services.Count(s => s.Image == Repository(project) + ":latest"));
        Assert.Equal(["nats-1", "nats-2", "nats-3", "livekit", "service-1", "service-2", "connector-1", "connector-2", "proxy", "stats", "realm-provider"], services.Select(s => s.Name));
        foreach (Service service in services)
            Assert.Empty(service.DependsOn.Except(services.Select(s => s.Name)));
    }

    [Fact]
    public void Every_variable_that_it_sets_is_one_that_the_host_reads()
    {
        int checkedVariables = 0;
        foreach (Service service in Services())
        {
            if (Projects.FirstOrDefault(p => service.Image == Repository(p) + ":latest") is not { } project)
                continue;
            HashSet<string> read = VariablesOf(project, "Archipelago.Hosting");
            foreach (string variable in service.Environment.Keys)
            {
                Assert.True(read.Contains(variable), $"{service.Name} sets {variable}, which {project} does not read.");
                checkedVariables++;
            }
        }
        Assert.InRange(checkedVariables, 12, 100);
    }

    [Fact]
    public void Hosts_name_one_another_where_they_listen()
    {
        Dictionary<string, Service> services = Services().ToDictionary(s => s.Name);
        Assert.Equal($"http://127.0.0.1:{services["stats"].Environment["HTTP_SERVER_PORT"]}", services["realm-provider"].Environment["ARCHIPELAGO_STATS_URL"]);
        Assert.All(services.Values.Where(s => s.Environment.ContainsKey("NATS_URL")), s => Assert.Equal("nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222", s.Environment["NATS_URL"]));
        string text = File.ReadAllText(Source("deploy", "compose.yaml"));
        foreach (string connector in (string[])["connector-1", "connector-2"])
            Assert.Contains($"--to {connector}:{services[connector].Environment["HTTP_SERVER_PORT"]}", text, StringComparison.Ordinal);
    }
}
