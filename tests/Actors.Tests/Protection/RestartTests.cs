using Holdfast.Actors.Protection;
using Holdfast.Policies;
using NodaTime;
using Xunit.Abstractions;

namespace Holdfast.Actors.Tests.Protection;

/// <summary>Whatever dies when, no checkpoint is skipped and none is taken twice: compared with the plan, computed without any actor.</summary>
public sealed class RestartTests(ITestOutputHelper output)
{
    private static readonly string[] Bodies =
    [
        "points { p { every = 7m, keep { for = 30m } } }",
        "points { p { every = 20m, keep { last = 3 } }, q { at = \":10\", tolerance = 4m, keep { for = 2h } } }",
        "points { p { at = \":25\", keep { for = 1h } } }",
        "points { p { every = 11m, keep { for = 1h }, inside = [{ days = [mon-sun], from = \"00:30\", to = \"02:00\" }] } }",
        "points { p { every = 13m, keep { for = 1h } } }, limits { not-during { l { from = \"01:00\", to = \"01:20\" } } }",
        "points { p { every = 30m, keep { hourly = 2 } } }",
    ];

    [Fact]
    public async Task A_death_before_the_commit_or_between_commit_and_event_or_after_it_neither_skips_nor_doubles_a_point()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_SEED"), out int given) ? given : 20261126;
        int rounds = Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1" ? 200 : 8;
        output.WriteLine($"HOLDFAST_SEED={seed}");
        int deaths = 0;
        for (int round = 0; round < rounds; round++)
        {
            deaths += await RoundAsync(new Random(seed + round), $"seed {seed + round}");
        }

        output.WriteLine($"{deaths} deaths in {rounds} rounds");
        Assert.True(deaths > rounds, $"{deaths} deaths in {rounds} rounds show nothing");
    }

    private static async Task<int> RoundAsync(Random random, string what)
    {
        PolicyText[] policies = [.. Enumerable.Range(0, random.Next(1, 4)).Select(i => ProtectedWorld.Text(((char)('a' + i)).ToString(), Bodies[random.Next(Bodies.Length)]))];
        TimeSpan reserve = random.Next(2) == 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(30);
        TimeSpan length = TimeSpan.FromHours(3);
        await using ProtectedWorld world = new(reserve);
        await world.Assign(policies);
        int deaths = 0;
        DateTimeOffset end = world.Now + length;
        while (world.Now < end)
        {
            CheckpointFate fate = random.Next(3) == 0 ? (random.Next(2) == 0 ? CheckpointFate.Hangs : CheckpointFate.CommittedUnheard) : CheckpointFate.Committed;
            bool once = false;
            world.OnCheckpoint = _ =>
            {
                CheckpointFate now = once ? CheckpointFate.Committed : fate;
                once = true;
                return now;
            };
            ProtectionState state = await world.Settle();
            DateTimeOffset next = state.Next?.At is { } at && at < end ? at : end;
            await world.Pass(next > world.Now ? next : world.Now + TimeSpan.FromMilliseconds(1));
            bool hangs = await world.Hangs();
            if (hangs)
            {
                await world.Reborn();
                // The supervisor may still be at it when the next entity comes, and it may yet commit.
                await world.EndHanging(committed: fate == CheckpointFate.Hangs && random.Next(2) == 0);
                deaths++;
            }
            else if (random.Next(4) == 0)
            {
                await world.Reborn();
                deaths++;
            }

            await world.Settle();
        }

        List<string> expected = Expected(policies, reserve, length);
        List<string> actual = [.. world.Committed.SelectMany(c => c.Tag.Serves.Select(s => $"{c.Tag.Planned:HH:mm:ss} {s.Rule} {s.Occurrence:HH:mm:ss}{(s.Late ? " late" : "")}"))];
        Assert.True(expected.SequenceEqual(actual), $"{what}, {deaths} deaths\nexpected:\n{string.Join('\n', expected)}\nactual:\n{string.Join('\n', actual)}");
        Assert.Equal(world.Committed.Count, (await world.Settle()).PointsTaken);
        Policy merged = Merged(policies);
        Instant now = Instant.FromDateTimeOffset(world.Now);
        string[] kept = [.. Retention.Decide(
            world.Committed.Select(c => SnapshotPolicyTag.RecordOf(new StoredSnapshot(c.Id, c.At, true, c.Tag.ToTags(), [], 0, 0, 0))), merged, new TrustedTime(now, null, ClockEvidence.First(now)))
            .Keep.Select(k => k.Snapshot.Id)];
        world.Entity.Tell(new RetentionDue(), Akka.Actor.ActorRefs.NoSender);
        await ProtectedWorld.Until(() => Task.FromResult(kept.SequenceEqual(world.Kept)), $"{what}: kept are {string.Join(' ', world.Kept)}, not {string.Join(' ', kept)}");
        return deaths;
    }

    private static Policy Merged(PolicyText[] policies) => PolicyMerge.Join("app", policies.SelectMany(p => PolicyReader.ReadText(p.Text, p.Name).Policies));

    private static List<string> Expected(PolicyText[] policies, TimeSpan reserve, TimeSpan length)
    {
        Policy merged = Merged(policies);
        Instant start = Instant.FromDateTimeOffset(ProtectedWorld.Start);
        PlanState state = PlanState.After(start, merged.Rules.SelectMany(r => r.Sources).Select(id => new ServedRule(id, start)));
        List<string> points = [];
        Instant from = start;
        while (true)
        {
            PlannedPoint point = Planner.Next(merged, state, from, 1, new PlanOptions(Duration.FromTimeSpan(reserve))).Points[0];
            if (point.At > start + Duration.FromTimeSpan(length))
            {
                return points;
            }

            points.AddRange(point.Serves.SelectMany(s => s.Rule.Sources.Select(id =>
                $"{point.At.ToDateTimeOffset():HH:mm:ss} {id} {s.Occurrence.ToDateTimeOffset():HH:mm:ss}{(s.Late ? " late" : "")}")));
            state = state.With(point.Tags);
            from = point.At;
        }
    }
}
