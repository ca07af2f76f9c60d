using System.Globalization;
using System.Net;
using System.Text;
using NodaTime;

namespace Holdfast.Policies;

/// <summary>A plan as a timeline: a lane per rule with its points, one for all points, hours that are not allowed shaded, and how long each snapshot is kept.</summary>
public static class PlanSvg
{
    private const int Width = 1200;
    private const int Left = 240;
    private const int Right = 20;
    private const int Lane = 26;
    private const int Top = 40;

    /// <summary>Draws the plan.</summary>
    /// <param name="plan">The plan; its horizon is the width of the drawing.</param>
    /// <param name="zone">The zone of the time axis.</param>
    /// <param name="decision">What is kept, drawn below the rules, or null.</param>
    /// <returns>An SVG document.</returns>
    public static string Draw(Plan plan, DateTimeZone zone, RetentionDecision? decision = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(zone);
        var from = decision?.Keep.Select(k => k.Snapshot.Taken).Append(plan.From).Min() ?? plan.From;
        var canvas = new Canvas(from, plan.Until);
        var rules = plan.Policy.Rules;
        var lanes = rules.Count + 1;
        var kept = decision?.Keep ?? [];
        var bottom = Top + lanes * Lane;
        var keptTop = bottom + (kept.Count > 0 ? 24 : 0);
        var height = keptTop + kept.Count * 8 + 20;
        var text = canvas.Text;
        text.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{height}\" viewBox=\"0 0 {Width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        text.Append(CultureInfo.InvariantCulture, $"<title>{Encode($"{plan.Policy.Name}: {PlanTables.Local(plan.From, zone)} to {PlanTables.Local(plan.Until, zone)}")}</title>\n");
        text.Append(CultureInfo.InvariantCulture, $"<rect width=\"{Width}\" height=\"{height}\" fill=\"#ffffff\"/>\n");
        Shade(plan, canvas, from, bottom);
        Axis(canvas, zone, height);
        Points(plan, canvas, rules);
        Kept(kept, canvas, keptTop, plan.Until, zone);
        return text.Append("</svg>\n").ToString();
    }

    private static void Shade(Plan plan, Canvas canvas, Instant from, int bottom)
    {
        var blackouts = plan.Policy.Limits.Select(l => l.Limit).OfType<BlackoutLimit>().Select(b => (b.Window, b.Zone));
        var runs = new TimeRuns(blackouts, from.Seconds());
        for (var run = runs.FirstEndingAfter(from.Seconds()); run is { } r && r.Start < plan.Until.Seconds(); run = runs.FirstEndingAfter(r.End))
        {
            var x = canvas.X(Instant.Max(from, r.Start.ToInstant()));
            var end = canvas.X(Instant.Min(plan.Until, r.End.ToInstant()));
            canvas.Text.Append(CultureInfo.InvariantCulture, $"<rect x=\"{x:0.#}\" y=\"{Top}\" width=\"{Math.Max(0.5, end - x):0.#}\" height=\"{bottom - Top}\" fill=\"#eeeeee\"><title>no checkpoints</title></rect>\n");
        }
    }

    private static void Axis(Canvas canvas, DateTimeZone zone, int height)
    {
        var step = Step(canvas.Span);
        var first = canvas.From.InZone(zone).LocalDateTime.Date.AtMidnight();
        for (var local = first; ; local = local.PlusSeconds((long)step.TotalSeconds))
        {
            var at = zone.AtLeniently(local).ToInstant();
            if (at > canvas.Until)
            {
                return;
            }

            if (at >= canvas.From)
            {
                var x = canvas.X(at);
                var label = local.ToString(step < Duration.FromDays(1) ? "MM-dd HH:mm" : "yyyy-MM-dd", CultureInfo.InvariantCulture);
                canvas.Text.Append(CultureInfo.InvariantCulture, $"<line x1=\"{x:0.#}\" y1=\"{Top - 6}\" x2=\"{x:0.#}\" y2=\"{height - 16}\" stroke=\"#dddddd\"/><text x=\"{x:0.#}\" y=\"{Top - 12}\" text-anchor=\"middle\" fill=\"#666666\">{label}</text>\n");
            }
        }
    }

