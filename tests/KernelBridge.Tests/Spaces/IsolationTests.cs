using System.Globalization;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed class IsolationTests : IDisposable
{
    private readonly SpaceFixture space = new();

    public void Dispose() => space.Dispose();

    private string Output(SpaceRequest request)
    {
        Assert.Equal(0, SpaceFixture.Finish(space.Run(request)));
        return File.ReadAllText(space.PathOf("out")).Trim();
    }

    private string Output(string script) => Output(space.Shell(script));

    [Fact]
    public void The_main_process_is_pid_2_under_the_init() => Assert.Equal("2 1", Output("echo $$ $PPID > out"));

    [Fact]
    public void Proc_shows_only_the_space() =>
        Assert.Equal("holdfast-init,sh,", Output("for p in /proc/[0-9]*; do read -r c < $p/comm; printf '%s,' \"$c\"; done > out"));

    [Fact]
    public void The_hostname_is_the_applications()
    {
        string host = File.ReadAllText("/proc/sys/kernel/hostname");

        Assert.Equal("test-app", Output("cat /proc/sys/kernel/hostname > out"));
        Assert.Equal("elsewhere", Output(space.Shell("cat /proc/sys/kernel/hostname > out") with { HostName = "elsewhere" }));
        Assert.Equal(64, Output(space.Shell("cat /proc/sys/kernel/hostname > out") with { Name = new string('n', 100) }).Length);
        Assert.Equal(host, File.ReadAllText("/proc/sys/kernel/hostname"));
    }

    [Fact]
    public void A_mount_made_inside_stays_inside()
    {
        string before = File.ReadAllText("/proc/self/mountinfo");
        Directory.CreateDirectory(space.PathOf("mnt"));

        Assert.Equal("inside", Output("mount -t tmpfs inside mnt && echo inside > mnt/file && cp mnt/file out && touch mounted; sleep 0"));

        Assert.True(File.Exists(space.PathOf("mounted")));
        Assert.Empty(Directory.GetFiles(space.PathOf("mnt")));
        Assert.Equal(before, File.ReadAllText("/proc/self/mountinfo"));
    }

    [Fact]
    public void What_lies_in_its_own_shared_memory_directory_stays_inside()
    {
        string name = $"/dev/shm/holdfast-test-{Environment.ProcessId}";
        try
        {
            Assert.Equal("1777 tmpfs", Output($"echo x > {name} && stat -c %a /dev/shm > first && stat -f -c %T /dev/shm > second && paste -d ' ' first second > out"));
            Assert.False(File.Exists(name));
            Assert.Equal("x", Output(space.Shell($"echo x > {name} && cp {name} out") with { Isolate = new HashSet<string>() }));
            Assert.True(File.Exists(name));
        }
        finally
        {
            File.Delete(name);
        }
    }

    [Fact]
    public void Asked_for_namespaces_are_made_and_others_are_not()
    {
        string[] all = ["pid", "mnt", "uts", "ipc", "time", "net"];
        Dictionary<string, string?> ours = all.ToDictionary(n => n, n => new FileInfo($"/proc/self/ns/{n}").LinkTarget);
        RunningApplication few = space.Run(space.Request("sleep", "1000") with { Isolate = new HashSet<string>() });
        RunningApplication every = space.Run(space.Request("sleep", "1000") with { Isolate = SpaceConfigBlock.NamespaceFlags.Keys.ToHashSet() });

        Assert.Equal(["pid", "mnt"], all.Where(n => new FileInfo($"/proc/{few.MainPid}/ns/{n}").LinkTarget != ours[n]));
        Assert.Equal(all, all.Where(n => new FileInfo($"/proc/{every.MainPid}/ns/{n}").LinkTarget != ours[n]));
    }

    [Fact]
    public void A_network_of_its_own_has_only_a_loopback_that_is_up()
    {
        SpaceRequest request = space.Shell("ls /sys/class/net > /dev/null; cat /proc/net/dev | tail -n +3 | wc -l > out; cat /proc/net/fib_trie >> out");
        string[] lines = Output(request with { Isolate = new HashSet<string> { "net" } }).Split('\n');

        Assert.Equal("1", lines[0]);
        Assert.Contains(lines, l => l.Contains("127.0.0.1"));
    }

    [Fact]
    public void The_clocks_have_their_offsets()
    {
        double host = double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0], CultureInfo.InvariantCulture);
        SpaceRequest request = space.Shell("cat /proc/uptime /proc/self/timens_offsets > out") with
        {
            MonotonicOffset = new ClockOffset(5000, 7),
            BootTimeOffset = new ClockOffset(100_000, 999_999_999),
        };

        string[] lines = Output(request).Split('\n');

        Assert.True(double.Parse(lines[0].Split(' ')[0], CultureInfo.InvariantCulture) >= host + 100_000);
        Assert.Equal(["monotonic", "5000", "7"], lines[1].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(["boottime", "100000", "999999999"], lines[2].Split(' ', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public void A_clock_can_be_set_back_but_not_before_zero()
    {
        SpaceRequest request = space.Shell("cat /proc/self/timens_offsets > out");

        Assert.Contains("-1 ", Output(request with { BootTimeOffset = new ClockOffset(-1, 5) }));
        BridgeException refused = Assert.Throws<BridgeException>(() => Space.Start(request with { BootTimeOffset = new ClockOffset(-1_000_000_000, 0) }));
        Assert.Contains("clocks", refused.Message);
    }

    [Fact]
    public void Orphans_are_reaped_by_the_init()
    {
        // The shell in the middle ends at once; what it leaves behind becomes the init's child, ends, and must not stay as a zombie.
        RunningApplication application = space.Run("for i in 1 2 3 4 5 6 7 8; do (sh -c 'touch ready' &) ; done; touch started; exec sleep 1000");
        SpaceFixture.Until(() => File.Exists(space.PathOf("started")), "the start");

        SpaceFixture.Until(() => ProcessTree.Of(application.Target.RootPid).Count == 2, "nothing but the init and the main process");
        Assert.True(File.Exists(space.PathOf("ready")));
    }

    [Fact]
    public void The_application_ends_with_its_main_process()
    {
        RunningApplication application = space.Run("setsid sleep 1000 & echo $! > out; exit 4");

        Assert.Equal(4, SpaceFixture.Finish(application));
        Assert.NotEqual("", File.ReadAllText(space.PathOf("out")));
        Assert.False(Directory.Exists(application.Target.CgroupPath));
    }

    [Fact]
    public void The_init_holds_no_stream_and_no_directory_of_the_application()
    {
        (Microsoft.Win32.SafeHandles.SafeFileHandle read, Microsoft.Win32.SafeHandles.SafeFileHandle write) = Descriptors.Pipe();
        using (read)
        {
            RunningApplication application;
            using (write)
            {
                int end = Descriptors.Number(write);
                application = space.Run(space.Shell("exec >/dev/null 2>&1 </dev/null; exec sleep 1000") with { StandardStreams = [end, end, end] });
            }

            // End of file comes although the application lives on.
            Assert.Equal(1, Descriptors.Wait(Descriptors.Number(read), -1, SpaceNative.POLLIN, SpaceFixture.Patience));
            Assert.False(application.Exited.IsCompleted);
            Assert.Equal("/", new FileInfo($"/proc/{application.Target.RootPid}/cwd").LinkTarget);
        }
    }

    [Fact]
    public void In_the_foreground_the_session_and_group_are_the_callers()
    {
        RunningApplication application = space.Run(space.Request("sleep", "1000"));

        Assert.Equal(SessionAndGroup(Environment.ProcessId), SessionAndGroup(application.MainPid));
        Assert.Equal(SessionAndGroup(Environment.ProcessId), SessionAndGroup(application.Target.RootPid));
    }

    [Fact]
    public void A_detached_application_has_a_session_of_its_own()
    {
        RunningApplication application = space.Run(space.Request("sleep", "1000") with { Detach = true });

        Assert.Equal((application.MainPid, application.MainPid), SessionAndGroup(application.MainPid));
        Assert.Equal((application.Target.RootPid, application.Target.RootPid), SessionAndGroup(application.Target.RootPid));
    }

    [Fact]
    public void Nothing_of_ours_is_inherited()
    {
        using FileStream ours = File.Create(space.PathOf("ours"));
        // Inheritable on purpose, as a descriptor that this process itself was started with would be.
        Assert.Equal(0, SpaceNative.Fcntl((int)ours.SafeFileHandle.DangerousGetHandle(), 2 /* F_SETFD */, 0));
        RunningApplication application = space.Run(space.Request("sleep", "1000"));

        // The program itself opens its libraries for a moment.
        SpaceFixture.Until(
            () => Directory.GetFileSystemEntries($"/proc/{application.MainPid}/fd").Select(f => Path.GetFileName(f)!).Order().SequenceEqual(["0", "1", "2"]),
            "the program with nothing but its streams");
        Dictionary<string, string> status = File.ReadLines($"/proc/{application.MainPid}/status")
            .Select(l => l.Split(':', 2)).ToDictionary(p => p[0], p => p[1].Trim());
        Assert.Equal(new string('0', 16), status["SigBlk"]);
        Assert.Equal(new string('0', 16), status["SigIgn"]);
        Assert.DoesNotContain(
            Directory.GetFileSystemEntries($"/proc/{application.Target.RootPid}/fd"), f => new FileInfo(f).LinkTarget == ours.Name);
    }

    [Fact]
    public void The_limit_of_open_files_is_what_this_process_was_started_with()
    {
        RunningApplication application = space.Run(space.Request("sleep", "1000"));
        int parent = ProcessIdentity.Read(Environment.ProcessId)!.Value.ParentPid;
        uint expected = InheritedLimits.OpenFiles();

        string limits = File.ReadLines($"/proc/{application.MainPid}/limits").First(l => l.StartsWith("Max open files", StringComparison.Ordinal));

        string soft = limits.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3];
        string ours = File.ReadLines($"/proc/{parent}/limits").First(l => l.StartsWith("Max open files", StringComparison.Ordinal));
        Assert.Equal(expected != 0 ? expected.ToString(CultureInfo.InvariantCulture) : ours.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3], soft);
    }

    private static (int Session, int Group) SessionAndGroup(int pid)
    {
        string stat = File.ReadAllText($"/proc/{pid}/stat");
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (int.Parse(fields[3], CultureInfo.InvariantCulture), int.Parse(fields[2], CultureInfo.InvariantCulture));
    }
}
