using System.Globalization;
using System.Text;

namespace Holdfast.Checkpoint.Bench;

/// <summary>Draws medians with their quartiles, both axes logarithmic.</summary>
internal static class Plots
{
    private const int Width = 720, Height = 440, Left = 80, Right = 20, Top = 40, Bottom = 60;

    private static readonly string[] colours = ["#1f5fa8", "#c0392b", "#2e8b57"];

    /// <summary>Writes a drawing for every quantity that the cases differ in.</summary>
    public static void Write(string directory, IReadOnlyList<CaseResult> results)
    {
        Directory.CreateDirectory(directory);
        Write(directory, "memory", "MiB of private memory", [.. results.Where(r => r.Case is { Processes: 1, Threads: 1 })], r => r.Case.MiB);
        Write(directory, "processes", "processes of 1 MiB", [.. results.Where(r => r.Case is { MiB: 1, Threads: 1 })], r => r.Case.Processes);
        Write(directory, "threads", "threads of one process of 1 MiB", [.. results.Where(r => r.Case is { MiB: 1, Processes: 1 })], r => r.Case.Threads);
    }

    private static void Write(string directory, string name, string quantity, List<CaseResult> results, Func<CaseResult, double> x)
    {
        if (results.Count < 2)
        {
            return;
        }

        results.Sort((a, b) => x(a).CompareTo(x(b)));
        (string, Func<Sample, double>)[] lines = [("freeze", s => s.FreezeMs), ("fork by the first process", s => s.ForkMs), ("loop of ptrace over all threads", s => s.LoopMs)];
        List<(string Label, List<(double X, Spread Y)> Points)> series = [.. lines.Select(line => (line.Item1, results
            .Select(result => (x(result), Spread.Of(result.Checkpoints, line.Item2))).Where(point => point.Item2.Lower > 0).ToList()))];
        File.WriteAllText(Path.Combine(directory, $"freeze-{name}.svg"), Draw(quantity, series));
    }

    private static string Draw(string quantity, List<(string Label, List<(double X, Spread Y)> Points)> series)
    {
        List<(double X, Spread Y)> all = [.. series.SelectMany(one => one.Points)];
        (double leftmost, double rightmost) = (all.Min(p => p.X), all.Max(p => p.X));
        (double lowest, double highest) = (Math.Pow(10, Math.Floor(Math.Log10(all.Min(p => p.Y.Lower)))), Math.Pow(10, Math.Ceiling(Math.Log10(all.Max(p => p.Y.Upper)))));
        double X(double value) => Left + ((Width - Left - Right) * Share(value, leftmost, rightmost));
        double Y(double value) => Height - Bottom - ((Height - Top - Bottom) * Share(value, lowest, highest));
        StringBuilder svg = new();
        void Add(FormattableString text) => svg.AppendLine(FormattableString.Invariant(text));
        Add($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"13\">");
        Add($"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>");
        for (double at = lowest; at <= highest * 1.001; at *= 10)
        {
            Add($"<path d=\"M{Left} {Y(at):F1}H{Width - Right}\" stroke=\"#ddd\"/><text x=\"{Left - 8}\" y=\"{Y(at) + 4:F1}\" text-anchor=\"end\">{at:G3} ms</text>");
        }

        foreach (double at in all.Select(p => p.X).Distinct())
        {
            Add($"<text x=\"{X(at):F1}\" y=\"{Height - Bottom + 20}\" text-anchor=\"middle\">{at:G6}</text>");
        }

        Add($"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 15}\" text-anchor=\"middle\">{quantity}</text>");
        for (int i = 0; i < series.Count; i++)
        {
            string colour = colours[i];
            Add($"<text x=\"{Left + (i * 200)}\" y=\"{Top - 18}\" fill=\"{colour}\">{series[i].Label}</text>");
            string line = string.Join('L', series[i].Points.Select(p => FormattableString.Invariant($"{X(p.X):F1} {Y(p.Y.Median):F1}")));
            Add($"<path d=\"M{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
            foreach ((double x, Spread y) in series[i].Points)
            {
                Add($"<path d=\"M{X(x):F1} {Y(y.Lower):F1}V{Y(y.Upper):F1}\" stroke=\"{colour}\"/><circle cx=\"{X(x):F1}\" cy=\"{Y(y.Median):F1}\" r=\"3.5\" fill=\"{colour}\"/>");
            }
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static double Share(double value, double from, double to) => Math.Log(value / from) / Math.Log(to / from);
}
