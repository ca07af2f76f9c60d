using System.Diagnostics;
using System.Globalization;
using Holdfast.Policies;
using NodaTime;

// Each figure is the median and the worst of several runs after one to warm up; a line per figure, and for the median a limit where one is promised.
// The promise is about a machine that has a processor to spare, so it is judged by processor time; the wall clock stands beside it.
// The exit status says whether every promise was kept.
var from = Instant.FromUtc(2026, 1, 1, 0, 0);
var kept = true;

var many = Enumerable.Range(0, 10_000).Select(i => Policies.Random(new Random(i), $"p{i}")).ToList();
Measure("merge 10,000 policies on one object", 1.0, () => PolicyMerge.Reduce(PolicyMerge.Join("m", many)).Rules.Count, "rules left");
var hundred = PolicyMerge.Join("m", many.Take(100));
Measure("conflicts of 100 policies over five years", null, () => ConflictFinder.Find(hundred, null, from).Count, "conflicts");

var pairs = Enumerable.Range(0, 10_000).Select(i => new[] { Policies.Random(new Random(2 * i), "a"), Policies.Random(new Random(2 * i + 1), "b") }).ToList();
Measure("merge the two policies of each of 10,000 objects", 1.0, () => pairs.Sum(p => PolicyMerge.Reduce(PolicyMerge.Join("m", p)).Rules.Count), "rules left");
Measure("100 of those with plans, costs and conflicts", null, () => pairs.Take(100).Count(p => Merger.Merge(new MergeRequest("m", p.ToValueList(), from)).Accepted), "accepted");

var minutely = Policies.Read("points { minutely { every = 1m, keep { for = 1d } } }");
Measure("plan a year at one minute", 1.0, () => Planner.Until(minutely, PlanState.StartingAt(from), from, from + Duration.FromDays(365)).Points.Count, "points");
var layered = Policies.Read("points { minutely { every = 1m, keep { for = 1d } }, hourly { at = \":00\", tolerance = 1m, keep { for = 7d } }, nightly { at = \"01:00\", zone = \"Europe/Berlin\", tolerance = 10m, keep { daily = 30 } } }");
Measure("plan a year at one minute with hourly and nightly", null, () => Planner.Until(layered, PlanState.StartingAt(from), from, from + Duration.FromDays(365)).Points.Count, "points");
Measure("the next checkpoint of it", null, () => Planner.Next(layered, PlanState.StartingAt(from), from, 1).Points.Count, "points");

var snapshots = Planner.Until(minutely, PlanState.StartingAt(from), from, from + Duration.FromDays(69)).Points
    .Select((p, i) => new SnapshotRecord($"s{i}", p.At, true, p.Terms, p.Tags)).ToList();
var time = new TrustedTime(snapshots[^1].Taken, null, ClockEvidence.First(snapshots[^1].Taken));
Measure($"retention over {snapshots.Count} snapshots", null, () => Retention.Decide(snapshots, minutely, time).Keep.Count, "kept");
return kept ? 0 : 1;

void Measure(string what, double? limit, Func<int> work, string unit)
{
    var result = work();
    var seconds = new List<double>();
    var processor = new List<double>();
    using var process = Process.GetCurrentProcess();
    for (var i = 0; i < 7; i++)
    {
        GC.Collect();
        var before = process.TotalProcessorTime;
        var watch = Stopwatch.StartNew();
        result = work();
        seconds.Add(watch.Elapsed.TotalSeconds);
        process.Refresh();
        processor.Add((process.TotalProcessorTime - before).TotalSeconds);
    }

    seconds.Sort();
    processor.Sort();
    var promise = limit is { } most ? processor[3] < most ? $"  promised < {most:0.#} s: kept" : $"  promised < {most:0.#} s: BROKEN" : "";
    kept &= limit is null || processor[3] < limit;
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what,-52} median {seconds[3] * 1000,9:0.00} ms  worst {seconds[^1] * 1000,9:0.00} ms  processor {processor[3] * 1000,7:0} ms  {result} {unit}{promise}"));
}

internal static class Policies
{
    public static Policy Read(string body)
    {
        var reading = PolicyReader.ReadText($"policies {{ p {{ {body} }} }}", "bench");
        return reading.HasErrors ? throw new InvalidOperationException(string.Join("\n", reading.Problems)) : reading.Policies[0];
    }

    /// <summary>A policy of one or two rules with values that hardly two have in common, as the worst case for finding what covers what.</summary>
    public static Policy Random(Random random, string name)
    {
        var rules = new List<PointRule>();
        for (var i = 0; i < random.Next(1, 3); i++)
        {
            Demand demand = random.Next(3) switch
            {
                0 => new EveryDemand(Duration.FromMinutes(random.Next(5, 1440))),
                1 => new EveryDemand(Duration.FromMinutes(random.Next(5, 600)), new TimeWindows([new WeeklyWindow(WeekDays.All, new LocalTime(random.Next(12), 0), new LocalTime(random.Next(12, 24), 0))], "Europe/Berlin", false)),
                _ => new CalendarDemand(CalendarPattern.Daily(new LocalTime(random.Next(24), random.Next(4) * 15)), "UTC", Duration.FromMinutes(random.Next(60)), Duration.FromMinutes(random.Next(60))),
            };
            var keep = new Keep(Duration.FromHours(random.Next(1, 1000)), random.Next(2) * random.Next(100), random.Next(2) == 0 ? [] : [new KeepPer(KeepPeriod.Day, random.Next(1, 60), "UTC")]);
            rules.Add(new PointRule([new RuleId(name, $"r{i}")], new Clause(demand, keep, PointTerms.Least with { Consistency = (Consistency)random.Next(3) }), SourcePosition.None));
        }

        ValueList<LimitRule> limits = random.Next(4) == 0
            ? [new LimitRule([new RuleId(name, "l")], new BlackoutLimit(new WeeklyWindow(WeekDays.Sunday, new LocalTime(random.Next(23), 0), new LocalTime(23, 30)), "UTC"), SourcePosition.None)] : [];
        return new Policy(name, rules.ToValueList(), limits);
    }
}
