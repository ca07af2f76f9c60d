using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>
/// A session of /dev/ckpt: what it holds is undone by the kernel when it is closed, however this process ends. See ckpt(4).
/// Members may be called from any thread; the kernel serialises them.
/// </summary>
internal sealed unsafe class CkptSession : IRingKeeper, IDisposable
{
    /// <summary>The device.</summary>
    public const string Path = "/dev/ckpt";

    private static readonly (uint Bit, string Name)[] registered =
    [
        (CkptAbi.RingFiles, "files"), (CkptAbi.RingBuffers, "buffers"), (CkptAbi.RingProvided, "provided buffers"), (CkptAbi.RingPersonalities, "personalities"), (CkptAbi.RingEventfd, "an eventfd"),
        (CkptAbi.RingRestrictions, "restrictions"), (CkptAbi.RingWorkers, "limits of its workers"), (CkptAbi.RingClock, "another clock"), (CkptAbi.RingNapi, "busy polling"),
    ];

    private int descriptor;

    private CkptSession(int descriptor, CkptStructures.Version version)
    {
        this.descriptor = descriptor;
        Features = version.Features;
    }

    /// <summary>CKPT_FEATURE_… bits.</summary>
    public ulong Features { get; }

    /// <summary>Opens a session.</summary>
    /// <returns>Null when there is no such device.</returns>
    /// <exception cref="BridgeException">It may not be opened (<c>device.open</c>), or is of another version (<c>device.version</c>).</exception>
    public static CkptSession? TryOpen()
    {
        int descriptor = Libc.open(Path, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (descriptor < 0)
        {
            return Libc.LastError is Errno.ENOENT or Errno.ENXIO
                ? null
                : throw new BridgeException("device.open", $"opening {Path}", Errno.Text(Libc.LastError), "run as root, or as a member of the group ckpt with CAP_SYS_PTRACE");
        }

        CkptStructures.Version version = new() { Size = (uint)sizeof(CkptStructures.Version) };
        if (Libc.ioctl(descriptor, CkptAbi.Version, &version) != 0 || version.Abi != CkptAbi.AbiVersion)
        {
            _ = Libc.close(descriptor);
            throw new BridgeException("device.version", $"asking {Path}", $"its version is {version.Abi}, {CkptAbi.AbiVersion} is needed", "load the module that belongs to this Holdfast");
        }

        return new CkptSession(descriptor, version);
    }

    /// <summary>Takes a process into the session.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="follow">Whether children that it makes from now on belong to it too.</param>
    /// <exception cref="BridgeException"><c>device.attach</c>.</exception>
    public void Attach(int pid, bool follow)
    {
        if (!TryAttach(pid, follow))
        {
            throw new BridgeException("device.attach", $"attaching to process {pid}", Errno.Text(Errno.ESRCH));
        }
    }

    /// <summary>The same, of a process that may have ended.</summary>
    /// <returns>False when it has.</returns>
    /// <exception cref="BridgeException"><c>device.attach</c>.</exception>
    public bool TryAttach(int pid, bool follow)
    {
        CkptStructures.Attach call = new() { Size = (uint)sizeof(CkptStructures.Attach), Pid = pid, Flags = follow ? CkptAbi.AttachFollow : 0 };
        if (Libc.ioctl(descriptor, CkptAbi.Attach, &call) == 0)
        {
            return true;
        }

        // A child of a process that is in it came with it.
        if (Libc.LastError == Errno.EEXIST)
        {
            return true;
        }

        ThrowUnless(Errno.ESRCH, "device.attach", $"attaching to process {pid}");
        return false;
    }

    /// <summary>The processes of the session.</summary>
    public int[] Processes()
    {
        for (int[] pids = new int[64]; ; pids = new int[pids.Length * 2])
        {
            fixed (int* room = pids)
            {
                CkptStructures.List call = new() { Size = (uint)sizeof(CkptStructures.List), Count = (uint)pids.Length, Pids = (ulong)room };
                if (Libc.ioctl(descriptor, CkptAbi.List, &call) == 0)
                {
                    return pids[..(int)call.Count];
                }

                ThrowUnless(Errno.ENOSPC, "device.list", "listing the processes of the session");
            }
        }
    }

    /// <summary>Freezes a control group and waits until every thread of the session stands. The kernel thaws it when the session ends.</summary>
    /// <param name="cgroup">The directory of the group.</param>
    /// <param name="deadline">1 ms to 60 s.</param>
    /// <returns>How many threads stand.</returns>
    /// <exception cref="BridgeException"><c>freeze.timeout</c>, naming a thread that did not stand: all run again; or <c>device.freeze</c>.</exception>
    public int Freeze(string cgroup, TimeSpan deadline) => TryFreeze(cgroup, deadline, 0, out string late) is { } threads
        ? threads
        : throw new BridgeException("freeze.timeout", "freezing the application", $"{late} did not stand within {deadline.TotalSeconds:0.#} s");

    /// <summary>The same, as a question.</summary>
    /// <param name="cgroup">The directory of the group.</param>
    /// <param name="deadline">1 ms to 60 s.</param>
    /// <param name="flags">CKPT_FREEZE_….</param>
    /// <param name="late">Who did not stand.</param>
    /// <returns>How many threads stand; null when one does not: all run again.</returns>
    /// <exception cref="BridgeException"><c>device.freeze</c>.</exception>
    public int? TryFreeze(string cgroup, TimeSpan deadline, uint flags, out string late)
    {
        late = string.Empty;
        string path = System.IO.Path.Combine(cgroup, "cgroup.freeze");
        int freezer = Libc.open(path, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (freezer < 0)
        {
            throw new BridgeException("device.freeze", $"opening {path}", Errno.Text(Libc.LastError));
        }

        try
        {
            CkptStructures.Freeze call = new() { Size = (uint)sizeof(CkptStructures.Freeze), Flags = flags, CgroupFreeze = freezer, TimeoutMs = (uint)Math.Clamp(deadline.TotalMilliseconds, 1, CkptAbi.FreezeTimeoutMax) };
            if (Libc.ioctl(descriptor, CkptAbi.Freeze, &call) == 0)
            {
                return (int)call.Threads;
            }

            if (Libc.LastError is not (Errno.ETIMEDOUT or Errno.EAGAIN))
            {
                throw new BridgeException("device.freeze", $"freezing {cgroup}", Errno.Text(Libc.LastError));
            }

            late = $"thread {call.LateTid} of process {call.LatePid} (system call {call.LateSyscall})";
            return null;
        }
        finally
        {
            _ = Libc.close(freezer);
        }
    }

    /// <summary>Undoes <see cref="Freeze"/>.</summary>
    public void Thaw()
    {
        CkptStructures.Thaw call = new() { Size = (uint)sizeof(CkptStructures.Thaw) };
        Call("device.thaw", "thawing the application", CkptAbi.Thaw, &call);
    }

    /// <summary>Waits until a process of the session stands by the freezer alone; one that has ended does.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="end">Until when, as <see cref="Environment.TickCount64"/>.</param>
    /// <exception cref="BridgeException">It does not.</exception>
    public void AwaitStanding(int pid, long end)
    {
        CkptStructures.State call = new() { Size = (uint)sizeof(CkptStructures.State), Pid = pid };
        while (Libc.ioctl(descriptor, CkptAbi.State, &call) != 0 && Libc.LastError == Errno.EBUSY)
        {
            if (Environment.TickCount64 > end)
            {
                throw new BridgeException("freeze.timeout", $"waiting for process {pid}", "it does not stand again");
            }

            _ = Libc.usleep(20);
            call.Length = 0;
        }
    }

    /// <summary>The state of a process that stands: records that begin with <see cref="CkptStructures.Record"/>.</summary>
    /// <param name="pid">The process.</param>
    /// <returns>Null when it has ended.</returns>
    /// <exception cref="BridgeException"><c>device.state</c>.</exception>
    public byte[]? TryState(int pid)
    {
        for (byte[] bytes = new byte[128 << 10]; ;)
        {
            fixed (byte* room = bytes)
            {
                CkptStructures.State call = new()
                {
                    Size = (uint)sizeof(CkptStructures.State), Pid = pid, Buffer = (ulong)room, Length = (ulong)bytes.Length,
                    Flags = (Features & CkptAbi.FeatureSemaphores) != 0 ? CkptAbi.StateSemaphores : 0,
                };
                if (Libc.ioctl(descriptor, CkptAbi.State, &call) == 0)
                {
                    return bytes[..(int)call.Length];
                }

                if (Libc.LastError == Errno.ESRCH)
                {
                    return null;
                }

                ThrowUnless(Errno.ENOSPC, "device.state", $"reading the state of process {pid}");
                bytes = new byte[call.Length];
            }
        }
    }

    /// <summary>Sets the registers with which a thread goes on.</summary>
    /// <param name="pid">Its process, which stands.</param>
    /// <param name="tid">The thread.</param>
    /// <param name="registers">The registers.</param>
    public void SetRegisters(int pid, int tid, in UserRegisters registers)
    {
        fixed (UserRegisters* bytes = &registers)
        {
            CkptStructures.Registers call = new()
            {
                Size = (uint)sizeof(CkptStructures.Registers), Pid = pid, Tid = tid, Note = (uint)X64.NotePrstatus, Length = (uint)sizeof(UserRegisters), Buffer = (ulong)bytes,
            };
            Call("device.registers", $"setting registers of thread {tid}", CkptAbi.Registers, &call);
        }
    }

    /// <summary>Used pages of a process that stands, as page records, from an address on until the buffer is full.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="ranges">Ascending, of whole pages.</param>
    /// <param name="next">In: where to begin; out: where to go on; <see cref="ulong.MaxValue"/> when all is done.</param>
    /// <param name="buffer">At least one record.</param>
    /// <param name="dirty">Only what was written since soft-dirty bits were cleared.</param>
    /// <returns>Bytes in the buffer.</returns>
    public int Pages(int pid, ReadOnlySpan<CkptStructures.Range> ranges, ref ulong next, Span<byte> buffer, bool dirty = false)
    {
        fixed (CkptStructures.Range* list = ranges)
        fixed (byte* room = buffer)
        {
            CkptStructures.Pages call = new() { Size = (uint)sizeof(CkptStructures.Pages), Pid = pid, Count = (uint)ranges.Length, Ranges = (ulong)list, Buffer = (ulong)room, Length = (ulong)buffer.Length, Next = next };
            Call("device.pages", $"reading pages of process {pid}", dirty ? CkptAbi.Dirty : CkptAbi.Pages, &call);
            next = call.Next;
            return (int)call.Length;
        }
    }

    /// <summary>Puts page records into the memory of a process that stands.</summary>
    public void Put(int pid, ReadOnlySpan<byte> records)
    {
        fixed (byte* bytes = records)
        {
            CkptStructures.Put call = new() { Size = (uint)sizeof(CkptStructures.Put), Pid = pid, Buffer = (ulong)bytes, Length = (ulong)records.Length };
            Call("device.put", $"writing pages of process {pid}", CkptAbi.Put, &call);
        }
    }

    /// <summary>Reads files and links of procfs, many in one call.</summary>
    /// <param name="names">Each with what is asked for in front: CKPT_READ_….</param>
    /// <param name="answer">Called for each, in their order, with its errno and what was asked for.</param>
    public void Read(IReadOnlyList<string> names, Action<string, int, ReadOnlySpan<byte>> answer)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(1 << 20);
        try
        {
            for (int done = 0; done < names.Count;)
            {
                byte[] text = Encoding.UTF8.GetBytes(string.Join('\0', names.Skip(done)) + '\0');
                fixed (byte* list = text)
                fixed (byte* room = buffer)
                {
                    CkptStructures.Read call = new()
                    {
                        Size = (uint)sizeof(CkptStructures.Read), Count = (uint)(names.Count - done), NamesLength = (uint)text.Length, Names = (ulong)list, Buffer = (ulong)room, Length = (ulong)buffer.Length,
                    };
                    if (Libc.ioctl(descriptor, CkptAbi.Read, &call) != 0)
                    {
                        ThrowUnless(Errno.ENOSPC, "device.read", "reading procfs");
                        ArrayPool<byte>.Shared.Return(buffer);
                        buffer = ArrayPool<byte>.Shared.Rent(buffer.Length * 4);
                        continue;
                    }

                    ReadOnlySpan<byte> records = buffer.AsSpan(0, (int)call.Length);
                    for (uint i = 0; i < call.Count; i++, done++)
                    {
                        CkptStructures.Content content = MemoryMarshal.Read<CkptStructures.Content>(records);
                        answer(names[done], (int)content.Error, records.Slice(sizeof(CkptStructures.Content), (int)content.Length));
                        records = records[(int)content.Size..];
                    }
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Has the settings of a socket put back when this session ends, or by <see cref="PutBack"/>: SO_PEEK_OFF, SO_RCVBUF, SO_BUF_LOCK.</summary>
    /// <param name="socket">A descriptor of this process.</param>
    public void Keep(int socket) => Keep(socket, 0);

    /// <summary>Puts them back.</summary>
    public void PutBack(int socket) => Keep(socket, CkptAbi.KeepUndo);

    private void Keep(int socket, uint flags)
    {
        CkptStructures.Keep call = new() { Size = (uint)sizeof(CkptStructures.Keep), Flags = flags, Fd = socket };
        Call("device.keep", "noting the settings of a socket", CkptAbi.Keep, &call);
    }

    /// <inheritdoc/>
    public UringFacts? TryRead(int ring)
    {
        CkptStructures.Ring call = new() { Size = (uint)sizeof(CkptStructures.Ring), Fd = ring };
        if ((Features & CkptAbi.FeatureRing) == 0)
        {
            return null;
        }

        Call("device.ring", "looking at an io_uring", CkptAbi.Ring, &call);
        UringLayout layout = new(
            call.SqHeadAt, call.SqTailAt, call.SqMaskAt, call.SqEntriesAt, call.SqFlagsAt, call.SqDroppedAt, call.SqArrayAt == CkptAbi.RingNoArray ? null : call.SqArrayAt,
            call.CqHeadAt, call.CqTailAt, call.CqMaskAt, call.CqEntriesAt, call.CqOverflowAt, call.CqFlagsAt, call.CqesAt);
        return new UringFacts(call.Setup, call.SqEntries, call.CqEntries, call.SqHead, call.CqTail, (long)call.InFlight, (long)call.References, call.Issuer, Registered(call.Has), (call.Has & CkptAbi.RingOverflow) != 0, layout);
    }

    /// <inheritdoc/>
    public void CountOn(int ring, uint taken, uint given)
    {
        CkptStructures.Ring call = new() { Size = (uint)sizeof(CkptStructures.Ring), Flags = CkptAbi.RingSet, Fd = ring, SqHead = taken, CqTail = given };
        Call("restore.io_uring", "letting an io_uring count on", CkptAbi.Ring, &call);
    }

    /// <inheritdoc/>
    public bool KnowsContexts => (Features & CkptAbi.FeatureAio) != 0;

    /// <inheritdoc/>
    public long? TryCountInFlight(int pid, ulong context)
    {
        CkptStructures.Ring call = new() { Size = (uint)sizeof(CkptStructures.Ring), Fd = -1, Pid = pid, Address = context };
        return Libc.ioctl(descriptor, CkptAbi.Ring, &call) == 0 ? (long)call.InFlight
            : Libc.LastError is Errno.ENOENT or Errno.EOPNOTSUPP ? null : throw new BridgeException("device.ring", $"looking at a context of Linux AIO of process {pid}", Errno.Text(Libc.LastError));
    }

    private static IReadOnlyList<string> Registered(uint has) => [.. registered.Where(kind => (has & kind.Bit) != 0).Select(kind => kind.Name)];

    /// <summary>What has happened since the last call, in order; does not wait.</summary>
    /// <param name="lost">How many events could not be kept: the processes have to be listed again.</param>
    public CkptStructures.Event[] Events(out ulong lost)
    {
        CkptStructures.Event[] events = new CkptStructures.Event[512];
        fixed (CkptStructures.Event* room = events)
        {
            CkptStructures.Events call = new() { Size = (uint)sizeof(CkptStructures.Events), Count = (uint)events.Length, Target = (ulong)room };
            Call("device.events", "taking events", CkptAbi.Events, &call);
            lost = call.Lost;
            return events[..(int)call.Count];
        }
    }

    /// <summary>For poll(2): POLLPRI when something has happened.</summary>
    public int Descriptor => descriptor;

    /// <summary>Opens a barrier for processes to wait at for each other; one at a time.</summary>
    /// <param name="pids">Who is expected.</param>
    /// <param name="timeout">How long they wait, 1 ms to 60 s.</param>
    /// <returns>Its descriptor, to be handed to them and closed by the caller; null when one of them has ended.</returns>
    /// <exception cref="BridgeException"><c>device.barrier</c>.</exception>
    public int? TryOpenBarrier(ReadOnlySpan<int> pids, TimeSpan timeout)
    {
        fixed (int* list = pids)
        {
            CkptStructures.Barrier call = new()
            {
                Size = (uint)sizeof(CkptStructures.Barrier), Count = (uint)pids.Length, TimeoutMs = (uint)Math.Clamp(timeout.TotalMilliseconds, 1, CkptAbi.FreezeTimeoutMax), Pids = (ulong)list,
            };
            if (Libc.ioctl(descriptor, CkptAbi.Barrier, &call) == 0)
            {
                return call.Fd;
            }

            ThrowUnless(Errno.ESRCH, "device.barrier", "opening a barrier");
            return null;
        }
    }

    /// <summary>Lets those go on who wait at the barrier.</summary>
    public void ReleaseBarrier()
    {
        CkptStructures.Barrier call = new() { Size = (uint)sizeof(CkptStructures.Barrier), Flags = CkptAbi.BarrierOpen };
        Call("device.barrier", "opening the barrier", CkptAbi.Barrier, &call);
    }

    /// <summary>Ends the session: what it froze runs again.</summary>
    public void Dispose()
    {
        int last = Interlocked.Exchange(ref descriptor, -1);
        _ = last >= 0 ? Libc.close(last) : 0;
    }

    private void Call(string code, string what, uint request, void* argument)
    {
        if (Libc.ioctl(descriptor, request, argument) != 0)
        {
            throw new BridgeException(code, what, Errno.Text(Libc.LastError));
        }
    }

    private static void ThrowUnless(int expected, string code, string what)
    {
        if (Libc.LastError != expected)
        {
            throw new BridgeException(code, what, Errno.Text(Libc.LastError));
        }
    }
}
