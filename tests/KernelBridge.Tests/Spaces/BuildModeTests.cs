using System.Globalization;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed class BuildModeTests : IDisposable
{
    private readonly SpaceFixture space = new();

    public void Dispose() => space.Dispose();

    private SpaceRequest Build(int pid = 0) => space.Request() with { Mode = SpaceMode.Build, Command = [], Environment = [], WantedPid = pid };

    [Theory]
    [InlineData(0, 2)]
    [InlineData(4711, 4711)]
    public void The_root_stub_pauses_with_the_wanted_pid_and_all_signals_blocked(int wanted, int expected)
    {
        using SpaceHandle handle = Space.Start(Build(wanted));

        Assert.Equal(expected, handle.MainPidInside);
        Assert.Equal(expected, ProcessIdentity.NamespacePids(handle.MainPid)[^1]);
        AssertPausedStub(handle.MainPid);
        Assert.Equal(handle.InitPid, ProcessIdentity.Read(handle.MainPid)!.Value.ParentPid);
        Assert.Contains(handle.MainPid, CgroupFreezer.Processes(handle.CgroupPath!));
        Assert.DoesNotContain(handle.InitPid, CgroupFreezer.Processes(handle.CgroupPath!));
        Assert.Equal(["0", "1", "2"], Descriptors(handle.MainPid));
    }

    [Fact]
    public void The_stub_has_the_descriptors_asked_for_at_their_numbers_and_no_others()
    {
        string[] files = [.. Enumerable.Range(0, 5).Select(i => space.PathOf($"file{i}"))];
        List<FileStream> open = [.. files.Select(f => new FileStream(f, FileMode.Create))];
        // Numbers that the init itself uses on the way, ones in a row, and a high one.
        int[] targets = [4, 3, 21, 20, 900];
        SpaceRequest request = Build() with
        {
            StandardStreams = [Number(open[0]), Number(open[1]), Number(open[1])],
            Extras = [.. targets.Select((t, i) => new DescriptorPair(Number(open[i]), t))],
        };

        using SpaceHandle handle = Space.Start(request);

        Assert.Equal(new[] { "0", "1", "2", "3", "4", "20", "21", "900" }, Descriptors(handle.MainPid));
        for (int i = 0; i < targets.Length; i++)
        {
            Assert.Equal(files[i], LinkOf(handle.MainPid, targets[i]));
        }

        Assert.Equal(files[0], LinkOf(handle.MainPid, 0));
        Assert.Equal(files[1], LinkOf(handle.MainPid, 2));
        open.ForEach(f => f.Dispose());
    }

    [Fact]
    public void The_stub_dies_with_its_init()
    {
        using SpaceHandle handle = Space.Start(Build());

        Assert.Equal(0, NativeKill(handle.InitPid, 9));

        SpaceFixture.Until(() => ProcessIdentity.Read(handle.MainPid) is null or { IsDead: true }, "the end of the stub");
    }

    [Fact]
    public void A_space_that_is_not_handed_over_is_gone_when_its_handle_is_disposed()
    {
        SpaceHandle handle = Space.Start(Build());
        handle.Dispose();

        Assert.Null(ProcessIdentity.Read(handle.InitPid));
        Assert.Null(ProcessIdentity.Read(handle.MainPid));
        Assert.False(Directory.Exists(handle.CgroupPath));
        Assert.Empty(Directory.GetFiles(Path.GetDirectoryName(handle.Target.InitSocket)!));
    }

    [Fact]
    public void A_space_that_is_handed_over_but_not_kept_ends_when_it_is_let_go_of()
    {
        using SpaceHandle handle = Space.Start(Build());
        IRunningApplication application = handle.HandOver();
        handle.Dispose();
        Assert.NotNull(ProcessIdentity.Read(handle.MainPid));

        application.Dispose();

        SpaceFixture.Until(() => ProcessIdentity.Read(handle.MainPid) is null or { IsDead: true }, "the end of the stub");
    }

    [Fact]
    public void A_space_that_is_kept_lives_on_without_its_handle()
    {
        using SpaceHandle handle = Space.Start(Build());
        using IRunningApplication application = handle.HandOver();
        application.Keep();
        handle.Dispose();

        using (InitClient client = InitClient.Connect(application.Target.InitSocket!))
        {
            Assert.Equal(application.MainPid, client.Status().MainPid);
        }

        application.Kill();
        Assert.Equal(128 + 9, SpaceFixture.Finish(application));
    }

    [Fact]
    public void A_stub_without_a_space_is_our_child_with_the_wanted_pid()
    {
        int free = FreePid();
        using StubHandle stub = Space.StartStub(new StubRequest { WantedPid = free });

        Assert.Equal(free, stub.Pid);
        AssertPausedStub(stub.Pid);
        Assert.Equal(Environment.ProcessId, ProcessIdentity.Read(stub.Pid)!.Value.ParentPid);

        stub.Dispose();
        Assert.Null(ProcessIdentity.Read(free));
    }

    [Fact]
    public void A_taken_pid_is_refused_by_name()
    {
        BridgeException refused = Assert.Throws<BridgeException>(() => Space.StartStub(new StubRequest { WantedPid = Environment.ProcessId }));

        Assert.Equal("restore.pid-taken", refused.Code);
    }

    [Fact]
    public void The_stubs_code_is_where_it_was_asked_to_be()
    {
        using StubHandle stub = Space.StartStub(new StubRequest { BaseAddress = 0x7000_0000_0000 });

        Assert.Contains(File.ReadLines($"/proc/{stub.Pid}/maps"), l => l.StartsWith("700000000000-", StringComparison.Ordinal) && l.Contains("r-xp"));
    }

    private static void AssertPausedStub(int pid)
    {
        Dictionary<string, string> status = File.ReadLines($"/proc/{pid}/status").Select(l => l.Split(':', 2)).ToDictionary(p => p[0], p => p[1].Trim());
        // Everything but SIGKILL and SIGSTOP, which cannot be blocked.
        Assert.Equal("fffffffffffbfeff", status["SigBlk"]);
        Assert.Equal("0000000000000000", status["SigIgn"]);
        Assert.Equal("0000000000000000", status["SigCgt"]);
        Assert.Equal("1", status["Threads"]);
        SpaceFixture.Until(() => File.ReadAllText($"/proc/{pid}/syscall").StartsWith("34 ", StringComparison.Ordinal), "the stub in pause(2)");
    }

    private static int FreePid()
    {
        int highest = int.Parse(File.ReadAllText("/proc/sys/kernel/pid_max"), CultureInfo.InvariantCulture);
        return Enumerable.Range(2, highest).Select(i => highest - i).First(p => !Directory.Exists($"/proc/{p}"));
    }

    private static string[] Descriptors(int pid) =>
        [.. Directory.GetFileSystemEntries($"/proc/{pid}/fd").Select(f => Path.GetFileName(f)!).OrderBy(f => int.Parse(f, CultureInfo.InvariantCulture))];

    private static string LinkOf(int pid, int fd) => new FileInfo($"/proc/{pid}/fd/{fd}").LinkTarget!;

    private static int Number(FileStream file) => (int)file.SafeFileHandle.DangerousGetHandle();

    [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "kill")]
    private static extern int NativeKill(int pid, int signal);
}
