using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Archipelago.Testing;

/// <summary>Holds what is written of a host's HTTP interface against what it does.</summary>
internal static partial class Description
{
    private static readonly string Docs = FindDocs();

    /// <summary>The document that the host makes of itself is the one in <c>docs/openapi</c>.</summary>
    public static async Task AssertOpenApiAsync(RunningHost host, string name)
    {
        string path = Path.Combine(Docs, "openapi", name), served = await host.GetAsync("/openapi.json");
        if (File.Exists(path) && File.ReadAllText(path) == served + "\n")
            return;
        string actual = Path.Combine(Path.GetTempPath(), name);
        File.WriteAllText(actual, served + "\n");
        Assert.Fail($"docs/openapi/{name} is not what the host serves. If the change is meant: cp {actual} {path}");
    }

    /// <summary>A file of the documentation.</summary>
    public static string PathOf(string name) => Path.Combine(Docs, name);

    /// <summary>Each example of a section of <c>docs/http.md</c> is what the host answers, and each route of its description has one.</summary>
    /// <param name="host">The host, in the state that the page tells of.</param>
    /// <param name="section">Which section.</param>
    /// <param name="tidy">Puts the page's addresses for those of the test.</param>
    public static async Task AssertExamplesAsync(RunningHost host, string section, Func<string, string> tidy)
    {
        string text = File.ReadAllText(Path.Combine(Docs, "http.md")).Split("\n## ").Single(s => s.StartsWith(section + "\n", StringComparison.Ordinal));
        var shown = new HashSet<string>();
        foreach (Match example in Example().Matches(text))
        {
            string path = example.Groups[1].Value;
            JsonNode? answer = JsonNode.Parse(tidy(await (await host.Http.GetAsync(new Uri(path, UriKind.Relative))).Content.ReadAsStringAsync()));
            Assert.True(JsonNode.DeepEquals(JsonNode.Parse(example.Groups[2].Value), answer), $"GET {path} answers {answer?.ToJsonString()}");
            shown.Add(path.Split('?')[0]);
        }
        JsonObject routes = JsonNode.Parse(await host.GetAsync("/openapi.json"))!["paths"]!.AsObject();
        foreach ((string route, JsonNode? _) in routes)
            if (!route.StartsWith("/comms/", StringComparison.Ordinal))
                Assert.True(shown.Any(path => Fits(route, path)) || route.StartsWith("/health/", StringComparison.Ordinal) || route == "/metrics" || text.Contains($"`{route}`", StringComparison.Ordinal), $"docs/http.md says nothing of {route}");
    }

    private static bool Fits(string route, string path) => Regex.IsMatch(path, "^" + Regex.Replace(route, @"\{\w+\}", "[^/]+") + "$");

    private static string FindDocs()
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(at!.FullName, "Archipelago.slnx")))
            at = at.Parent;
        return Path.Combine(at.FullName, "docs");
    }

    [GeneratedRegex(@"\nGET (\S+)\n```\n+```json\n(.*?)\n```", RegexOptions.Singleline)]
    private static partial Regex Example();
}
