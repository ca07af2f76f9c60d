using NodaTime;
using Xunit;
using Xunit.Abstractions;

namespace Holdfast.Policies.Tests;

public sealed class MergeCostTests(ITestOutputHelper output)
{
    private static readonly Instant From = Times.Utc(2026, 1, 5);

    [Fact]
    public void A_merged_policy_never_costs_more_than_the_policies_side_by_side_and_less_whenever_they_overlap()
    {
        var seed = TestSize.Seed;
        var count = TestSize.Of(300, 10_000);
        var results = new (MergeReport Report, MergeRequest Request, int Case)[count];
        Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = 2 }, i =>
        {
            var random = new Random(unchecked(seed + i * 7919));
            var policies = new RandomPolicies(random).Set(random.Next(2, 4), limits: true);
            // Four weeks and thirteen weeks: enough for the laws, whatever the prediction would take.
            var request = new MergeRequest("m", policies, From) { Horizon = Duration.FromDays(random.Next(2) == 0 ? 28 : 91) };
            results[i] = (Merger.Merge(request), request, i);
        });
        foreach (var group in results.Where(r => !r.Report.Cost.NowhereAbove(r.Report.SideBySide)))
        {
            output.WriteLine($"case {group.Case} {group.Report.Full.Sharing}: {string.Join(" ", Cost.Dimensions.Select(d => group.Report.Cost[d] / group.Report.SideBySide[d]))}");
        }

        foreach (var (report, request, i) in results)
        {
            Assert.True(report.Cost.NowhereAbove(report.SideBySide), $"seed {seed} case {i}: {report.Cost} where side by side is {report.SideBySide} ({report.Full.Sharing})\n{PolicyWriter.Write(report.Full)}");
            Assert.True(!report.Overlaps || report.Cost.SomewhereBelow(report.SideBySide), $"seed {seed} case {i}: overlapping, and nothing saved ({report.Full.Sharing})");
            Assert.True(report.Accepted);
            if (!report.Cost.SomewhereBelow(report.SideBySide))
            {
                // No way of sharing saves anything without costing more elsewhere.
                Assert.All(Enum.GetValues<Sharing>(), sharing =>
                {
                    var other = CostModel.Predict(report.Full with { Sharing = sharing }, request.Profile, request.From, request.Horizon!.Value, request.Options);
                    Assert.False(other.NowhereAbove(report.SideBySide) && other.SomewhereBelow(report.SideBySide), $"seed {seed} case {i}: {sharing} would save");
                });
            }
        }

        var overlapping = results.Where(r => r.Report.Overlaps).Select(r => r.Report).ToList();
        output.WriteLine($"seed {seed}: {count} sets, {overlapping.Count} overlap; sharing: {string.Join(", ", results.GroupBy(r => r.Report.Full.Sharing).Select(g => $"{g.Key} {g.Count()}"))}");
        foreach (var dimension in Cost.Dimensions)
        {
            var savings = overlapping.Where(r => r.SideBySide[dimension] > 0).Select(r => 1 - r.Cost[dimension] / r.SideBySide[dimension]).ToList();
            output.WriteLine($"mean saving, {dimension}: {savings.Average():P1} (largest {savings.Max():P1})");
        }

        Assert.True(overlapping.Count > count / 4);
    }
}
