using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed class WatchdogTests : IDisposable
{
    private static readonly TimeSpan anHour = TimeSpan.FromHours(1);
    private static readonly TimeSpan soon = TimeSpan.FromMilliseconds(150);

    private readonly SpaceFixture space = new();

    public void Dispose() => space.Dispose();

    [Fact]
    public void A_killed_supervisor_leaves_no_frozen_application()
    {
        RunningApplication application = space.Run("while :; do :; done");
        string group = application.Target.CgroupPath!;
        using var supervisor = new HelperProcess("arm-and-freeze", application.Target.InitSocket!, group);
        Assert.Equal("frozen", supervisor.ReadLine());
        Assert.True(CgroupFreezer.IsFrozen(group));

        supervisor.Kill();

        // Its own deadline is an hour away: only its death can be the reason.
        SpaceFixture.Until(() => !CgroupFreezer.IsFrozen(group), "the thaw");
    }

    [Fact]
    public void A_freeze_ends_at_the_deadline_told_before_it()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        string group = application.Target.CgroupPath!;
        using InitClient client = InitClient.Connect(application.Target.InitSocket!);
        client.Arm(soon);
        Assert.True(client.Status().Armed);
        Assert.Empty(CgroupFreezer.Freeze(group, SpaceFixture.Patience));

        SpaceFixture.Until(() => !CgroupFreezer.IsFrozen(group), "the thaw");
        Assert.False(client.Status().Armed);
    }

    [Fact]
    public void A_disarmed_watchdog_does_nothing_when_its_connection_closes()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        using InitClient other = InitClient.Connect(application.Target.InitSocket!);
        other.Status();
        InitClient client = InitClient.Connect(application.Target.InitSocket!);
        client.Arm(anHour);
        Assert.Empty(CgroupFreezer.Freeze(application.Target.CgroupPath!, SpaceFixture.Patience));
        client.Disarm(thaw: false);
        client.Dispose();

        // The init sees both sockets in one look, and twice for certain.
        other.Status();
        other.Status();
        Assert.True(CgroupFreezer.IsFrozen(application.Target.CgroupPath!));
    }

    [Fact]
    public void Disarming_can_thaw()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        using InitClient client = InitClient.Connect(application.Target.InitSocket!);
        client.Arm(anHour);
        Assert.Empty(CgroupFreezer.Freeze(application.Target.CgroupPath!, SpaceFixture.Patience));

        client.Disarm(thaw: true);

        Assert.Equal("0\n", Asked(application));
        Assert.False(client.Status().Armed);
    }

    [Fact]
    public void A_lease_that_runs_out_freezes_the_application_and_no_watchdog_thaws_it()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        string group = application.Target.CgroupPath!, socket = application.Target.InitSocket!;
        using InitClient owner = InitClient.Connect(socket);
        InitClient checkpoint = InitClient.Connect(socket);
        using InitClient witness = InitClient.Connect(socket);
        checkpoint.Arm(anHour);
        owner.Lease(soon);
        Assert.True(owner.Status().Leased);

        SpaceFixture.Until(() => CgroupFreezer.IsFrozen(group), "the freeze");

        Assert.True(owner.Status().LeaseExpired);
        Assert.Equal(InitClient.LeaseExpired, Assert.Throws<BridgeException>(() => witness.Arm(anHour)).Code);
        Assert.Equal(InitClient.LeaseExpired, Assert.Throws<BridgeException>(witness.Thaw).Code);
        witness.Disarm(thaw: true);
        checkpoint.Dispose();
        witness.Status();
        witness.Status();
        Assert.Equal("1\n", Asked(application));

        owner.Lease(anHour);

        SpaceFixture.Until(() => !CgroupFreezer.IsFrozen(group), "the thaw");
        InitStatus renewed = owner.Status();
        Assert.True(renewed.Leased);
        Assert.False(renewed.LeaseExpired);
        Assert.InRange(renewed.LeaseLeft, TimeSpan.FromMinutes(1), anHour);
    }

    [Fact]
    public void A_renewal_during_a_watched_freeze_leaves_the_thaw_to_the_watch()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        string group = application.Target.CgroupPath!;
        using InitClient owner = InitClient.Connect(application.Target.InitSocket!);
        using InitClient checkpoint = InitClient.Connect(application.Target.InitSocket!);
        checkpoint.Arm(anHour);
        Assert.Empty(CgroupFreezer.Freeze(group, SpaceFixture.Patience));
        owner.Lease(soon);
        SpaceFixture.Until(() => owner.Status().LeaseExpired, "the lease's end");

        owner.Lease(anHour);
        Assert.Equal("1\n", Asked(application));

        checkpoint.Thaw();
        Assert.Equal("0\n", Asked(application));
    }

    [Fact]
    public void A_released_lease_does_not_run_out()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        using InitClient owner = InitClient.Connect(application.Target.InitSocket!);
        owner.Lease(soon);
        SpaceFixture.Until(() => owner.Status().LeaseExpired, "the lease's end");

        owner.Release();

        InitStatus status = owner.Status();
        Assert.False(status.Leased);
        Assert.False(status.LeaseExpired);
        Assert.Equal("0\n", Asked(application));
    }

    [Fact]
    public void An_application_that_ends_while_frozen_by_its_lease_can_still_be_killed()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        using (InitClient owner = InitClient.Connect(application.Target.InitSocket!))
        {
            owner.Lease(soon);
            SpaceFixture.Until(() => owner.Status().LeaseExpired, "the lease's end");
        }

        application.Kill();

        Assert.Equal(128 + 9, SpaceFixture.Finish(application));
    }

    [Fact]
    public void A_group_that_does_not_stand_in_time_is_thawed_and_the_task_named()
    {
        string marker = space.PathOf("reading");
        RunningApplication application = space.Run(space.Request([.. HelperProcess.Command("stuck-read"), marker]));
        string group = application.Target.CgroupPath!;
        SpaceFixture.Until(() => File.Exists(marker), "the stuck read");
        SpaceFixture.Until(() => Waits(application.MainPid), "the fault");

        IReadOnlyList<RunningTask> running = CgroupFreezer.Freeze(group, TimeSpan.FromMilliseconds(300));

        RunningTask task = Assert.Single(running);
        Assert.Equal(application.MainPid, task.Pid);
        // The main thread: it tries the fault again and again, and so has no one place it waits in.
        Assert.Equal(application.MainPid, task.Tid);
        Assert.Equal("0\n", Asked(application));
    }

    private static bool Waits(int pid) =>
        Directory.GetDirectories($"/proc/{pid}/task").Any(t => File.ReadAllText(Path.Combine(t, "wchan")).Contains("userfault"));

    private static string Asked(RunningApplication application) => File.ReadAllText(Path.Combine(application.Target.CgroupPath!, "cgroup.freeze"));
}
