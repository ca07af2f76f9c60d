using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>What CKPT_STATE says of a process that stands.</summary>
internal sealed class DeviceState
{
    private readonly List<DeviceThread> threads = [];
    private readonly List<byte[]> shared = [];
    private readonly HashSet<int> semaphores = [];
    private readonly List<CkptStructures.File> files = [];
    private readonly Dictionary<uint, CkptStructures.Action> actions = [];
    private readonly Dictionary<uint, CkptStructures.Timer> timers = [];
    private readonly Dictionary<int, CkptStructures.PosixTimer> posixTimers = [];

    /// <summary>Takes records apart.</summary>
    /// <param name="records">As the module wrote them.</param>
    /// <param name="rings">Who knows of its rings.</param>
    public DeviceState(ReadOnlySpan<byte> records, IRingKeeper rings)
    {
        Rings = rings;
        while (records.Length >= Marshal.SizeOf<CkptStructures.Record>())
        {
            CkptStructures.Record record = MemoryMarshal.Read<CkptStructures.Record>(records);
            if (record.Size < Marshal.SizeOf<CkptStructures.Record>() || record.Size > records.Length)
            {
                throw new BridgeException("device.state", "reading the state of a process", $"a record of {record.Size} bytes is impossible", "load the module that belongs to this Holdfast");
            }

            Take(record.Type, records[..(int)record.Size]);
            records = records[(int)record.Size..];
        }
    }

    /// <summary>When it had been read, of this host's CLOCK_MONOTONIC, nanoseconds.</summary>
    public long ReadAt { get; } = Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);

    /// <summary>Who knows of its rings.</summary>
    public IRingKeeper Rings { get; }

    /// <summary>The process.</summary>
    public CkptStructures.Process Process { get; private set; }

    /// <summary>Its threads.</summary>
    public IReadOnlyList<DeviceThread> Threads => threads;

    /// <summary>Signals that wait for the process.</summary>
    public IReadOnlyList<byte[]> Signals => shared;

    /// <summary>Descriptors that are eventfds with EFD_SEMAPHORE, where that was asked.</summary>
    public IReadOnlySet<int> Semaphores => semaphores;

    /// <summary>Adds what it says of open files and of what is shared.</summary>
    /// <param name="snapshot">Where it goes.</param>
    public void AddTo(ProcSnapshot snapshot)
    {
        int pid = Process.Pid;
        snapshot.AddObject(pid, Libc.KCMP_VM, 0, Process.Memory);
        snapshot.AddObject(pid, Libc.KCMP_SIGHAND, 0, Process.Actions);
        foreach (DeviceThread thread in threads)
        {
            snapshot.AddObject(thread.Tid, Libc.KCMP_FILES, 0, thread.Files);
            snapshot.AddObject(thread.Tid, Libc.KCMP_FS, 0, thread.Directories);
        }

        foreach (CkptStructures.File file in files)
        {
            snapshot.AddOwner(pid, (int)file.Fd, new FileOwner((int)file.OwnerType, file.Owner, file.OwnerSignal, file.OwnerUid, file.OwnerEuid));
            snapshot.AddObject(pid, Libc.KCMP_FILE, file.Fd, file.Description);
        }
    }

    /// <summary>What it does on signals.</summary>
    public IReadOnlyDictionary<uint, CkptStructures.Action> Actions => actions;

    /// <summary>Timers of setitimer(2).</summary>
    public IReadOnlyDictionary<uint, CkptStructures.Timer> Timers => timers;

    /// <summary>Timers of timer_create(2) by identifier.</summary>
    public IReadOnlyDictionary<int, CkptStructures.PosixTimer> PosixTimers => posixTimers;

    private void Take(uint type, ReadOnlySpan<byte> record)
    {
        switch (type)
        {
            case CkptAbi.RecordProcess:
                Process = MemoryMarshal.Read<CkptStructures.Process>(record);
                break;
            case CkptAbi.RecordThread:
                threads.Add(new DeviceThread(this, MemoryMarshal.Read<CkptStructures.Thread>(record)));
                break;
            case CkptAbi.RecordRegset:
                CkptStructures.Regset set = MemoryMarshal.Read<CkptStructures.Regset>(record);
                threads[^1].Add((int)set.Note, record.Slice(Marshal.SizeOf<CkptStructures.Regset>(), (int)set.Length));
                break;
            case CkptAbi.RecordSignal:
                byte[] signal = record[(Marshal.SizeOf<CkptStructures.Signal>() - 128)..].ToArray();
                switch (MemoryMarshal.Read<CkptStructures.Signal>(record).Shared)
                {
                    case CkptAbi.SignalProcess:
                        shared.Add(signal);
                        break;
                    case CkptAbi.SignalTracer:
                        threads[^1].HeldByTracer = signal;
                        break;
                    default:
                        threads[^1].Signals.Add(signal);
                        break;
                }

                break;
            case CkptAbi.RecordAction:
                CkptStructures.Action action = MemoryMarshal.Read<CkptStructures.Action>(record);
                actions[action.Signal] = action;
                break;
            case CkptAbi.RecordFile:
                CkptStructures.File file = MemoryMarshal.Read<CkptStructures.File>(record);
                files.Add(file);
                if ((file.State & CkptAbi.FileSemaphore) != 0)
                {
                    semaphores.Add((int)file.Fd);
                }

                break;
            case CkptAbi.RecordTimer:
                CkptStructures.Timer timer = MemoryMarshal.Read<CkptStructures.Timer>(record);
                timers[timer.Which] = timer;
                break;
            case CkptAbi.RecordPosixTimer:
                CkptStructures.PosixTimer posix = MemoryMarshal.Read<CkptStructures.PosixTimer>(record);
                posixTimers[posix.Id] = posix;
                break;
        }
    }
}