    private static Duration Step(Duration span)
    {
        foreach (var step in (Duration[])[Duration.FromMinutes(1), Duration.FromMinutes(10), Duration.FromHours(1), Duration.FromHours(6), Duration.FromDays(1), Duration.FromDays(7), Duration.FromDays(28), Duration.FromDays(91)])
        {
            if (span / step <= 10)
            {
                return step;
            }
        }

        return Duration.FromDays(364);
    }

    private static void Points(Plan plan, Canvas canvas, ValueList<PointRule> rules)
    {
        canvas.Label(Top + Lane / 2, "all points");
        for (var i = 0; i < rules.Count; i++)
        {
            canvas.Label(Top + (i + 1) * Lane + Lane / 2, rules[i].Title);
        }

        // Where many fall on the same spot one mark stands for all of them and says how many.
        var marks = new SortedDictionary<(int Lane, int X), (int Count, PlannedPoint First, bool Late)>();
        foreach (var point in plan.Points)
        {
            var x = (int)Math.Round(canvas.X(point.At) * 2);
            Mark(0, false);
            foreach (var service in point.Serves)
            {
                for (var i = 0; i < rules.Count; i++)
                {
                    if (ReferenceEquals(rules[i], service.Rule))
                    {
                        Mark(i + 1, service.Late);
                    }
                }
            }

            void Mark(int lane, bool late)
            {
                var key = (lane, x);
                marks[key] = marks.TryGetValue(key, out var known) ? (known.Count + 1, known.First, known.Late || late) : (1, point, late);
            }
        }

        foreach (var ((lane, x), (count, first, late)) in marks)
        {
            var title = count == 1
                ? $"{first.At}: {string.Join(", ", first.Serves.Select(s => s.Rule.Title))}; {first.Terms.Consistency.ToString().ToLowerInvariant()}"
                : $"{count} points from {first.At}";
            var color = late ? "#cc3311" : lane == 0 ? "#222222" : "#0077bb";
            canvas.Text.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{x / 2.0:0.#}\" cy=\"{Top + lane * Lane + Lane / 2}\" r=\"{(count > 1 ? 4.5 : 3.5)}\" fill=\"{color}\"><title>{Encode(title)}</title></circle>\n");
        }
    }

    private static void Kept(IReadOnlyList<KeptSnapshot> kept, Canvas canvas, int top, Instant until, DateTimeZone zone)
    {
        for (var i = 0; i < kept.Count; i++)
        {
            var x = canvas.X(kept[i].Snapshot.Taken);
            var end = canvas.X(Instant.Min(until, kept[i].Until ?? until));
            var what = $"{kept[i].Snapshot.Id}: {string.Join("; ", kept[i].Reasons.Select(r => r.What))}{(kept[i].Until is { } u ? $", until {PlanTables.Local(u, zone)}" : "")}";
            canvas.Text.Append(CultureInfo.InvariantCulture, $"<rect x=\"{x:0.#}\" y=\"{top + i * 8}\" width=\"{Math.Max(1, end - x):0.#}\" height=\"5\" fill=\"#009988\"><title>{Encode(what)}</title></rect>\n");
        }

        if (kept.Count > 0)
        {
            canvas.Label(top + 4, "kept");
        }
    }

    private static string Encode(string text) => WebUtility.HtmlEncode(text);

    private sealed class Canvas(Instant from, Instant until)
    {
        public StringBuilder Text { get; } = new();

        public Instant From { get; } = from;

        public Instant Until { get; } = until;

        public Duration Span => Until - From;

        public double X(Instant at) => Left + Math.Max(0, (at - From) / Span) * (Width - Left - Right);

        public void Label(int y, string label)
        {
            var shown = label.Length > 34 ? label[..33] + "…" : label;
            Text.Append(CultureInfo.InvariantCulture, $"<text x=\"8\" y=\"{y + 4}\" fill=\"#222222\">{Encode(shown)}<title>{Encode(label)}</title></text>\n");
        }
    }
}
