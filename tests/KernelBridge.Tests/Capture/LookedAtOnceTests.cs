using System.Globalization;
using System.Text.RegularExpressions;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>What is asked once of many processes, or not again of one that stands, is what each of them would say.</summary>
public sealed partial class LookedAtOnceTests(ITestOutputHelper output) : IDisposable
{
    /// <summary>As many as make it worth while on any host.</summary>
    private const int Many = 1 << 20;

    private readonly Bench bench = new(new PtraceBridge());

    public void Dispose() => bench.Dispose();

    [Fact]
    public void Descriptors_that_processes_share_are_what_procfs_says_of_each()
    {
        if (TaskIterator.Own is null || WatchedProgram.TryStart(
            bench, output,
            """
            import ctypes, fcntl, os, socket, sys, time
            libc = ctypes.CDLL(None)
            out = sys.argv[1]
            def opened(name, flags=os.O_RDWR | os.O_CREAT): return os.open(f'{out}/{name}', flags)
            one, again = opened('file'), opened('file')
            os.write(one, b'some bytes'); os.lseek(again, 3, 0)
            locked, whole = opened('locked'), opened('whole')
            fcntl.lockf(locked, fcntl.LOCK_EX); fcntl.flock(whole, fcntl.LOCK_SH)
            os.pipe(); os.eventfd(7); os.memfd_create('room'); socket.socketpair(); owned = os.pipe()[0]
            fcntl.fcntl(owned, fcntl.F_SETOWN, os.getpid())
            os.dup2(one, 70); os.dup2(one, 63); os.dup2(again, 64, inheritable=False)
            def child(name, body):
                pid = os.fork()
                if pid == 0:
                    libc.prctl(1, 9, 0, 0, 0)
                    body()
                    open(f'{out}/{name}', 'w').close()
                    while True: time.sleep(1000)
                return pid
            def apart():
                os.set_inheritable(one, not os.get_inheritable(one)); os.set_inheritable(63, False); os.set_inheritable(70, False)
                os.close(again); assert opened('other') == again
                os.fchdir(os.open(out, os.O_RDONLY))
            bodies = {'alike': lambda: None, 'apart': apart, 'ends': lambda: os.closerange(0, 1000)}
            pids = [os.getpid()] + [child(name, body) for name, body in bodies.items()]
            while not all(os.path.exists(f'{out}/{name}') for name in bodies): time.sleep(0.01)
            open(out + '/pids', 'w').write(' '.join(str(pid) for pid in pids))
            open(out + '/ready', 'w')
            time.sleep(1000)
            """) is not { } program)
        {
            output.WriteLine("skipped: this kernel, or these rights, do not allow it");
            return;
        }

        using (program)
        {
            int[] pids = [.. File.ReadAllText(bench.PathOf("pids")).Split(' ').Select(word => int.Parse(word, CultureInfo.InvariantCulture))];
            Assert.Contains(TaskIterator.Own.Files(int.MaxValue - 1)!, record => record.Process == (ulong)pids[0]);
            Assert.Null(TaskIterator.Own.Files(3));
            StandingFacts standing = new(PidReference.Of(Environment.ProcessId), Many, TaskTable.TryRead(Many)!);
            foreach (int pid in pids)
            {
                List<DescriptorFacts> read = DescriptorFacts.ReadAll(pid, 5);
                Assert.Equal(pid == pids[^1] ? 0 : Math.Max(15, read.Count), read.Count);
                Assert.Equal(read.Select(All), standing.DescriptorsOf(pid, 5).Select(All));
            }

            Assert.Contains(DescriptorFacts.ReadAll(pids[0], 5), facts => facts.Locks.Count > 0);
        }
    }

