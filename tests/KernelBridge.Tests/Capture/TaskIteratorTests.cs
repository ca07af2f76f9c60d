using System.Globalization;
using System.Text.Json;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>What the kernel tells of threads is what they say of themselves.</summary>
public sealed class TaskIteratorTests(ITestOutputHelper output) : IDisposable
{
    private const string Program =
        """
        import ctypes, os, sys, threading, time
        libc = ctypes.CDLL(None, use_errno=True)
        out = sys.argv[1]
        class Stack(ctypes.Structure):
            _fields_ = [('at', ctypes.c_void_p), ('flags', ctypes.c_int), ('size', ctypes.c_size_t)]
        def must(value):
            assert value >= 0, os.strerror(ctypes.get_errno())
            return value
        def ask(option, kind):
            value = kind(); must(libc.prctl(option, ctypes.byref(value), 0, 0, 0)); return value.value
        def says(i):
            stack = Stack(); must(libc.sigaltstack(None, ctypes.byref(stack)))
            head, length = ctypes.c_void_p(), ctypes.c_size_t()
            must(libc.syscall(274, 0, ctypes.byref(head), ctypes.byref(length)))
            return (f'{threading.get_native_id()} {stack.at or 0} {stack.size} {ask(40, ctypes.c_ulong)} {ask(2, ctypes.c_int)} {libc.prctl(30, 0, 0, 0, 0)} '
                f'{libc.prctl(27, 0, 0, 0, 0)} {head.value or 0} {libc.prctl(39, 0, 0, 0, 0)} {i}')
        barrier, done, told = threading.Barrier(13), threading.Event(), {}
        def body(i):
            memory = ctypes.create_string_buffer(1 << 16)
            if i % 2: must(libc.sigaltstack(ctypes.byref(Stack(ctypes.addressof(memory), 0, 1 << 15)), None))
            must(libc.prctl(29, 70000 + i, 0, 0, 0)); must(libc.prctl(1, 10 + i, 0, 0, 0))
            apart = sys.argv[2:] != ['together']
            if apart and i == 3: must(libc.unshare(0x400))
            if apart and i == 4: must(libc.unshare(0x200))
            if apart and i == 5: must(libc.unshare(0x4000000))
            if i == 6: must(libc.prctl(38, 1, 0, 0, 0))
            if i == 7: must(libc.prctl(28, 0x2f, 0, 0, 0))
            if i == 8: must(libc.prctl(15, b'two\nlines', 0, 0, 0))
            if i == 9: must(libc.prctl(15, b'sixteen and more', 0, 0, 0))
            if i == 10: must(libc.syscall(117, -1, 1234, -1))
            child = os.fork() if apart and i == 11 else -1
            if not child:
                time.sleep(1000)
            told[i] = says(i); barrier.wait(); done.wait()
        for i in range(12): threading.Thread(target=body, args=(i,), daemon=True).start()
        barrier.wait()
        open(out + '/told', 'w').write('\n'.join(told.values()))
        import signal
        signal.signal(signal.SIGUSR1, lambda *a: None); signal.signal(signal.SIGHUP, signal.SIG_IGN); signal.siginterrupt(signal.SIGUSR1, False)
        def action(number):
            words = (ctypes.c_ulong * 4)(); libc.syscall(13, number, None, words, 8); return ' '.join(str(word) for word in words)
        must(libc.syscall(13, 17, (ctypes.c_ulong * 4)(0, 2, 0, 1 << 40), None, 8))
        open(out + '/actions', 'w').write('\n'.join(action(number) for number in range(1, 65)))
        open(out + '/ready', 'w')
        time.sleep(1000)
        """;

    private readonly Bench bench = new(new PtraceBridge());

    public void Dispose() => bench.Dispose();

