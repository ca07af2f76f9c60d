using Holdfast.KernelBridge.Tests.Conformance;

namespace Holdfast.KernelBridge.Tests.Restore;

/// <summary>The rule about files that changed since the capture.</summary>
public sealed class RestoreChecksTests : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());
    private readonly Taken taken;

    public RestoreChecksTests()
    {
        File.WriteAllText(bench.PathOf("data"), "1234567890");
        File.WriteAllText(bench.PathOf("log"), "one\n");
        File.WriteAllText(bench.PathOf("input"), "input");
        IRunningApplication application = bench.Shell("exec 7<>$OUT/data 8>>$OUT/log 9<$OUT/input; : >$OUT/ready; while [ ! -e $OUT/go ]; do read -t 0.01 -u 6; done 6<>/dev/null; echo two >&8");
        bench.Expect("ready");
        taken = bench.Checkpoint(application, kill: true);
    }

    [Fact]
    public void Unchanged_files_are_taken()
    {
        bench.Restore(taken, ChangedFiles.Refuse);
    }

    [Fact]
    public void What_was_open_for_reading_only_may_change()
    {
        File.WriteAllText(bench.PathOf("input"), "another");
        bench.Restore(taken, ChangedFiles.Refuse);
    }

    [Theory]
    [InlineData("data", "12345678901")]
    [InlineData("data", "0987654321")]
    [InlineData("log", "one\nmore\n")]
    public void A_changed_file_is_named_and_nothing_is_built(string name, string text)
    {
        File.WriteAllText(bench.PathOf(name), text);
        BridgeException refused = Assert.Throws<BridgeException>(() => bench.Restore(taken, ChangedFiles.Refuse));
        Refusal only = Assert.Single(refused.Refusals);
        Assert.Equal(("file.changed", bench.PathOf(name)), (only.Code, only.What));
        Assert.Equal(text, File.ReadAllText(bench.PathOf(name)));
    }

    [Fact]
    public void A_missing_file_is_named_whatever_the_rule()
    {
        File.Delete(bench.PathOf("data"));
        BridgeException refused = Assert.Throws<BridgeException>(() => bench.Restore(taken, ChangedFiles.AsIs));
        Assert.Equal("file.missing", Assert.Single(refused.Refusals).Code);
    }

    [Fact]
    public void A_log_that_grew_is_cut_back()
    {
        File.AppendAllText(bench.PathOf("log"), "written after the checkpoint\n");
        bench.Restore(taken, ChangedFiles.Truncate);
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        bench.ExpectLines("log", 0);
        Spaces.SpaceFixture.Until(() => File.ReadAllText(bench.PathOf("log")) == "one\ntwo\n", "the log goes on where it was");
    }

    [Fact]
    public void Only_logs_are_cut()
    {
        File.AppendAllText(bench.PathOf("data"), "x");
        BridgeException refused = Assert.Throws<BridgeException>(() => bench.Restore(taken, ChangedFiles.Truncate));
        Assert.Equal("file.changed", Assert.Single(refused.Refusals).Code);
    }

    public void Dispose() => bench.Dispose();
}
