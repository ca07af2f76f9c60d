using System.Diagnostics;
using System.Text.Json;
using Holdfast.Policies;
using NodaTime;
using Xunit.Abstractions;
using Duration = NodaTime.Duration;

namespace Holdfast.Runtime.Tests;

/// <summary>
/// A real application under two merged policies for a minute, its supervisor killed and another one put in its place in the middle. What was taken
/// is compared with the plan, point by point, and what is there with what retention says of all that was ever taken.
/// </summary>
public sealed class PolicyEndToEndTests(ITestOutputHelper output) : IDisposable
{
    private static readonly PlanOptions Reserve = new(Duration.FromSeconds(1));

    private readonly HoldfastProgram _holdfast = new();

    public void Dispose() => _holdfast.Dispose();

    [RootFact]
    public void The_snapshots_that_exist_in_the_end_are_exactly_those_that_the_plan_says()
    {
        string file = _holdfast.File("both.conf");
        DateTimeOffset began = DateTimeOffset.UtcNow;
        // After a minute neither wants a point any more, so that what there is then stays.
        string minute = $"inside = [{{ from = \"{began:HH:mm:ss}\", to = \"{began.AddSeconds(60):HH:mm:ss}\" }}]";
        string policies = $$"""
            policies {
              often  { points { p { every = 5s, keep { last = 4 }, {{minute}} } } }
              seldom { points { p { every = 12s, keep { last = 2 }, {{minute}} } } }
            }
            """;
        File.WriteAllText(file, policies);
        File.WriteAllText(_holdfast.File("holdfast.conf"), "holdfast.policies.reserve = 1s");
        _holdfast.Environment["HOLDFAST_CONFIG"] = _holdfast.File("holdfast.conf");
        PolicyReading reading = PolicyReader.ReadText(policies, file);
        Assert.False(reading.HasErrors, string.Join("\n", reading.Problems));
        Policy merged = PolicyMerge.Join("app", reading.Policies);
        _holdfast.Run("run", "--name", "app", "--policy", file, "--detach", "--", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done").Succeeds();

        // The node dies in the middle, and nobody is there for longer than the shortest interval.
        HoldfastProgram.Until(() => DateTimeOffset.UtcNow - began > TimeSpan.FromSeconds(27), "half of the minute");
        int supervisor = _holdfast.Run("-o", "json", "show", "app").Succeeds().Json.GetProperty("supervisorPid").GetInt32();
        Process.Start("kill", ["-KILL", $"{supervisor}"]).WaitForExit();
        HoldfastProgram.Until(() => !Directory.Exists($"/proc/{supervisor}"), "the supervisor is gone");
        DateTimeOffset died = DateTimeOffset.UtcNow;
        HoldfastProgram.Until(() => DateTimeOffset.UtcNow - died > TimeSpan.FromSeconds(7), "the outage");
        _holdfast.Run("run", "--adopt", "app", "--detach").Succeeds();
        HoldfastProgram.Until(() => DateTimeOffset.UtcNow - began > TimeSpan.FromSeconds(60), "the minute");

        JsonElement status = default;
        HoldfastProgram.Until(
            () => (status = Status()).GetProperty("next").GetDateTimeOffset() > began.AddHours(1), "there is nothing left to do today");
        string[] there = [];
        string[] expected = [.. Kept(status, merged)];
        HoldfastProgram.Until(() => (there = Snapshots()).Length <= expected.Length, "what is not needed is gone");
        Assert.Equal(expected, there);
        foreach (string id in there)
        {
            Outcome explained = _holdfast.Run("policy", "explain", $"app@{id}").Succeeds();
            Assert.Matches(@"exists because (often|seldom)\.p asked for it", explained.Output);
            Assert.Matches(@"is kept because (often|seldom)\.p keeps its last", explained.Output);
        }

        output.WriteLine($"there: {string.Join(' ', there)}");
        FollowsThePlan(status, merged, died);
    }

    private JsonElement Status() => _holdfast.Run("-o", "json", "policy", "status", "app").Succeeds().Json;

    private string[] Snapshots() =>
        [.. _holdfast.Run("-o", "json", "snapshots", "app").Succeeds().JsonLines.Select(s => s.GetProperty("snapshot").GetString()!).Order(StringComparer.Ordinal)];

    private static IEnumerable<(string Id, Instant Planned, Instant Asked, ValueList<ServedRule> Serves, bool Late)> Points(JsonElement status) =>
        status.GetProperty("points").EnumerateArray().Select(p => (
            p.GetProperty("snapshot").GetString()!,
            Instant.FromDateTimeOffset(p.GetProperty("planned").GetDateTimeOffset()),
            Instant.FromDateTimeOffset(p.GetProperty("asked").GetDateTimeOffset()),
            p.GetProperty("serves").EnumerateArray().Select(s => new ServedRule(
                RuleId.Parse(s.GetProperty("rule").GetString()!), Instant.FromDateTimeOffset(s.GetProperty("occurrence").GetDateTimeOffset()))).ToValueList(),
            p.GetProperty("serves").EnumerateArray().Any(s => s.GetProperty("late").GetBoolean())));

    private static IEnumerable<string> Kept(JsonElement status, Policy merged)
    {
        Instant now = Instant.FromDateTimeOffset(DateTimeOffset.UtcNow);
        IEnumerable<SnapshotRecord> all = Points(status).Select(p => new SnapshotRecord(p.Id, p.Asked, true, PointTerms.Least, p.Serves));
        return Retention.Decide(all, merged, new TrustedTime(now, null, ClockEvidence.First(now))).Keep.Select(k => k.Snapshot.Id).Order(StringComparer.Ordinal);
    }

    // Each point is what the plan says after the one before it; a point may be asked for late on a busy machine, never early, and
    // then it is the plan of that moment.
    private void FollowsThePlan(JsonElement status, Policy merged, DateTimeOffset died)
    {
        Dictionary<string, Instant> since = status.GetProperty("assignments").EnumerateArray()
            .ToDictionary(a => a.GetProperty("policy").GetString()!, a => Instant.FromDateTimeOffset(a.GetProperty("since").GetDateTimeOffset()));
        PlanState state = PlanState.After(since.Values.Min(), merged.Rules.Select(r => new ServedRule(r.Id, since[r.Id.Policy])));
        Instant from = since.Values.Min();
        int delayed = 0;
        int outages = 0;
        List<(string Id, Instant Planned, Instant Asked, ValueList<ServedRule> Serves, bool Late)> points = [.. Points(status)];
        Assert.Equal(points.Count, status.GetProperty("pointsTaken").GetInt64());
        foreach (var point in points)
        {
            PlannedPoint planned = Planner.Next(merged, state, from, 1, Reserve).Points[0];
            if (planned.At != point.Planned)
            {
                Assert.True(planned.At < point.Planned, $"{point.Id} of {point.Planned} came before its time {planned.At}");
                bool outage = Instant.FromDateTimeOffset(died) > from && Instant.FromDateTimeOffset(died) < point.Asked;
                outages += outage ? 1 : 0;
                delayed += outage ? 0 : 1;
                planned = Planner.Next(merged, state, point.Asked, 1, Reserve).Points[0];
            }

            Assert.Equal(planned.At, point.Planned);
            Assert.Equal(planned.Tags, point.Serves);
            output.WriteLine($"{point.Planned} {string.Join(", ", point.Serves)}{(point.Late ? " late" : "")}");
            state = state.With(point.Serves);
            from = point.Asked;
        }

        output.WriteLine($"{points.Count} points, {delayed} delayed by a busy machine");
        Assert.Equal(1, outages);
        Assert.Equal(points.Count(p => p.Late) > 0, status.GetProperty("broken").GetArrayLength() > 0);
        Assert.Equal(points.Sum(p => p.Serves.Count), points.SelectMany(p => p.Serves).Distinct().Count());
    }
}
