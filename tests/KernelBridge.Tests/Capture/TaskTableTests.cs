using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>What the kernel tells of many processes at once is what procfs and kcmp(2) say of each.</summary>
public sealed class TaskTableTests(ITestOutputHelper output) : IDisposable
{
    /// <summary>As many as make it worth while on any host.</summary>
    private const int Many = 1 << 22;

    private const string Program =
        """
        import ctypes, os, signal, sys, time
        libc = ctypes.CDLL(None, use_errno=True)
        out = sys.argv[1]
        def must(value):
            assert value >= 0, os.strerror(ctypes.get_errno())
            return value
        def child(name, flags, body=lambda: None):
            pid = must(libc.syscall(56, flags | signal.SIGCHLD, 0, 0, 0, 0))
            if pid == 0:
                libc.prctl(1, 9, 0, 0, 0)
                body()
                open(f'{out}/{name}', 'w').write(str(os.getpid()))
                while True: time.sleep(1000)
            return pid
        def pidspace():
            must(libc.unshare(0x20000000))
            child('inside', 0)
        pids = [os.getpid()]
        pids += [child(name, flags, body) for name, flags, body in [
            ('plain', 0, lambda: None), ('again', 0, lambda: None), ('files', 0x400, lambda: None), ('directories', 0x200, lambda: None),
            ('names', 0, lambda: must(libc.unshare(0x04000000))), ('messages', 0, lambda: must(libc.unshare(0x08000000))), ('mounts', 0, lambda: must(libc.unshare(0x20000))),
            ('groups', 0, lambda: must(libc.unshare(0x02000000))), ('network', 0, lambda: must(libc.unshare(0x40000000))), ('users', 0, lambda: must(libc.unshare(0x10000000))),
            ('times', 0, lambda: must(libc.unshare(0x80))), ('pidspace', 0, pidspace), ('first', 0x20000000, lambda: None)]]
        ended = os.fork()
        if not ended: os._exit(3)
        os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
        names = ['plain', 'again', 'files', 'directories', 'names', 'messages', 'mounts', 'groups', 'network', 'users', 'times', 'pidspace', 'inside', 'first']
        while not all(os.path.exists(f'{out}/{name}') for name in names): time.sleep(0.01)
        open(out + '/pids', 'w').write(' '.join(str(pid) for pid in pids + [ended]))
        open(out + '/ready', 'w')
        time.sleep(1000)
        """;

    private readonly Bench bench = new(new PtraceBridge());

    public void Dispose() => bench.Dispose();

    [Fact]
    public void Kinship_namespaces_and_what_processes_share_are_what_procfs_and_kcmp_say()
    {
        if (TaskIterator.Own is null)
        {
            output.WriteLine("skipped: this kernel, or these rights, do not allow it");
            return;
        }

        using WatchedProgram? program = WatchedProgram.TryStart(bench, output, Program);
        if (program is null)
        {
            return;
        }

        List<int> pids = [.. File.ReadAllText(bench.PathOf("pids")).Split(' ').Select(word => int.Parse(word, System.Globalization.CultureInfo.InvariantCulture))];
        int ended = pids[^1];
        pids.AddRange(pids.SelectMany(pid => ProcFs.Children(pid)).Except(pids).ToList());
        Assert.Equal(16, pids.Count);
        Assert.Null(TaskTable.TryRead(0));
        TaskTable tasks = TaskTable.TryRead(Many)!;
        Assert.NotNull(tasks);
        Assert.Null(tasks.Of(int.MaxValue));
        Assert.False(tasks.IsChildless(int.MaxValue));

        StandingFacts standing = new(PidReference.Of(Environment.ProcessId), 1, tasks);
        Dictionary<int, string> groups = [];
        foreach (int pid in pids)
        {
            TaskRecord known = tasks.Of(pid)!.Value;
            Assert.Equal((ulong)pid, known.Process);
            Assert.Equal((ulong)ProcessStat.Read(pid).ParentPid, known.Parent);
            Assert.Equal(ProcFs.Children(pid).Count == 0, tasks.IsChildless(pid));
            groups[pid] = ProcFs.TryText($"/proc/{pid}/cgroup")!;
            (NamespaceLinks read, NamespaceLinks told) = (NamespaceLinks.Read(pid), standing.NamespacesOf(pid));
            foreach (string kind in NamespaceLinks.Kinds)
            {
                Assert.Equal((pid, kind, read[kind]), (pid, kind, told[kind]));
            }

            Assert.Equal((read.ForChildrenPid, read.ForChildrenTime), (told.ForChildrenPid, told.ForChildrenTime));
            Assert.Equal(ProcessStatus.Read(pid).Numbers("NSpid")[^1], PidReference.Of(pid).NumberOf(ProcessStatus.Read(pid)));
        }

        int shared = 0;
        foreach ((int a, int b) in pids.Where(pid => pid != ended).SelectMany(a => pids.Where(pid => pid != ended && pid != a).Select(b => (a, b))))
        {
            (TaskRecord one, TaskRecord other) = (tasks.Of(a)!.Value, tasks.Of(b)!.Value);
            bool[] told = [one.Memory == other.Memory, one.Descriptors == other.Descriptors, one.Directories == other.Directories, one.Actions == other.Actions];
            Assert.Equal([.. ((int[])[Libc.KCMP_VM, Libc.KCMP_FILES, Libc.KCMP_FS, Libc.KCMP_SIGHAND]).Select(type => Libc.kcmp(a, b, type, 0, 0) == 0)], told);
            Assert.False(one.ControlGroups == other.ControlGroups && groups[a] != groups[b]);
            shared += told.Count(same => same);
        }

        // The child with its parent's descriptors, and the one with its directories: each pair is seen from both sides.
        Assert.Equal(4, shared);
    }
}
