using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>A bridge to no kernel: keeps the contract's rules, and fails where a test says so.</summary>
internal sealed class FakeBridge : IKernelBridge
{
    private readonly ConcurrentDictionary<int, FakeProcess> _processes = new();
    private readonly ConcurrentQueue<string> _calls = new();
    private int _pumping;
    private int _awake;

    public FakeBridge(params int[] pids)
    {
        foreach (int pid in pids)
        {
            Add(pid);
        }
    }

    public string Name => "fake";

    public bool Frozen { get; set; }

    /// <summary>Breaks the contract in a way that only the coordinator meets.</summary>
    public bool LocatesToNull { get; init; }

    public Func<int, IReadOnlyList<Refusal>> RefusesInPrepare { get; set; } = _ => [];

    public Func<int, IReadOnlyList<Refusal>> RefusesInLocate { get; set; } = _ => [];

    /// <summary>Processes whose memory cannot be kept when they go on.</summary>
    public Func<int, bool> CannotKeep { get; set; } = _ => false;

    public int MostPumpsAtOnce { get; private set; }

    public int OpenCheckpoints { get; set; }

    /// <summary>How many keep the processors awake now.</summary>
    public int Awake => Volatile.Read(ref _awake);

    public FakeApplication Application { get; } = new();

    public FakeRestore? Restore { get; set; }

    /// <summary>What a lazy restore, or an adoption, still has to load.</summary>
    public FakeLoading? Loading { get; init; }

    public IReadOnlyList<Refusal> RestoreRefusals { get; set; } = [];

    /// <summary>The barrier of an application that is intercepted.</summary>
    public Func<IRendezvous?> Rendezvous { get; set; } = () => null;

    /// <summary>Runs at the start of every call, with its name and pid (0 for the application): throws, hangs, or changes the world.</summary>
    public Action<string, int> Before { get; set; } = (_, _) => { };

    /// <summary>The calls in their order, such as <c>Stop 7</c>.</summary>
    public IReadOnlyList<string> Calls => [.. _calls];

    public IEnumerable<FakeProcess> Processes => _processes.Values;

    public IEnumerable<string> Violations => Processes.SelectMany(p => p.Violations);

    public FakeProcess Add(int pid) => _processes[pid] = new FakeProcess(pid);

    public FakeProcess Process(int pid) => _processes[pid];

    public void Call(string call, int pid)
    {
        _calls.Enqueue(pid == 0 ? call : $"{call} {pid}");
        Before(call, pid);
    }

    public IReadOnlyList<CheckRow> CheckHost() => [];

    public IReadOnlyList<CheckRow> CheckApplication(ApplicationTarget target) => [];

    public IRunningApplication Launch(LaunchRequest request)
    {
        Call("Launch", 0);
        return Application;
    }

    public IMemoryLoading? ContinueLoading(ApplicationTarget target, Func<LoadingSource> source)
    {
        Call("ContinueLoading", 0);
        _ = source();
        return Loading;
    }

    public IRunningApplication? Find(ApplicationTarget target)
    {
        Call("Find", 0);
        return Application;
    }

    public ICheckpoint BeginCheckpoint(ApplicationTarget target, WriteTracking tracking = WriteTracking.Off)
    {
        Call("BeginCheckpoint", 0);
        OpenCheckpoints++;
        return new Checkpoint(this);
    }

    public IDisposable? KeepProcessorsAwake()
    {
        Interlocked.Increment(ref _awake);
        return new Wakefulness(this);
    }

    /// <summary>How many bytes were made present in all.</summary>
    public long Present { get; private set; }

    public void MakePresent(nint start, long length) => Present += length;

    /// <summary>What <see cref="PrivateMemory"/> says.</summary>
    public long Memory { get; set; } = 1000;

    public long PrivateMemory(ApplicationTarget target) => Memory;

    public IRendezvous? BeginRendezvous(ApplicationTarget target) => Rendezvous();

    public IRestore BeginRestore(RestoreRequest request)
    {
        Call("BeginRestore", 0);
        Restore = new FakeRestore(this, request);
        return Restore;
    }

    /// <summary>An image that nobody looks into.</summary>
    public static T Opaque<T>() => (T)RuntimeHelpers.GetUninitializedObject(typeof(T));

    private static BridgeException Gone(int pid) => new("process.gone", $"process {pid}", "it has ended");

