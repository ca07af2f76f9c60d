using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>Memory that processes share copy-on-write costs a snapshot and a restored application no more than the original.</summary>
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
        application.Restore();
        var after = ProportionalBytes(application);
        output.WriteLine($"Pss {before:N0} bytes before, {after:N0} after");
        Assert.InRange(after, before * 0.9, before * 1.1);
        application.RequirePass();
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

    /// <summary>What all of its processes take together, a page of several counted once: Pss of smaps_rollup, see proc(5).</summary>
    private static long ProportionalBytes(TestApplication application) => application.Processes().Sum(process =>
        long.Parse(File.ReadLines($"/proc/{process.Pid}/smaps_rollup").Single(line => line.StartsWith("Pss:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture) * 1024);
}