    [Fact]
    public void Memory_has_changed_when_its_areas_have_and_not_when_it_was_written_to()
    {
        // The count is there since Linux 6.4.
        if (TaskIterator.Own is not { } iterator || iterator.First(Environment.ProcessId)?.MemoryState is null || Tools.Find("gcc") is null)
        {
            output.WriteLine("skipped: no gcc, or this kernel, or these rights, do not allow it");
            return;
        }

        string? built = bench.Compile(
            """
            #define _GNU_SOURCE
            #include <fcntl.h>
            #include <signal.h>
            #include <string.h>
            #include <sys/mman.h>
            #include <sys/prctl.h>
            #include <unistd.h>
            static char *area, *other;
            static const long size = 1 << 20;
            int main(int argc, char **argv)
            {
                sigset_t set; int file, round, signal;
                sigemptyset(&set); sigaddset(&set, SIGUSR1); sigprocmask(SIG_BLOCK, &set, 0);
                file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
                area = mmap(0, size, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                for (round = argc > 2 ? 12 : 0; ; round++) {
                    switch (round) {
                    case 1: memset(area, 1, size); break;
                    case 2: madvise(area, size / 2, MADV_DONTNEED); break;
                    case 3: other = mmap(0, size, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); break;
                    case 4: munmap(other, size); break;
                    case 5: mprotect(area, size / 2, 1); break;
                    case 6: mprotect(area, size / 2, 3); break;
                    case 7: madvise(area, size / 2, MADV_DONTDUMP); break;
                    case 8: madvise(area, size / 2, MADV_DODUMP); break;
                    case 9: mlock(area, 4096); break;
                    case 10: area = mremap(area, size, 2 * size, MREMAP_MAYMOVE); break;
                    case 11: sbrk(4096); break;
                    case 12: if (prctl(0x53564d41, 0, area, size, "name")) munmap(area, 4096); break;
                    case 13: execl(argv[0], argv[0], argv[1], "again", (char *) 0); break;
                    }
                    if (write(file, "ready\n", 6) != 6) return 1;
                    sigwait(&set, &signal);
                }
            }
            """);
        IRunningApplication application = bench.Launch(built!, bench.PathOf("log"));
        bench.ExpectTotal("log", 1);
        MemoryState before = State();
        Assert.Equal(before, State());
        for (int round = 1; round <= 13; round++)
        {
            application.Signal(10);
            bench.ExpectTotal("log", round + 1);
            MemoryState now = State();
            Assert.Equal((round, round <= 2), (round, now == before));
            before = now;
        }

        MemoryState State() => iterator.First(application.MainPid)!.Value.MemoryState!.Value;
    }

    [Fact]
    public void A_mapped_file_that_was_renamed_behind_the_look_has_its_new_name()
    {
        if (TaskIterator.Own is null || Tools.Find("python3") is null)
        {
            output.WriteLine("skipped: no python, or this kernel, or these rights, do not allow it");
            return;
        }

        IRunningApplication application = bench.Python(
            """
            import mmap, os, time
            out = os.environ['OUT']
            with open(out + '/mapped', 'w+b') as file:
                file.write(b'x' * 8192); file.flush()
                area = mmap.mmap(file.fileno(), 8192)
            open(out + '/log', 'w').write('ready\n')
            time.sleep(1000)
            """);
        bench.ExpectTotal("log", 1);
        foreach ((string before, string now) in (IEnumerable<(string, string)>)[("mapped", "moved"), ("moved", "moved again")])
        {
            Taken taken = Driver.Checkpoint(bench.Bridge, application.Target, prepared: () => File.Move(bench.PathOf(before), bench.PathOf(now)));
            Assert.Contains(taken.Decode().Processes.Single().Memory!.Areas, area => area.Name == bench.PathOf(now));
            Assert.DoesNotContain(taken.Decode().Processes.Single().Memory!.Areas, area => area.Name == bench.PathOf(before));
        }
    }

    // The flags in the text of fdinfo are those that CloseOnExec and Flags say.
    private static object All(DescriptorFacts facts) => (
        facts.Pid, facts.InnerPid, facts.Number, facts.Link, facts.Identity, facts.Flags, (facts.CloseOnExec, facts.Position, string.Join('\n', facts.Locks), FlagsLine().Replace(facts.Info, string.Empty), facts.Signals));

    [GeneratedRegex("^flags:.*\n", RegexOptions.Multiline)]
    private static partial Regex FlagsLine();
}
