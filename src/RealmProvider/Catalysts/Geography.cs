using System.Text.Json;

namespace Archipelago.RealmProvider.Catalysts;

/// <summary>Finds the content server nearest to a country, by the distance between the middles of countries.</summary>
internal sealed class Geography
{
    private const double EarthRadiusKm = 6371;

    private static readonly Dictionary<string, string> CountryOfHost = new(StringComparer.Ordinal)
    {
        ["peer-ec1.decentraland.org"] = "US",
        ["peer-ec2.decentraland.org"] = "BR",
        ["peer-wc.decentraland.org"] = "US",
        ["peer-eu.decentraland.org"] = "IE",
        ["peer-ap1.decentraland.org"] = "SG",
        ["peer.decentral.io"] = "US",
        ["peer.uadevops.com"] = "US",
        ["peer.kyllian.me"] = "FR",
        ["peer.dclnodes.io"] = "FR",
        ["peer.decentraland.zone"] = "US",
    };

    private readonly Dictionary<string, double[]> centroids;
    private readonly Random random;

    /// <summary>Loads the table of countries.</summary>
    /// <param name="random">Decides where the rules leave it to chance.</param>
    public Geography(Random random)
    {
        this.random = random;
        using Stream stream = typeof(Geography).Assembly.GetManifestResourceStream("countries.json")!;
        centroids = JsonSerializer.Deserialize<Dictionary<string, double[]>>(stream)!;
    }

    /// <summary>The country of a content server, or null when it is not in the table. The host must be written exactly as there.</summary>
    public static string? CountryOf(string url)
    {
        string host = url.StartsWith("https://", StringComparison.Ordinal) ? url[8..] : url.StartsWith("http://", StringComparison.Ordinal) ? url[7..] : url;
        return CountryOfHost.GetValueOrDefault(host.EndsWith('/') ? host[..^1] : host);
    }

    /// <summary>Index of the server nearest to the country; by chance among equals, and among all when the country or all servers are unknown.</summary>
    public int Nearest(string country, IReadOnlyList<string> urls)
    {
        if (!centroids.TryGetValue(country.ToUpperInvariant(), out double[]? here))
            return Next(urls.Count);
        var distances = new List<(int Index, double Km)>();
        for (int i = 0; i < urls.Count; i++)
            if (CountryOf(urls[i]) is { } known)
                distances.Add((i, DistanceKm(here, centroids[known])));
        if (distances.Count == 0)
            return Next(urls.Count);
        double least = distances.Min(d => d.Km);
        int[] nearest = [.. distances.Where(d => d.Km == least).Select(d => d.Index)];
        return nearest.Length == 1 ? nearest[0] : nearest[Next(nearest.Length)];
    }

    // One that is not shared by nature may be given, such as a test's.
    private int Next(int count)
    {
        lock (random)
            return random.Next(count);
    }

    /// <summary>The distance between the middles of two countries of the table, along the surface (haversine).</summary>
    public double DistanceKm(string a, string b) => DistanceKm(centroids[a], centroids[b]);

    private static double DistanceKm(double[] a, double[] b)
    {
        double lat = double.DegreesToRadians(b[0] - a[0]) / 2, lon = double.DegreesToRadians(b[1] - a[1]) / 2;
        double h = (Math.Sin(lat) * Math.Sin(lat))
            + (Math.Cos(double.DegreesToRadians(a[0])) * Math.Cos(double.DegreesToRadians(b[0])) * Math.Sin(lon) * Math.Sin(lon));
        return EarthRadiusKm * 2 * Math.Atan2(Math.Sqrt(h), Math.Sqrt(1 - h));
    }
}
