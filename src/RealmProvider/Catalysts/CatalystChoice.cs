namespace Archipelago.RealmProvider.Catalysts;

/// <summary>Which content server a visitor is sent to.</summary>
internal sealed class CatalystChoice(RealmProviderOptions options, Geography geography)
{
    /// <summary>Those who may be chosen, in the order given: not blacklisted, and running the newest content and the newest lambdas; when those are on different servers, all.</summary>
    public List<Catalyst> Candidates(IEnumerable<Catalyst> healthy)
    {
        List<Catalyst> allowed = [.. healthy.Where(c => !IsBlacklisted(c.Url))];
        if (allowed.Count == 0)
            return allowed;
        ServiceVersion content = allowed.Max(c => c.ContentVersion), lambdas = allowed.Max(c => c.LambdasVersion);
        List<Catalyst> newest = allowed.FindAll(c => c.ContentVersion.CompareTo(content) == 0 && c.LambdasVersion.CompareTo(lambdas) == 0);
        return newest.Count > 0 ? newest : allowed;
    }

    /// <summary>Chooses among candidates; -1 when there is none.</summary>
    /// <param name="urls">Their URLs.</param>
    /// <param name="country">ISO code of the visitor's country, or empty.</param>
    /// <param name="preferred">The URL that the visitor asks for, exactly as listed; ignored when it is not among the candidates.</param>
    public int Choose(IReadOnlyList<string> urls, string country, string? preferred)
    {
        if (preferred is not null)
            for (int i = 0; i < urls.Count; i++)
                if (urls[i] == preferred)
                    return i;
        return urls.Count == 0 ? -1 : country.Length > 0 ? geography.Nearest(country, urls) : 0;
    }

    private bool IsBlacklisted(string url) => options.Blacklist.Any(b => url.ToLowerInvariant().Contains(b, StringComparison.Ordinal));
}
