using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// What was not written to since the last snapshot is not read, and no snapshot differs by a byte from what it would be otherwise: of a program that does everything to
/// its memory that may deceive the tracking, generation after generation, while it goes on.
/// </summary>
public sealed class IncrementalTests(ITestOutputHelper output)
{
    /// <summary>Everything is tracked, however small.</summary>
    private const string Small = "holdfast.checkpoint.hold-up-to = 1B\n";

    /// <summary>With verify, each checkpoint compares all memory with what it keeps of the last one, in the same frozen copy. One in turn, all in the long run.</summary>
    public static TheoryData<string, string> Generations
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (var (programCase, tracking) in ((string, string)[])[("1", "verify"), ("2", "verify"), ("3", "on"), ("4", "on")])
            {
                if (Rotation.IsTurnOf(programCase, 4))
                {
                    cases.Add(programCase, tracking);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Generations))]
    public void Every_generation_is_what_memory_was(string programCase, string tracking)
    {
        using var application = TestApplication.StartProgram("memory_churn", programCase, configuration: $"{Small}holdfast.checkpoint.track-writes = {tracking}");
        List<string> snapshots = [];
        for (var i = 0; i < LongMode.Count(5, 50); i++)
        {
            var taken = application.Checkpoint();
            Assert.Equal(i == 0 ? "full" : "incremental", taken.Text("kind"));
            Assert.Equal(i == 0 ? "null" : snapshots[^1], taken.Text("base"));
            output.WriteLine($"{taken.Text("snapshot")}: {taken.Number("bytesChanged")} bytes changed, {taken.Number("pagesUnchanged")} pages unchanged");
            snapshots.Add(taken.Text("snapshot")!);
        }

        application.Kill();
        foreach (var snapshot in snapshots)
        {
            application.Restore(snapshot);
            application.RequirePass();
        }
    }

    [Fact]
    public void Most_is_stored_before_an_application_stands_for_good_and_nothing_of_the_rounds_is_left()
    {
        using var application = TestApplication.StartProgram("memory_churn", "6", configuration: $"{Small}holdfast.checkpoint.track-writes = on\nholdfast.checkpoint.pre-copy-from = 1MiB");
        var end = application.CheckpointAndStop();
        Assert.Equal("incremental", end.Text("kind"));
        var rounds = end.Objects.Single(o => o.TryGetProperty("preCopy", out _)).GetProperty("preCopy");
        output.WriteLine($"{rounds.GetRawText()}, {end.Number("bytesChanged")} at the end");
        Assert.InRange(rounds.GetProperty("rounds").GetInt32(), 1, 4);
        Assert.True(rounds.GetProperty("bytesBefore").GetInt64() > 0);
        var snapshots = application.Holdfast("snapshots", application.Name).Required();
        Assert.Equal([end.Text("snapshot")!], snapshots.Objects.SelectMany(o => o.TryGetProperty("snapshot", out var id) ? [id.GetString()!] : (string[])[]));
        application.Restore();
        application.RequirePass();
    }

    [Fact]
    public void A_full_checkpoint_an_aborted_one_and_a_forgotten_base_leave_the_next_one_right()
    {
        using var application = TestApplication.StartProgram("memory_churn", "5", configuration: $"{Small}holdfast.checkpoint.track-writes = verify");
        var first = application.Checkpoint().Text("snapshot")!;
        Assert.Equal("full", application.Holdfast("checkpoint", application.Name, "--full").Required().Text("kind"));
        Assert.NotEqual(first, application.Checkpoint().Text("base"));

        // What a checkpoint that failed has asked the kernel for is not asked for again: it counts as changed all the same.
        Assert.Contains(Enumerable.Range(1, 5), i => !application.Holdfast("checkpoint", application.Name, "--timeout", $"{i * 20}ms").Succeeded);

        Assert.Equal("incremental", application.Checkpoint().Text("kind"));

        // A state of a moment, which is no snapshot, takes its share of what is reported too.
        application.Holdfast("diff", $"{application.Name}@{first}", $"live:{application.Name}").Required();
        var last = application.Checkpoint();
        Assert.Equal("incremental", last.Text("kind"));
        application.Holdfast("forget", $"{application.Name}@{last.Text("snapshot")}").Required();
        var anew = application.Checkpoint();
        Assert.Equal("full", anew.Text("kind"));
        var end = application.CheckpointAndStop();
        Assert.Equal(anew.Text("snapshot"), end.Text("base"));
        application.Restore();
        application.RequirePass();
    }
}
