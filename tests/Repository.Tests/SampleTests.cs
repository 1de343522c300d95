using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Archipelago.Testing;

namespace Repository.Tests;

/// <summary>The samples do what they say. They are built with the solution, in the configuration of the tests.</summary>
public sealed class SampleTests
{
    [Fact]
    public async Task Walkers_walk_and_are_grouped()
    {
        string[] lines = (await Dotnet.RunAsync(StructureTests.Root, Dotnet.Program("samples", "Walkers"), "2000", "2")).Trim().Split('\n');
        Assert.Equal(3, lines.Length);
        Assert.StartsWith("second", lines[0].Trim(), StringComparison.Ordinal);
        string[] first = lines[1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(("0", "2000", "2000"), (first[0], first[1], first[3]));
        Assert.InRange(int.Parse(first[2]), 20, 1000);
    }

    [Fact]
    public async Task The_web_world_groups_people_who_are_put_into_it()
    {
        int port = NatsServer.FreePort();
        using Process process = Dotnet.Start(StructureTests.Root, Dotnet.Program("samples", "WebWorld"), "--urls", $"http://127.0.0.1:{port}");
        try
        {
            using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
            await Eventually.TrueAsync(async () => await AnswersAsync(http));
            foreach (string person in (string[])["ann?x=0&z=0", "bob?x=30&z=0", "eve?x=3000&z=0"])
                Assert.Equal(HttpStatusCode.NoContent, (await http.PutAsync("people/" + person, null)).StatusCode);
            Assert.Equal(HttpStatusCode.BadRequest, (await http.PutAsync("people/ann?x=NaN&z=0", null)).StatusCode);
            await Eventually.TrueAsync(async () => await TogetherAsync(http) == "ann,bob;eve");
            Assert.Equal(HttpStatusCode.NoContent, (await http.DeleteAsync("people/bob")).StatusCode);
            Assert.Equal(HttpStatusCode.NotFound, (await http.DeleteAsync("people/bob")).StatusCode);
            await Eventually.TrueAsync(async () => await TogetherAsync(http) == "ann;eve");
        }
        finally
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
        }
    }

    private static async Task<bool> AnswersAsync(HttpClient http)
    {
        try
        {
            return (await http.GetAsync("islands")).IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private static async Task<string> TogetherAsync(HttpClient http) =>
        string.Join(';', (await http.GetFromJsonAsync<JsonElement>("islands")).EnumerateArray()
            .Select(i => string.Join(',', i.GetProperty("people").EnumerateArray().Select(p => p.GetString()).Order())).Order());
}
