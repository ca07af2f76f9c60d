using System.Diagnostics;
using System.Globalization;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed class FindAndKillTests : IDisposable
{
    private readonly SpaceFixture space = new();

    public void Dispose() => space.Dispose();

    [Fact]
    public void Kill_leaves_nothing()
    {
        string mountsBefore = File.ReadAllText("/proc/self/mountinfo");
        // Children, a background one, one that left the session, and a cgroup of the application's own.
        RunningApplication application = space.Run(
            "setsid sleep 1001 & (sleep 1002 & sleep 1003) & touch ready; exec sleep 1004");
        SpaceFixture.Until(() => File.Exists(space.PathOf("ready")), "the children");
        Directory.CreateDirectory(Path.Combine(application.Target.CgroupPath!, "own"));
        IReadOnlyList<ProcessIdentity> processes = ProcessTree.Of(application.Target.RootPid);
        Assert.True(processes.Count >= 4);

        application.Kill();

        Assert.Equal(128 + 9, SpaceFixture.Finish(application));
        Assert.All(processes, p => Assert.NotEqual(p.StartTime, ProcessIdentity.Read(p.Pid)?.StartTime));
        Assert.False(Directory.Exists(Path.GetDirectoryName(application.Target.CgroupPath)));
        Assert.False(File.Exists(application.Target.InitSocket));
        Assert.DoesNotContain(application.Target.InitSocket!, File.ReadAllText("/proc/net/unix"));
        Assert.Equal(mountsBefore, File.ReadAllText("/proc/self/mountinfo"));
    }

    [Fact]
    public void Kill_may_be_called_twice_and_after_the_end()
    {
        RunningApplication application = space.Run("exit 5");
        Assert.Equal(5, SpaceFixture.Finish(application));

        application.Kill();
        application.Kill();

        Assert.Equal(5, SpaceFixture.Finish(application));
    }

    [Fact]
    public void An_ended_application_leaves_only_its_exit_file()
    {
        RunningApplication application = space.Run("exit 5");

        SpaceFixture.Finish(application);

        Assert.Equal([application.Target.ExitFile!], Directory.GetFiles(Path.GetDirectoryName(application.Target.ExitFile)!));
        Assert.False(Directory.Exists(application.Target.CgroupPath));
    }

    [Fact]
    public void A_signal_reaches_the_main_process()
    {
        RunningApplication application = space.Run("trap 'exit 42' USR1; touch ready; while :; do sleep 0.01; done");
        SpaceFixture.Until(() => File.Exists(space.PathOf("ready")), "the trap");

        application.Signal(10);

        Assert.Equal(42, SpaceFixture.Finish(application));
        application.Signal(10);
    }

    [Fact]
    public void An_application_outlives_its_supervisor_and_is_found_again()
    {
        using var supervisor = new HelperProcess("launch", space.NewStateDirectory(), "sh", "-c", "trap 'exit 17' TERM; while :; do sleep 0.01; done");
        ApplicationTarget target = space.Launched(supervisor.ReadLine());
        supervisor.Kill();

        using RunningApplication? found = ApplicationFinder.Find(target);

        Assert.NotNull(found);
        Assert.Equal(2, ProcessIdentity.NamespacePids(found.MainPid)[^1]);
        // The shell may not have set its trap yet: until then the signal kills it, which is an answer of its own.
        SpaceFixture.Until(() => SignalIsCaught(found.MainPid, 15), "the trap");
        found.Signal(15);
        Assert.Equal(17, SpaceFixture.Finish(found));
        Assert.Null(ApplicationFinder.Find(target));
        Assert.False(Directory.Exists(target.CgroupPath));
    }

    [Fact]
    public void A_found_application_can_be_killed()
    {
        using var supervisor = new HelperProcess("launch", space.NewStateDirectory(), "sleep", "1000");
        ApplicationTarget target = space.Launched(supervisor.ReadLine());
        supervisor.Kill();
        using RunningApplication found = ApplicationFinder.Find(target)!;

        found.Kill();

        Assert.Equal(128 + 9, SpaceFixture.Finish(found));
        Assert.False(Directory.Exists(target.CgroupPath));
        Assert.False(File.Exists(target.InitSocket));
    }

    [Fact]
    public void A_space_dies_with_a_supervisor_that_had_not_committed_it()
    {
        using var supervisor = new HelperProcess("start-uncommitted", space.NewStateDirectory());
        ApplicationTarget target = space.Launched(supervisor.ReadLine());
        int mainPid = int.Parse(supervisor.ReadLine(), CultureInfo.InvariantCulture);
        ulong started = ProcessIdentity.Read(mainPid)!.Value.StartTime;

        supervisor.Kill();

        SpaceFixture.Until(() => ProcessIdentity.Read(mainPid)?.StartTime != started, "the main process's end");
        SpaceFixture.Until(() => ProcessIdentity.Read(target.RootPid)?.StartTime != target.RootStartTime, "the init's end");
        Assert.Null(ApplicationFinder.Find(target));
        Assert.False(Directory.Exists(target.CgroupPath));
    }

    [Fact]
    public void Another_process_under_the_pid_and_another_boot_are_not_found()
    {
        RunningApplication application = space.Run("exec sleep 1000");

        Assert.Null(ApplicationFinder.Find(application.Target with { BootId = "another", InitSocket = null, CgroupPath = null }));
        Assert.Null(ApplicationFinder.Find(application.Target with { RootStartTime = 1, InitSocket = null, CgroupPath = null }));
        using RunningApplication? found = ApplicationFinder.Find(application.Target);
        Assert.Equal(application.MainPid, found?.MainPid);
    }

    [Fact]
    public void A_tree_of_host_processes_is_found_and_killed_with_its_descendants()
    {
        using Process shell = Process.Start("sh", ["-c", "sh -c 'sleep 1001 & sleep 1002' & sleep 1003"]);
        ApplicationTarget target = Tree(shell.Id);
        SpaceFixture.Until(() => ProcessTree.Of(shell.Id).Count == 5, "the descendants");
        IReadOnlyList<ProcessIdentity> processes = ProcessTree.Of(shell.Id);
        using RunningApplication found = ApplicationFinder.Find(target)!;

        found.Kill();

        Assert.All(processes, p => Assert.False(ProcessIdentity.Read(p.Pid) is { IsDead: false } now && now.StartTime == p.StartTime));
        Assert.Null(ApplicationFinder.Find(target));
    }

    [Theory]
    [InlineData("exit 21", 21)]
    [InlineData("kill -9 $$", 128 + 9)]
    public void The_exit_status_of_a_process_that_is_not_our_child_is_known(string end, int status)
    {
        // The outer shell is the parent and reaps; it tells the pid of the inner one.
        string go = space.PathOf("go");
        var start = new ProcessStartInfo("sh", ["-c", $"sh -c 'echo $$; while ! [ -e {go} ]; do sleep 0.01; done; {end}'; sleep 1000"])
        {
            RedirectStandardOutput = true,
        };
        using Process outer = Process.Start(start)!;
        try
        {
            int pid = int.Parse(outer.StandardOutput.ReadLine()!, CultureInfo.InvariantCulture);
            using RunningApplication found = ApplicationFinder.Find(Tree(pid))!;
            File.WriteAllText(go, "");

            Assert.Equal(status, SpaceFixture.Finish(found));
        }
        finally
        {
            outer.Kill(entireProcessTree: true);
        }
    }

    private static ApplicationTarget Tree(int pid) =>
        new(ApplicationScope.Tree, pid, ProcessIdentity.Read(pid)!.Value.StartTime, ProcessIdentity.BootId());

    private static bool SignalIsCaught(int pid, int signal)
    {
        string line = File.ReadLines($"/proc/{pid}/status").First(l => l.StartsWith("SigCgt:", StringComparison.Ordinal));
        return (ulong.Parse(line[7..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) & (1UL << (signal - 1))) != 0;
    }
}
