namespace Holdfast.EndToEnd.Tests;

/// <summary>The plan of where to kill is read from a log; it must cover the window and nothing else.</summary>
public sealed class KillPointTests
{
    private static readonly string[] Log =
    [
        "10 openat(AT_FDCWD, \"x\", O_RDONLY) = 3",
        "11 openat(AT_FDCWD, \"x\", O_RDONLY) = 3",
        "11 ptrace(PTRACE_SEIZE, 99, NULL, 0) = 0",
        "10 openat(AT_FDCWD, \"y\", O_RDONLY <unfinished ...>",
        "11 ptrace(PTRACE_INTERRUPT, 99) = 0",
        "10 <... openat resumed>) = 4",
        "11 wait4(99, [{WIFSTOPPED(s)}], 0, NULL) = 99",
        "11 ptrace(PTRACE_DETACH, 99, NULL, 0) = 0",
        "11 write(1, \"z\", 1) = 1",
    ];

    [Fact]
    public void Every_call_from_the_first_seize_to_the_last_detach_is_a_point_and_no_other() =>
        Assert.Equal(
            [new("ptrace", 1), new("openat", 2), new("ptrace", 2), new("wait4", 1), new("ptrace", 3)],
            KillPoints.Between(Log));

    [Fact]
    public void A_point_at_which_another_thread_would_have_died_before_is_none() =>
        Assert.DoesNotContain(new KillPoint("wait4", 1), KillPoints.Between(["12 wait4(98, NULL, 0, NULL) = 98", .. Log]));

    [Fact]
    public void A_sample_is_spread_over_the_whole_window()
    {
        KillPoint[] points = [.. Enumerable.Range(1, 1000).Select(i => new KillPoint("ptrace", i))];
        var sample = KillPoints.Sample(points, 10, new Random(1));
        Assert.Equal(10, sample.Count);
        Assert.All(Enumerable.Range(0, 10), i => Assert.InRange(sample[i].When, (i * 100) + 1, (i + 1) * 100));
        Assert.Same(points, KillPoints.Sample(points, 2000, new Random(1)));
    }

    [Fact]
    public void A_death_counts_only_after_the_first_seize()
    {
        Assert.False(KillPoints.StruckAfterSeize(["10 +++ killed by SIGKILL +++", .. Log]));
        Assert.True(KillPoints.StruckAfterSeize([.. Log, "10 +++ killed by SIGKILL +++"]));
    }
}
