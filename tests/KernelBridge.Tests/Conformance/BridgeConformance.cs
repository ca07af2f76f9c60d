using Holdfast.KernelBridge.Tests.Spaces;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>What every bridge must do, asked through <see cref="IKernelBridge"/> only.</summary>
public abstract class BridgeConformance(IBridgeFactory factory) : IDisposable
{
    internal const string CountingPipeline =
        """
        trap 'echo end >>$OUT/log; exit 0' TERM
        mkfifo_free() { for ((i = 1; ; i++)); do echo $i; sleep 0.01; done; }
        mkfifo_free | while read -r n; do echo "$n $((n * n))"; done | (while read -r a b; do echo "$a $b" >>$OUT/log; done) &
        wait
        """;

    protected Bench Bench { get; } = new(factory.Create());

    [Fact]
    public void A_pipeline_goes_on_exactly_where_it_was()
    {
        IRunningApplication application = Bench.Shell(CountingPipeline);
        Bench.ExpectLines("log", 20);
        for (int i = 0; i < 3; i++)
        {
            // Killed while it stands: the log then ends where the image ends.
            Taken taken = Bench.Checkpoint(application, kill: true);
            application = Bench.Restore(taken);
            Bench.ExpectLines("log", 20);
        }

        AssertSquares(Bench.Lines("log"));
    }

    [Fact]
    public void A_checkpoint_does_not_disturb_what_it_leaves_running()
    {
        IRunningApplication application = Bench.Shell(CountingPipeline);
        for (int i = 0; i < 10; i++)
        {
            Bench.ExpectLines("log", 5);
            Bench.Checkpoint(application);
        }

        Bench.ExpectLines("log", 20);
        AssertSquares(Bench.Lines("log"));
        foreach (int pid in Driver.Processes(Bench.Bridge, application.Target))
        {
            Health.AssertRuns(pid, mayBlock: 1ul << 16);
        }
    }

    [Fact]
    public void A_checkpoint_that_is_given_up_while_all_stand_ends_no_call()
    {
        // These calls return EINTR after any stop, even when no handler ran (signal(7)).
        IRunningApplication application = Bench.Python(
            """
            import ctypes, errno, os, select, threading, time
            libc = ctypes.CDLL(None, use_errno=True)
            class Operation(ctypes.Structure): _fields_ = [('number', ctypes.c_ushort), ('value', ctypes.c_short), ('flags', ctypes.c_short)]
            class Time(ctypes.Structure): _fields_ = [('seconds', ctypes.c_long), ('nanoseconds', ctypes.c_long)]
            semaphores = libc.semget(0, 1, 0o600)
            take = ctypes.byref(Operation(0, -1, 0))
            epoll = select.epoll()
            events = ctypes.create_string_buffer(64)
            nothing = ctypes.create_string_buffer(128)
            calls = {
                'semop': lambda: libc.semop(semaphores, take, 1),
                'semtimedop': lambda: libc.semtimedop(semaphores, take, 1, ctypes.byref(Time(1000, 0))),
                'epoll_wait': lambda: libc.epoll_wait(epoll.fileno(), events, 1, 1000000),
                'sigtimedwait': lambda: libc.sigtimedwait(nothing, None, ctypes.byref(Time(1000, 0))),
            }
            def call(name):
                result = calls[name]()
                word = 'ok' if result == 0 else errno.errorcode[ctypes.get_errno()]
                with open(os.environ['OUT'] + '/' + name, 'w') as file: file.write(word)
            for name in calls: threading.Thread(target=call, args=(name,)).start()
            with open(os.environ['OUT'] + '/log', 'w') as log:
                while True: print('line', file=log, flush=True); time.sleep(0.01)
            """);
        Bench.ExpectLines("log", 20);
        foreach (string phase in (string[])["quiesce", "locate", "quiesce", "locate"])
        {
            Assert.Throws<OperationCanceledException>(() => Driver.Checkpoint(
                Bench.Bridge, application.Target, new MemoryPages(), WriteTracking.Off, passed: passed => _ = passed == phase ? throw new OperationCanceledException() : 0));
        }

        Bench.ExpectLines("log", 20);
        Assert.Equal([], ((string[])["semop", "semtimedop", "epoll_wait", "sigtimedwait"]).Where(call => File.Exists(Bench.PathOf(call))).Select(call => $"{call}: {File.ReadAllText(Bench.PathOf(call))}"));
    }

