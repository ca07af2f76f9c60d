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
    public void A_deleted_file_is_refused_where_no_file_without_a_name_can_be_made()
    {
        string directory = Directory.CreateDirectory(bench.PathOf("directory")).FullName;
        IRunningApplication application = bench.Shell("exec 7<>$OUT/directory/file; rm $OUT/directory/file; : >$OUT/deleted; while :; do sleep 0.01; done");
        bench.Expect("deleted");
        Taken one = bench.Checkpoint(application, kill: true);
        try
        {
            // It has none of its own, and makes none without a name.
            Run("mount", "-t", "proc", "none", directory);
            Refusal only = Assert.Single(Assert.Throws<BridgeException>(() => bench.Restore(one, ChangedFiles.Refuse)).Refusals);
            Assert.Equal("file.unnamed", only.Code);
            Assert.StartsWith(directory, only.What, StringComparison.Ordinal);
        }
        finally
        {
            Run("umount", directory);
        }

        bench.Restore(one, ChangedFiles.Refuse);
    }

    [Fact]
    public void An_address_that_this_host_has_no_more_is_named()
    {
        string address = $"10.214.{Environment.ProcessId % 250}.9";
        Taken one;
        Run("ip", "addr", "add", address + "/32", "dev", "lo");
        try
        {
            IRunningApplication application = bench.Python(
                $"""
                import os, socket, time
                u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('{address}', 0))
                open(os.environ['OUT'] + '/bound', 'w').close()
                while True: time.sleep(0.01)
                """);
            bench.Expect("bound");
            one = bench.Checkpoint(application, kill: true);
        }
        finally
        {
            Run("ip", "addr", "del", address + "/32", "dev", "lo");
        }

        Refusal only = Assert.Single(Assert.Throws<BridgeException>(() => bench.Restore(one, ChangedFiles.Refuse)).Refusals);
        Assert.Equal("socket.address", only.Code);
        Assert.Contains(address, only.Why, StringComparison.Ordinal);
    }

    private static void Run(string program, params string[] arguments)
    {
        using System.Diagnostics.Process process = System.Diagnostics.Process.Start(program, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
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

    [Fact]
    public void What_was_written_through_a_mapping_since_is_noticed_where_times_do_not_tell()
    {
        string name = $"/dev/shm/holdfast-test-{Environment.ProcessId}";
        try
        {
            File.WriteAllBytes(name, new byte[8192]);
            IRunningApplication application = bench.Launch(
                new HashSet<string> { "pid", "mount", "ipc" }, "python3", "-c",
                $"""
                import mmap, os, time
                out = os.environ['OUT']
                f = open('{name}', 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close(); m[100] = 1
                open(out + '/mapped', 'w').close()
                for n in range(2):
                    while not os.path.exists(out + '/change%d' % n): time.sleep(0.01)
                    m[100] = n + 2
                    open(out + '/changed%d' % n, 'w').close()
                while True: time.sleep(1)
                """);
            bench.Expect("mapped");
            Taken mapped = bench.Checkpoint(application);
            application.Kill();
            application = bench.Restore(mapped, ChangedFiles.Refuse);
            File.WriteAllText(bench.PathOf("change0"), string.Empty);
            bench.Expect("changed0");
            mapped = bench.Checkpoint(application);
            // The page is there and writable: this write the kernel does not see.
            File.WriteAllText(bench.PathOf("change1"), string.Empty);
            bench.Expect("changed1");
            application.Kill();
            BridgeException refused = Assert.Throws<BridgeException>(() => bench.Restore(mapped, ChangedFiles.Refuse));
            Refusal only = Assert.Single(refused.Refusals);
            Assert.Equal(("file.changed", name), (only.Code, only.What));
            Assert.Contains("mapping", only.Why, StringComparison.Ordinal);
            bench.Restore(mapped, ChangedFiles.AsIs);
        }
        finally
        {
            File.Delete(name);
        }
    }

    public void Dispose() => bench.Dispose();
}
