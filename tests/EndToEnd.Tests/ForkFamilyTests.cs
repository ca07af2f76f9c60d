using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>Memory that processes share copy-on-write costs a snapshot and a restored application no more than the original.</summary>
[Collection("alone")]
public sealed class ForkFamilyTests(ITestOutputHelper output)
{
    /// <summary>Of fork_family: what its first process has, which most of the others share.</summary>
    private const long Shared = 32 << 20;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Shared_memory_is_stored_once_and_shared_again_after_a_restore(bool stops)
    {
        using var application = TestApplication.StartProgram("fork_family", "family");
        var before = ProportionalBytes(application);
        var taken = stops ? application.CheckpointAndStop() : application.Checkpoint();
        if (!stops)
        {
            application.KillByForce();
        }

        var stored = taken.Number("bytesStored");
        output.WriteLine($"{stored:N0} bytes stored, {taken.Number("pagesShared")} pages shared");
        Assert.InRange(stored, 0, before * 1.1);
        Assert.True(taken.Number("pagesShared") * 4096 > 8 * Shared);
        RestoreShared(application, before);
    }

    [Fact]
    public void A_second_checkpoint_and_one_that_tracks_writes_keep_what_is_shared()
    {
        using var application = TestApplication.StartProgram("fork_family", "family", configuration: "holdfast.checkpoint.track-writes = on\n");
        var before = ProportionalBytes(application);
        application.Checkpoint();
        var second = application.Checkpoint();
        Assert.Equal("incremental", second.Text("kind"));
        Assert.InRange(second.Number("bytesStored"), 0, Shared / 4);
        application.KillByForce();
        RestoreShared(application, before);
    }

    private void RestoreShared(TestApplication application, long before)
    {
        application.Restore();
        var after = ProportionalBytes(application);
        output.WriteLine($"Pss {before:N0} bytes before, {after:N0} after");
        Assert.InRange(after, before * 0.9, before * 1.1);
        application.RequirePass();
    }

    [Fact]
    public void A_lazy_restore_shares_nothing_and_is_right()
    {
        using var application = TestApplication.StartProgram("fork_family", "1");
        application.Checkpoint();
        application.KillByForce();
        application.Restore(lazy: true);
        application.RequirePass();
    }

    /// <summary>The builder dies at calls with which it fills, makes and takes apart what is inherited, among all others.</summary>
    [Fact]
    public void A_restore_that_is_killed_at_any_of_its_system_calls_leaves_the_family_whole_or_nothing_of_it()
    {
        using var application = TestApplication.StartProgram("fork_family", "1");
        var whole = application.Processes().Count;
        application.Checkpoint();
        application.KillByForce();
        var log = Path.Combine(application.Work.Scratch, "strace.log");
        string[] strace = ["strace", "-f", "-b", "execve", "-qq", "-o", log];
        using (application.StartHoldfastUnder(strace, "restore", application.Name))
        {
            Until.Required(() => IsWhole(application, whole) && application.Supervisors().Count > 0, () => $"the restore under strace does not end: {application.Describe()}");
        }

        application.KillByForce();
        var all = KillPoints.Between(File.ReadLines(log));
        var points = KillPoints.Sample(all, LongMode.IsOn ? int.MaxValue : 25, new Random(LongMode.Seed));
        output.WriteLine($"seed {LongMode.Seed}: {points.Count} of {all.Count} points");
        var (struck, nothing) = (0, 0);
        foreach (var point in points)
        {
            using (var restore = application.StartHoldfastUnder(
                [.. strace, "-e", "trace=ptrace,exit_group," + point.SystemCall, "-e", KillPoints.Injection(point)], "restore", application.Name))
            {
                // It dies at the point, or the call comes less often this time and the application runs.
                Until.Required(() => restore.HasEnded || IsWhole(application, whole), () => $"{point}: neither killed nor restored: {application.Describe()}");
            }

            foreach (var supervisor in application.Supervisors())
            {
                ProcessScan.Kill(supervisor.Pid);
            }

            Until.Required(
                () => application.Supervisors().Count == 0 && (application.Processes().Count == 0 || IsWhole(application, whole)),
                () => $"{point}: a half-built application is left: {application.Describe()}");
            struck += KillPoints.StruckAfterSeize(File.ReadLines(log)) ? 1 : 0;
            nothing += application.Processes().Count == 0 ? 1 : 0;
            Assert.Null(application.Work.Result);
            application.KillByForce();
        }

        output.WriteLine($"{struck} of {points.Count} struck after the first SEIZE, {nothing} times nothing was left");
        Assert.True(struck * 2 > points.Count, $"Only {struck} of {points.Count} injections struck inside the window.");
        application.Restore();
        application.RequirePass();
    }

    private static bool IsWhole(TestApplication application, int whole) =>
        application.Processes() is var processes && processes.Count == whole && processes.All(process => ProcessScan.Threads(process.Pid).All(thread => thread.TracerPid == 0));

    /// <summary>What all of its processes take together, a page of several counted once: Pss of smaps_rollup, see proc(5).</summary>
    private static long ProportionalBytes(TestApplication application) => application.Processes().Sum(process =>
        long.Parse(File.ReadLines($"/proc/{process.Pid}/smaps_rollup").Single(line => line.StartsWith("Pss:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture) * 1024);
}
