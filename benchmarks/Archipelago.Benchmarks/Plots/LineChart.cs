using System.Globalization;
using System.Text;

namespace Archipelago.Benchmarks.Plots;

/// <summary>A line of a chart.</summary>
/// <param name="Name">Stands at its right end.</param>
/// <param name="Colour">Of the line and its name, for SVG.</param>
/// <param name="Points">X and y, ascending in x, above 0.</param>
internal sealed record Series(string Name, string Colour, IReadOnlyList<(double X, double Y)> Points);

/// <summary>Draws lines over two logarithmic axes as SVG, the same text for the same numbers.</summary>
/// <param name="title">Above it.</param>
/// <param name="formatX">Names a power of ten on the x axis.</param>
/// <param name="formatY">Names a power of ten on the y axis.</param>
internal sealed class LineChart(string title, Func<double, string> formatX, Func<double, string> formatY)
{
    private const double Width = 720, Height = 400, Left = 70, Right = 190, Top = 50, Bottom = 40, LineHeight = 15;

    public string Draw(IReadOnlyList<Series> lines)
    {
        List<(double X, double Y)> all = [.. lines.SelectMany(s => s.Points)];
        double fromX = Math.Log10(all.Min(p => p.X)), toX = Math.Log10(all.Max(p => p.X));
        double fromY = Math.Floor(Math.Log10(all.Min(p => p.Y))), toY = Math.Ceiling(Math.Log10(all.Max(p => p.Y)));
        double ToX(double x) => Left + ((Math.Log10(x) - fromX) / (toX - fromX) * (Width - Left - Right));
        double ToY(double y) => Height - Bottom - ((Math.Log10(y) - fromY) / (toY - fromY) * (Height - Top - Bottom));

        var svg = new StringBuilder();
        Append(svg, $"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {Height}" font-family="system-ui, sans-serif" font-size="12">""");
        Append(svg, $"""<rect width="{Width}" height="{Height}" rx="8" fill="#ffffff"/><text x="{Left}" y="28" font-size="15" font-weight="600" fill="#12263a">{title}</text>""");
        for (double power = fromY; power <= toY; power++)
        {
            double y = ToY(Math.Pow(10, power));
            Append(svg, $"""<path d="M{Left} {y:0.#}H{Width - Right}" stroke="#d8e0e6"/><text x="{Left - 8}" y="{y + 4:0.#}" text-anchor="end" fill="#4a5f70">{formatY(Math.Pow(10, power))}</text>""");
        }
        foreach (double x in all.Select(p => p.X).Distinct().Order())
            Append(svg, $"""<text x="{ToX(x):0.#}" y="{Height - Bottom + 20}" text-anchor="middle" fill="#4a5f70">{formatX(x)}</text>""");
        double lowest = double.MaxValue;
        foreach (Series line in lines.OrderBy(l => l.Points[^1].Y))
        {
            string path = string.Join('L', line.Points.Select(p => string.Create(CultureInfo.InvariantCulture, $"{ToX(p.X):0.#} {ToY(p.Y):0.#}")));
            Append(svg, $"""<path d="M{path}" fill="none" stroke="{line.Colour}" stroke-width="2"/>""");
            foreach ((double x, double y) in line.Points)
                Append(svg, $"""<circle cx="{ToX(x):0.#}" cy="{ToY(y):0.#}" r="3" fill="{line.Colour}"/>""");
            // Names go upwards from the lowest line, so that none lies on another.
            lowest = Math.Min(ToY(line.Points[^1].Y) + 4, lowest - LineHeight);
            Append(svg, $"""<text x="{ToX(line.Points[^1].X) + 10:0.#}" y="{lowest:0.#}" fill="{line.Colour}">{line.Name}</text>""");
        }
        return svg.Append("</svg>\n").ToString();
    }

    private static void Append(StringBuilder svg, FormattableString part) => svg.Append(part.ToString(CultureInfo.InvariantCulture)).Append('\n');
}
