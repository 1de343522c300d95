using System.Globalization;

namespace Archipelago.Hosting;

/// <summary>Something about the configuration is wrong. The message has one line a fault, and each says what to set.</summary>
public sealed class ConfigurationException(IReadOnlyList<string> faults) : Exception(string.Join(Environment.NewLine, faults))
{
    /// <summary>The faults, each a sentence.</summary>
    public IReadOnlyList<string> Faults { get; } = faults;
}

/// <summary>
/// What a host is told through its environment: the process environment, then <c>.env</c>, then <c>.env.default</c> in the working directory,
/// then built-in defaults. In a process of several hosts each has a scope: <c>CONNECTOR__HTTP_SERVER_PORT</c> is for the connector alone, and goes
/// before a value without scope. Reading never throws: faults are collected, and <see cref="ThrowIfFaulty"/> tells all of them at once.
/// </summary>
public sealed class Settings
{
    private readonly IReadOnlyList<IReadOnlyDictionary<string, string>> sources;
    private readonly IReadOnlyDictionary<string, string> defaults;
    private readonly HashSet<string> scopedOnly;
    private readonly List<string> faults = [];

    /// <summary>Reads from these sources, the first that defines a name winning.</summary>
    /// <param name="scope">The host's name in capitals, such as <c>CONNECTOR</c>.</param>
    /// <param name="sources">Names and values.</param>
    /// <param name="defaults">Values where no source has any.</param>
    /// <param name="scopedOnly">Names that hold only with the scope in front.</param>
    public Settings(
        string scope,
        IReadOnlyList<IReadOnlyDictionary<string, string>> sources,
        IReadOnlyDictionary<string, string>? defaults = null,
        IEnumerable<string>? scopedOnly = null)
    {
        Scope = scope;
        this.sources = sources;
        this.defaults = defaults ?? new Dictionary<string, string>();
        this.scopedOnly = [.. scopedOnly ?? []];
    }

    /// <summary>The host's name in capitals.</summary>
    public string Scope { get; }

    /// <summary>The sources of a process: its environment, <c>.env</c> and <c>.env.default</c>.</summary>
    /// <param name="directory">Where the files are looked for.</param>
    public static IReadOnlyList<IReadOnlyDictionary<string, string>> ProcessSources(string directory)
    {
        var environment = new Dictionary<string, string>();
        foreach (System.Collections.DictionaryEntry entry in Environment.GetEnvironmentVariables())
            environment[(string)entry.Key] = (string?)entry.Value ?? "";
        return [environment, ReadFile(Path.Combine(directory, ".env")), ReadFile(Path.Combine(directory, ".env.default"))];
    }

    /// <summary>The value of a name: defined but empty counts. Null when nobody defines it.</summary>
    public string? Find(string name)
    {
        string scoped = $"{Scope}__{name}";
        foreach (IReadOnlyDictionary<string, string> source in sources)
            if (source.TryGetValue(scoped, out string? value))
                return value;
        if (!scopedOnly.Contains(name))
            foreach (IReadOnlyDictionary<string, string> source in sources)
                if (source.TryGetValue(name, out string? value))
                    return value;
        return defaults.GetValueOrDefault(name);
    }

    /// <summary>A text, or the fallback when it is undefined.</summary>
    public string Text(string name, string fallback = "") => Find(name) ?? fallback;

    /// <summary>A text that must be defined and not empty; a fault otherwise.</summary>
    /// <param name="name">The variable.</param>
    /// <param name="meaning">What it is, for the message.</param>
    public string Required(string name, string meaning)
    {
        string? value = Find(name);
        if (string.IsNullOrWhiteSpace(value))
            faults.Add($"{Scope}: {name} is not set. It is {meaning}; set it in the environment or in .env.");
        return value ?? "";
    }

    /// <summary>A number; a fault when the text begins with none or it is out of range. As in the services replaced, text after the number is ignored (<c>2.5s</c> is 2.5).</summary>
    public double Number(string name, double fallback, double minimum = double.MinValue, double maximum = double.MaxValue)
    {
        string? text = Find(name);
        if (text is null)
            return fallback;
        if (!TryParsePrefix(text, out double value))
            faults.Add($"{Scope}: {name} is \"{text}\"; it must be a number.");
        else if (value < minimum || value > maximum)
            faults.Add(FormattableString.Invariant($"{Scope}: {name} is {value}; it must be between {minimum} and {maximum}."));
        else
            return value;
        return fallback;
    }

    /// <summary>A whole number; see <see cref="Number"/>.</summary>
    public int Integer(string name, int fallback, int minimum = int.MinValue, int maximum = int.MaxValue) =>
        (int)Number(name, fallback, minimum, maximum);

    /// <summary>The text of an absolute http or https URL without trailing slash, or null when undefined or empty; a fault otherwise.</summary>
    public string? HttpUrl(string name)
    {
        string? text = Find(name);
        if (string.IsNullOrWhiteSpace(text))
            return null;
        string trimmed = text.Trim().TrimEnd('/');
        if (Uri.TryCreate(trimmed, UriKind.Absolute, out Uri? url) && (url.Scheme is "http" or "https"))
            return trimmed;
        faults.Add($"{Scope}: {name} is \"{text}\"; it must be an http or https URL.");
        return null;
    }

    /// <summary>Adds a fault that only the host can see, such as two values that do not go together.</summary>
    public void AddFault(string fault) => faults.Add($"{Scope}: {fault}");

    /// <summary>Ends the reading.</summary>
    /// <exception cref="ConfigurationException">There are faults; it names all.</exception>
    public void ThrowIfFaulty()
    {
        if (faults.Count > 0)
            throw new ConfigurationException([.. faults]);
    }

    private static bool TryParsePrefix(string text, out double value)
    {
        ReadOnlySpan<char> trimmed = text.AsSpan().TrimStart();
        for (int length = trimmed.Length; length > 0; length--)
        {
            const NumberStyles Style = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
            if (double.TryParse(trimmed[..length], Style, CultureInfo.InvariantCulture, out value) && double.IsFinite(value))
                return true;
        }
        value = 0;
        return false;
    }

    private static Dictionary<string, string> ReadFile(string path)
    {
        var values = new Dictionary<string, string>();
        if (!File.Exists(path))
            return values;
        foreach (string raw in File.ReadLines(path))
        {
            string line = raw.Trim();
            int equals = line.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0 || line.StartsWith('#'))
                continue;
            string name = line[..equals].Trim(), value = line[(equals + 1)..].Trim();
            if (value.Length >= 2 && value[0] is '"' or '\'' && value[^1] == value[0])
                value = value[1..^1];
            values[name] = value;
        }
        return values;
    }
}
