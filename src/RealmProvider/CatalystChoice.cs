namespace Archipelago.RealmProvider;

/// <summary>Which content server a visitor is sent to.</summary>
internal sealed class CatalystChoice(RealmProviderOptions options, Geography geography)
{
    /// <summary>Chooses among healthy catalysts; null when the blacklist leaves none.</summary>
    /// <param name="healthy">In the order of the configuration.</param>
    /// <param name="country">ISO code of the visitor's country, or empty.</param>
    /// <param name="preferred">The URL that the visitor asks for, exactly as listed; ignored when it is not among the candidates.</param>
    public Catalyst? Choose(IReadOnlyList<Catalyst> healthy, string country, string? preferred)
    {
        List<Catalyst> candidates = Newest([.. healthy.Where(c => !IsBlacklisted(c.Url))]);
        if (candidates.Count == 0)
            return null;
        int index = country.Length > 0 ? geography.Nearest(country, [.. candidates.Select(c => c.Url)]) : 0;
        return candidates.Find(c => c.Url == preferred) ?? candidates[index];
    }

    private bool IsBlacklisted(string url) => options.Blacklist.Any(b => url.ToLowerInvariant().Contains(b, StringComparison.Ordinal));

    /// <summary>Those that run the newest content and the newest lambdas; all, when those are on different servers.</summary>
    private static List<Catalyst> Newest(List<Catalyst> candidates)
    {
        if (candidates.Count == 0)
            return candidates;
        ServiceVersion content = candidates.Max(c => c.ContentVersion), lambdas = candidates.Max(c => c.LambdasVersion);
        List<Catalyst> newest = candidates.FindAll(c => c.ContentVersion.CompareTo(content) == 0 && c.LambdasVersion.CompareTo(lambdas) == 0);
        return newest.Count > 0 ? newest : candidates;
    }
}