    private sealed class Wakefulness(FakeBridge bridge) : IDisposable
    {
        private int _ended;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _ended, 1) == 0)
            {
                Interlocked.Decrement(ref bridge._awake);
            }
        }
    }

    private sealed class Checkpoint(FakeBridge bridge) : ICheckpoint
    {
        private int _using;
        private bool _disposed;

        public TimeSpan FreezeTime => TimeSpan.FromMilliseconds(5);

        public IReadOnlyList<int> FindProcesses() => Alone("FindProcesses", () => (IReadOnlyList<int>)[
            .. bridge.Processes.Where(p => !p.Exited).Select(p => p.Pid).Order()]);

        public IProcessCheckpoint Open(int pid) => Alone($"Open {pid}", () => bridge.Process(pid).Exited ? throw Gone(pid) : new ProcessCheckpoint(bridge, pid));

        public void Freeze(TimeSpan deadline) => Alone("Freeze", () => bridge.Frozen = true);

        public void Thaw() => Alone("Thaw", () => bridge.Frozen = false);

        public IReadOnlyList<Refusal> Locate(IReadOnlyList<ProcessFacts> processes) => Alone("LocateShared", () => bridge.LocatesToNull ? null! : (IReadOnlyList<Refusal>)[]);

        public ApplicationImage Assemble(IReadOnlyList<ProcessImage> processes) => Alone("Assemble", Opaque<ApplicationImage>);

        public PageCounts PumpShared(IPageSink sink) => Alone("PumpShared", () =>
        {
            sink.Write("shared/1", 0, new byte[16]);
            return new PageCounts(16, 16, 0, 0, 0);
        });

        public void Dispose()
        {
            if (!_disposed)
            {
                _disposed = true;
                bridge.Frozen = false;
                bridge.OpenCheckpoints--;
                bridge.Call("DisposeCheckpoint", 0);
            }
        }

        private T Alone<T>(string call, Func<T> action)
        {
            if (Interlocked.Increment(ref _using) != 1 || _disposed)
            {
                bridge.Processes.First().Violations.Add($"{call} while another member was at work, or after the end");
            }

            try
            {
                bridge.Call(call.Split(' ')[0], call.Contains(' ') ? int.Parse(call.Split(' ')[1]) : 0);
                return action();
            }
            finally
            {
                Interlocked.Decrement(ref _using);
            }
        }
    }

    private sealed class ProcessCheckpoint(FakeBridge bridge, int pid) : IProcessCheckpoint
    {
        private readonly FakeProcess _process = bridge.Process(pid);
        private bool _disposed;
        private bool _kept;

        public int Pid => pid;

        public IReadOnlyList<Refusal> Prepare() => Do("Prepare", () => bridge.RefusesInPrepare(pid));

        public int Stop(TimeSpan deadline) => Do("Stop", () =>
        {
            _process.Stop();
            return _process.Threads;
        });

        public ProcessFacts Locate() => Standing("Locate", () => new ProcessFacts(pid, _process.Threads, bridge.RefusesInLocate(pid)));

        public ProcessImage CaptureState() => Standing("CaptureState", Opaque<ProcessImage>);

        public bool KeepMemory(IPageSink? sink = null) => Standing("KeepMemory", () => _kept = !bridge.CannotKeep(pid));

        public PageCounts PumpPages(IPageSink sink) => Do("PumpPages", () =>
        {
            if (!_kept && !_process.Stands)
            {
                _process.Violations.Add($"pages of {pid} were pumped while it ran, and nothing was kept");
            }

            int now = Interlocked.Increment(ref bridge._pumping);
            bridge.MostPumpsAtOnce = Math.Max(bridge.MostPumpsAtOnce, now);
            try
            {
                for (int i = 0; i < 4; i++)
                {
                    sink.Write($"mem/{pid}", i * 4096, new byte[4096]);
                }
            }
            finally
            {
                Interlocked.Decrement(ref bridge._pumping);
            }

            return new PageCounts(5 * 4096, 4 * 4096, 1, 0, 0);
        });

        public void Resume() => Do("Resume", () =>
        {
            _process.Resume();
            return 0;
        });

        public void Dispose()
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _process.Touch("Dispose");
            _process.Resume();
            _process.Detached();
        }

        private T Do<T>(string call, Func<T> action)
        {
            _process.Touch(call);
            bridge.Call(call, pid);
            return _process.Exited ? throw Gone(pid) : action();
        }

        private T Standing<T>(string call, Func<T> action) => Do(call, () =>
        {
            if (!_process.Stands || bridge.Frozen)
            {
                _process.Violations.Add($"{call} of {pid}, which {(bridge.Frozen ? "is frozen" : "runs")}");
            }

            return action();
        });
    }
}