    [Fact]
    public void Python_threads_and_workers_keep_their_state()
    {
        IRunningApplication application = Bench.Python(
            """
            import multiprocessing, os, threading, time
            out = os.environ['OUT']
            def work(inbox, outbox):
                total = 0
                while True:
                    n = inbox.recv()
                    total += n
                    outbox.send((n, total))
            inbox_r, inbox_w = multiprocessing.Pipe(False)
            outbox_r, outbox_w = multiprocessing.Pipe(False)
            multiprocessing.Process(target=work, args=(inbox_r, outbox_w), daemon=True).start()
            counts = [0] * 4
            def spin(i):
                while True:
                    counts[i] += 1
                    time.sleep(0.001)
            for i in range(4): threading.Thread(target=spin, args=(i,), daemon=True).start()
            n = 0
            with open(out + '/log', 'a') as log:
                while True:
                    n += 1
                    inbox_w.send(n)
                    m, total = outbox_r.recv()
                    assert m == n and total == n * (n + 1) // 2
                    print(n, total, file=log, flush=True)
                    time.sleep(0.005)
            """);
        Bench.ExpectLines("log", 20);
        application = Bench.Restore(Bench.Checkpoint(application, kill: true));
        Bench.ExpectLines("log", 50);
        string[] lines = Bench.Lines("log");
        Assert.Equal(Enumerable.Range(1, lines.Length).Select(n => $"{n} {(long)n * (n + 1) / 2}"), lines);
    }

    [Fact]
    public void Perl_goes_on_and_ends_with_its_own_status()
    {
        IRunningApplication application = Bench.Launch(
            "perl", "-e", "$| = 1; open my $log, '>>', \"$ENV{OUT}/log\"; $log->autoflush(1); my %seen; for my $i (1..400) { $seen{$i} = $i; print $log \"$i \", scalar(keys %seen), \"\\n\"; select undef, undef, undef, 0.005 } exit 42");
        Bench.ExpectLines("log", 20);
        application = Bench.Restore(Bench.Checkpoint(application, kill: true));
        Assert.Equal(42, Bench.Finish(application));
        Assert.Equal(Enumerable.Range(1, 400).Select(n => $"{n} {n}"), Bench.Lines("log"));
    }

    [Fact]
    public void A_process_knows_where_its_arguments_lie_before_it_has_a_stack()
    {
        // Whoever reads its command line before that touches memory where the builder's was; a stack above that place grows down to it (mm/mmap.c,
        // expand_stack). The same call gives the process its executable, which is easier seen.
        string program = Bench.PathOf("sleeper");
        File.Copy("/usr/bin/sleep", program);
        File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        Taken taken = Bench.Checkpoint(Bench.Launch(program, "1000"), kill: true);
        List<int> seen = [];
        taken.Pages.BeforeRead = () => seen.Add(Directory.EnumerateDirectories("/proc").Count(process => new FileInfo(process + "/exe").LinkTarget == program));

        Bench.Restore(taken);

        Assert.NotEmpty(seen);
        Assert.All(seen, count => Assert.Equal(1, count));
    }

    [Fact]
    public void One_snapshot_can_be_restored_again_and_again()
    {
        IRunningApplication application = Bench.Shell("i=0; while :; do i=$((i+1)); echo $i >>$OUT/log; sleep 0.01; done");
        Bench.ExpectLines("log", 5);
        Taken taken = Bench.Checkpoint(application, kill: true);
        int there = Bench.Lines("log").Length;
        for (int i = 0; i < 3; i++)
        {
            Bench.ExpectLines("log", 0);
            int before = Bench.Lines("log").Length;
            IRunningApplication restored = Bench.Restore(taken);
            Bench.ExpectLines("log", 3);
            Assert.Contains(int.Parse(Bench.Lines("log")[before]), new[] { there, there + 1 });
            restored.Kill();
        }
    }

    [Fact]
    public void What_cannot_be_captured_is_named_and_goes_on()
    {
        IRunningApplication application = Bench.Python(
            """
            import os, socket, time
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            open(os.environ['OUT'] + '/ready', 'w')
            while True: time.sleep(0.01)
            """);
        Bench.Expect("ready");
        Assert.Equal(["fd.socket"], Bench.RefusalsOf(application));
    }

    public void Dispose() => Bench.Dispose();

    internal static void AssertSquares(string[] lines)
    {
        for (long i = 0; i < lines.Length; i++)
        {
            Assert.Equal($"{i + 1} {(i + 1) * (i + 1)}", lines[i]);
        }
    }
}

/// <summary>The suite over the ptrace bridge.</summary>
public sealed class PtraceBridgeConformance() : BridgeConformance(new PtraceBridgeFactory());
