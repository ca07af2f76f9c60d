using System.Globalization;
using System.Text.Json;
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
