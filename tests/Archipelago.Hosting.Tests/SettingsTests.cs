namespace Archipelago.Hosting.Tests;

public class SettingsTests
{
    private static Settings Of(params Dictionary<string, string>[] sources) => new("CONNECTOR", sources, new Dictionary<string, string> { ["D"] = "default" }, ["PORT"]);

    [Fact]
    public void The_first_source_that_defines_a_name_wins_even_with_an_empty_value()
    {
        Settings settings = Of(new() { ["A"] = "" }, new() { ["A"] = "file", ["B"] = "file" });
        Assert.Equal("", settings.Find("A"));
        Assert.Equal("file", settings.Find("B"));
        Assert.Equal("default", settings.Find("D"));
        Assert.Null(settings.Find("E"));
    }

    [Fact]
    public void A_value_with_scope_goes_before_one_without_wherever_it_stands()
    {
        Settings settings = Of(new() { ["A"] = "all", ["STATS__A"] = "stats" }, new() { ["CONNECTOR__A"] = "mine" });
        Assert.Equal("mine", settings.Find("A"));
    }

    [Fact]
    public void Some_names_hold_only_with_the_scope()
    {
        Assert.Null(Of(new Dictionary<string, string> { ["PORT"] = "1" }).Find("PORT"));
        Assert.Equal("2", Of(new Dictionary<string, string> { ["PORT"] = "1", ["CONNECTOR__PORT"] = "2" }).Find("PORT"));
    }

    [Theory]
    [InlineData("2", 2)]
    [InlineData("2.5s", 2.5)]
    [InlineData(" 7 ", 7)]
    [InlineData("-1e2x", -100)]
    public void Numbers_are_read_from_the_beginning_of_the_text(string text, double expected) =>
        Assert.Equal(expected, Of(new Dictionary<string, string> { ["N"] = text }).Number("N", 9));

    [Fact]
    public void All_faults_are_told_at_once_and_say_what_to_do()
    {
        Settings settings = Of(new Dictionary<string, string> { ["N"] = "", ["M"] = "70000", ["U"] = "ftp://x" });
        settings.Number("N", 1);
        settings.Integer("M", 1, 0, 65535);
        settings.Required("K", "the key");
        settings.HttpUrl("U");
        ConfigurationException e = Assert.Throws<ConfigurationException>(settings.ThrowIfFaulty);
        Assert.Equal(
            [
                "CONNECTOR: N is \"\"; it must be a number.",
                "CONNECTOR: M is 70000; it must be between 0 and 65535.",
                "CONNECTOR: K is not set. It is the key; set it in the environment or in .env.",
                "CONNECTOR: U is \"ftp://x\"; it must be an http or https URL.",
            ],
            e.Faults);
    }

    [Fact]
    public void Files_of_the_working_directory_come_after_the_environment()
    {
        string directory = Directory.CreateTempSubdirectory().FullName;
        try
        {
            File.WriteAllText(Path.Combine(directory, ".env"), "# a comment\nX_FILE=one\nX_QUOTED=\"two words\"\n\nnonsense\n");
            File.WriteAllText(Path.Combine(directory, ".env.default"), "X_FILE=ignored\nX_DEFAULT=three\nPATH=ignored\n");
            var settings = new Settings("S", Settings.ProcessSources(directory));
            Assert.Equal("one", settings.Find("X_FILE"));
            Assert.Equal("two words", settings.Find("X_QUOTED"));
            Assert.Equal("three", settings.Find("X_DEFAULT"));
            Assert.NotEqual("ignored", settings.Find("PATH"));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