    [Fact]
    public void What_the_kernel_tells_of_a_thread_is_what_it_says_of_itself()
    {
        if (TaskIterator.Own is not { } iterator)
        {
            output.WriteLine("skipped: this kernel, or these rights, do not allow it");
            return;
        }

        using WatchedProgram? program = WatchedProgram.TryStart(bench, output, Program);
        if (program is null)
        {
            return;
        }

        int pid = program.Pid;
        List<int> children = ProcFs.Children(pid);
        try
        {
            IReadOnlyDictionary<int, TaskRecord> records = iterator.Threads(pid)!;
            Assert.Equal(ProcFs.Threads(pid).Order(), records.Keys.Order());
            TaskRecord leader = records[pid];
            ProcessStatus first = ProcessStatus.Read(pid);
            string[] told = File.ReadAllLines(bench.PathOf("told"));
            Assert.Equal(12, told.Length);
            foreach (ulong[] says in told.Select(line => line.Split(' ').Select(word => ulong.Parse(word, CultureInfo.InvariantCulture)).ToArray()))
            {
                (int tid, int i) = ((int)says[0], (int)says[9]);
                TaskRecord record = records[tid];
                ulong[] recorded =
                    [
                        record.Tid, record.AlternateStackPointer, record.AlternateStackSize, record.ClearTidAddress, record.ParentDeathSignal, record.TimerSlack, record.SecureBits,
                        record.RobustListHead, record.NoNewPrivileges ? 1ul : 0,
                    ];
                Assert.Equal(says[..9], recorded);
                Assert.Equal(i != 3, record.Descriptors == leader.Descriptors);
                // A namespace of mounts or names for itself takes directories for itself first.
                Assert.Equal(i != 4, record.Directories == leader.Directories);
                Assert.Equal(i != 5, record.Namespaces == leader.Namespaces);
                Assert.Equal(i == 11, record.HasChildren);
                Assert.Equal(0ul, record.MemoryPolicy);

                ProcessStatus read = ProcessStatus.TryReadThread(pid, tid)!;
                ProcessStatus? composed = ProcessStatus.TryCompose(first, leader, record);
                Assert.Equal(i is 6 or 7 or 8 or 10, composed is null);
                foreach (string line in composed is null ? [] : (string[])
                    ["Name", "NSpid", "SigPnd", "ShdPnd", "SigBlk", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"])
                {
                    Assert.Equal(read[line], composed![line]);
                }
            }

            Assert.Single(children);
            Assert.Equal(
                File.ReadAllLines(bench.PathOf("actions")),
                iterator.Actions(pid)!.Select(action => string.Create(CultureInfo.InvariantCulture, $"{action.Handler} {action.Flags} {action.Restorer} {action.Mask}")));
        }
        finally
        {
            children.ForEach(child => System.Diagnostics.Process.GetProcessById(child).Kill());
        }
    }

    [Fact]
    public void A_thread_is_captured_the_same_whether_it_is_asked_or_the_kernel_tells_of_it()
    {
        if (Tools.Find("python3") is not { } python)
        {
            output.WriteLine("skipped: no python");
            return;
        }

        File.WriteAllText(bench.PathOf("program.py"), Program);
        IRunningApplication application = bench.Launch(python, bench.PathOf("program.py"), bench.Root, "together");
        bench.Expect("ready");
        string[][] captured =
        [
            .. new[] { false, true, false }.Select(asks => Driver.Checkpoint(new PtraceBridge { AsksThreads = asks }, application.Target).Decode().Processes.Single().Threads
                .Skip(1).Select(thread => JsonSerializer.Serialize(thread)).ToArray()),
        ];
        Assert.Equal(12, captured[0].Length);
        Assert.Single(captured[0], thread => thread.Contains("\"TimerSlack\":70003,", StringComparison.Ordinal));
        Assert.Equal(captured[0], captured[1]);
        Assert.Equal(captured[0], captured[2]);
    }

    [Fact]
    public void A_process_is_captured_the_same_whether_it_is_asked_or_the_kernel_tells_of_it()
    {
        if (TaskIterator.Own is not { } iterator || iterator.First(Environment.ProcessId)?.Words is null || Tools.Find("python3") is null)
        {
            output.WriteLine("skipped: no python, or this kernel, or these rights, do not allow it");
            return;
        }

        // prctl(2): PR_SET_DUMPABLE, CHILD_SUBREAPER, THP_DISABLE, MCE_KILL (early), IO_FLUSHER, MEMORY_MERGE, SECUREBITS, MDWE; membarrier(2): REGISTER_PRIVATE_EXPEDITED.
        string[] changes =
        [
            "os.chdir('/')", "libc.prctl(4, 0, 0, 0, 0)", "libc.prctl(4, 1, 0, 0, 0)", "libc.prctl(36, 1, 0, 0, 0)", "libc.prctl(41, 1, 0, 0, 0)", "libc.prctl(33, 1, 1, 0, 0)", "libc.prctl(57, 1, 0, 0, 0)",
            "libc.prctl(67, 1, 0, 0, 0)", "libc.prctl(28, 0x2, 0, 0, 0)", "libc.syscall(324, 16, 0, 0)", "libc.syscall(330, 0, 0)", "libc.sbrk(1 << 20)",
            "signal.signal(signal.SIGHUP, signal.SIG_IGN); os.kill(os.getpid(), signal.SIGUSR2); libc.sigaltstack(ctypes.byref(stack), None)",
            "signal.setitimer(signal.ITIMER_REAL, 1000, 3)", "signal.setitimer(signal.ITIMER_REAL, 0)", "signal.setitimer(signal.ITIMER_VIRTUAL, 1000)", "signal.setitimer(signal.ITIMER_VIRTUAL, 0)",
            "libc.timer_create(1, None, ctypes.byref(timer))", "libc.timer_delete(timer)", "keep = socket.socketpair(); keep[0].send(b'unread')", "keep = None; libc.prctl(65, 1, 0, 0, 0)",
        ];
        IRunningApplication application = bench.Python(
            $"""
            import ctypes, os, signal, socket
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])
            libc = ctypes.CDLL(None)
            class Stack(ctypes.Structure):
                _fields_ = [('at', ctypes.c_void_p), ('flags', ctypes.c_int), ('size', ctypes.c_size_t)]
            room = ctypes.create_string_buffer(1 << 15)
            stack, timer = Stack(ctypes.addressof(room), 0, 1 << 15), ctypes.c_void_p()
            log = open(os.environ['OUT'] + '/log', 'a', buffering=1)
            for change in {JsonSerializer.Serialize(changes)}:
                print('ready', file=log)
                signal.sigwait([signal.SIGUSR1])
                exec(change)
            print('ready', file=log)
            signal.sigwait([signal.SIGUSR1])
            """);
        PtraceBridge learns = new(), asks = new() { AsksThreads = true };
        for (int step = 0; step <= changes.Length; step++)
        {
            bench.ExpectTotal("log", step + 1);
            string asked = Of(asks);
            // What it learns with the first it knows with the second.
            Assert.Equal((step, asked), (step, Of(learns)));
            Assert.Equal((step, asked), (step, Of(learns)));
            application.Signal(10);
        }

        string Of(PtraceBridge bridge)
        {
            ProcessImage process = Driver.Checkpoint(bridge, application.Target).Decode().Processes.Single();
            return JsonSerializer.Serialize((
                process.Attributes, process.SignalActions, process.PendingSignals, (process.Memory!.Break, process.Memory.ProtectionKeys, process.Memory.AioContexts.Count), process.Threads,
                process.IntervalTimers.Select(timer => timer.Which), process.PosixTimers.Select(timer => timer.Id)), new JsonSerializerOptions { IncludeFields = true });
        }
    }

    [Fact]
    public void What_others_have_answered_is_taken_for_a_process_of_which_the_kernel_tells_the_same()
    {
        if (TaskIterator.Own is not { } iterator || iterator.First(Environment.ProcessId)?.Words is null || Tools.Find("python3") is null)
        {
            output.WriteLine("skipped: no python, or this kernel, or these rights, do not allow it");
            return;
        }

        IRunningApplication application = bench.Python("import os, time; open(os.environ['OUT'] + '/ready', 'w'); time.sleep(1000)");
        bench.Expect("ready");
        // That its memory has been read shows in a word too.
        _ = Driver.Checkpoint(new PtraceBridge(), application.Target);
        PtraceBridge bridge = new();
        bridge.Answers.Learn(iterator.First(application.MainPid)!.Value.Words!.Value, new ProcessAnswers(false, false, 2, 1, 0, false, false, 0x1234, 1 << 3));
        ProcessImage process = Driver.Checkpoint(bridge, application.Target).Decode().Processes.Single();
        Assert.Equal(0x1234, process.Attributes!.MembarrierRegistrations);
        Assert.Equal([3], process.Memory!.ProtectionKeys);

        // Whoever says something else is believed no more.
        bridge.Answers.Learn(iterator.First(application.MainPid)!.Value.Words!.Value, new ProcessAnswers(false, false, 2, 1, 0, false, false, 0, 0));
        Assert.Empty(Driver.Checkpoint(bridge, application.Target).Decode().Processes.Single().Memory!.ProtectionKeys);
    }

    [Fact]
    public void All_of_many_threads_are_told_of()
    {
        if (TaskIterator.Own is null || WatchedProgram.TryStart(
            bench, output,
            """
            import sys, threading, time
            threading.stack_size(65536)
            for i in range(700): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
            open(sys.argv[1] + '/ready', 'w')
            time.sleep(1000)
            """) is not { } program)
        {
            output.WriteLine("skipped: this kernel, or these rights, do not allow it");
            return;
        }

        using (program)
        {
            List<int> threads = ProcFs.Threads(program.Pid);
            Assert.Equal(701, threads.Count);
            Assert.Equal(threads.Order(), TaskIterator.Own.Threads(program.Pid)!.Keys.Order());
        }
    }

    [Fact]
    public void A_process_that_is_not_there_has_no_threads() => Assert.Empty(TaskIterator.Own?.Threads(int.MaxValue) ?? new Dictionary<int, TaskRecord>());
}
