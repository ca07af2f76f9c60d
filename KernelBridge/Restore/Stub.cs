using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>Addresses, free in every process of an image, at which a restore works.</summary>
/// <param name="Arena">Start of the arena: the interpreter's page, then records, then data.</param>
/// <param name="Scratch">Start of the room in which shared memory lies before it is mapped where it belongs.</param>
/// <param name="ScratchSize">Bytes of it.</param>
internal sealed record WorkArea(ulong Arena, ulong Scratch, ulong ScratchSize)
{
    public const ulong RecordsOffset = 0x10000, DataOffset = 0x810000, ArenaSize = 0x4810000;

    public ulong Records => Arena + RecordsOffset;

    public ulong Data => Arena + DataOffset;

    public bool Contains(ulong start, ulong end) =>
        (start < Arena + ArenaSize && end > Arena) || (ScratchSize > 0 && start < Scratch + ScratchSize && end > Scratch);

    /// <summary>Finds holes that no area of the image uses.</summary>
    public static WorkArea Find(ApplicationImage image)
    {
        // Shared objects lie one behind the other in the scratch room, each with a gap.
        ulong scratch = (ulong)image.SharedMemory.Sum(shared => ((shared.Size + 0xfff) & ~0xfffL) + 0x10000 + shared.PageSize);
        List<(ulong Start, ulong End)> used = [.. image.Processes.Where(process => process.Memory is not null)
            .SelectMany(process => process.Memory!.Areas).Select(area => (area.Start, area.End)).Order()];
        const ulong gap = 0x4000000;
        ulong at = 0x100000000;
        ulong needed = ArenaSize + scratch + 3 * gap;
        foreach ((ulong start, ulong end) in used)
        {
            if (start > at && start - at >= needed)
            {
                break;
            }

            at = Math.Max(at, (end + 0xfff) & ~0xffful);
        }

        ulong arena = (at + gap + 0xffff) & ~0xfffful;
        return arena + needed < 0x7fff00000000
            ? new WorkArea(arena, (arena + ArenaSize + gap) & ~0xfffful, scratch)
            : throw new BridgeException("restore.space", "looking for free addresses", "the image leaves none", string.Empty);
    }
}

/// <summary>A process that is being built. It dies with its builder.</summary>
internal sealed class Stub : IDisposable
{
    public const int TraceOptions = PtraceCall.OptionSysGood | PtraceCall.OptionExitKill | PtraceCall.OptionTraceFork | PtraceCall.OptionTraceClone | PtraceCall.OptionTraceVfork;

    private readonly WorkArea area;

    public Stub(Tracee thread, WorkArea area)
    {
        Thread = thread;
        this.area = area;
        Memory = new TargetMemory(thread.Pid);
    }

    public Tracee Thread { get; }

    public int HostPid => Thread.Pid;

    public TargetMemory Memory { get; }

    public SyscallTape NewTape() => new(area.Data);

    /// <summary>Seizes the root stub and gives it its arena, in which the interpreter lies.</summary>
    public static Stub Adopt(int pid, WorkArea area)
    {
        Tracee thread = Tracee.Seize(pid, pid, TraceOptions) ?? throw new BridgeException("restore.stub", "seizing the root stub", "it ended");
        thread.Interrupt();
        if (!thread.WaitUntilStands(Environment.TickCount64 + 10_000))
        {
            throw new BridgeException("restore.stub", "stopping the root stub", "it ended");
        }

        // A breakpoint that is blocked would reset its action; the interpreter ends in one.
        PtraceCall.SetSignalMask(pid, ~(1ul << (Libc.SIGTRAP - 1)));
        Stub stub = new(thread, area);
        stub.CallOnce(stub.FindSyscall(), X64.Mmap, area.Arena, WorkArea.ArenaSize, 7, 0x100022 | 0x4000, ulong.MaxValue, 0);
        stub.Memory.Write(area.Arena, TapeInterpreter.Code);
        return stub;
    }

    /// <summary>Makes one call at a given <c>syscall</c> instruction; the thread stands at the exit of the call afterwards.</summary>
    public long CallOnce(ulong instruction, long number, ulong a0 = 0, ulong a1 = 0, ulong a2 = 0, ulong a3 = 0, ulong a4 = 0, ulong a5 = 0)
    {
        UserRegisters registers = PtraceCall.GetRegisters(Thread.Tid) with
        {
            Rip = instruction,
            Rax = (ulong)number,
            OrigRax = ulong.MaxValue,
            Rdi = a0,
            Rsi = a1,
            Rdx = a2,
            R10 = a3,
            R8 = a4,
            R9 = a5,
        };
        PtraceCall.SetRegisters(Thread.Tid, registers);
        Thread.RunToSyscallStop();
        Thread.RunToSyscallStop();
        long result = (long)PtraceCall.GetRegisters(Thread.Tid).Rax;
        return result is < 0 and > -4096
            ? throw new BridgeException("restore.call", $"system call {number} in process {HostPid}", Errno.Text((int)-result))
            : result;
    }

    /// <summary>Runs a tape in this process's first thread.</summary>
    public long[] Run(SyscallTape tape, Action<int>? born = null) => Run(Thread, tape, born);

    /// <summary>Runs a tape in a thread of this process.</summary>
    /// <param name="thread">The thread.</param>
    /// <param name="tape">The tape.</param>
    /// <param name="born">Called with the host's number of each process or thread that the tape makes.</param>
    /// <returns>The result of each record.</returns>
    /// <exception cref="BridgeException">A record failed (<c>restore.call</c>), named by its purpose.</exception>
    public long[] Run(Tracee thread, SyscallTape tape, Action<int>? born = null)
    {
        byte[] records = tape.Records();
        if ((ulong)records.Length > WorkArea.DataOffset - WorkArea.RecordsOffset || (ulong)tape.DataLength > WorkArea.ArenaSize - WorkArea.DataOffset)
        {
            throw new BridgeException("restore.tape", "composing system calls", $"{tape.Count} calls with {tape.DataLength} bytes of data are too many for one tape");
        }

        if (records.Length == 0)
        {
            return [];
        }

        Memory.Write(area.Records, records);
        if (tape.DataLength > 0)
        {
            Memory.Write(area.Data, tape.Data());
        }

        UserRegisters registers = PtraceCall.GetRegisters(thread.Tid) with
        {
            Rip = area.Arena,
            Rbx = area.Records,
            Rbp = area.Records + (ulong)records.Length,
            OrigRax = ulong.MaxValue,
            Rsp = area.Arena + 0xff00,
        };
        PtraceCall.SetRegisters(thread.Tid, registers);
        while (true)
        {
            WaitStatus status = thread.RunToStop();
            if (status.Ended)
            {
                throw new BridgeException("restore.stub", $"running system calls in process {HostPid}", "it ended (status " + status + ")");
            }

            if (status.Event is PtraceCall.EventFork or PtraceCall.EventVfork or PtraceCall.EventClone)
            {
                born?.Invoke((int)PtraceCall.EventMessage(thread.Tid));
                continue;
            }

            if (status.Event == 0 && status.Signal == Libc.SIGTRAP)
            {
                break;
            }

            if (status.Event == 0 && status.Signal is 4 or 7 or 8 or 11)
            {
                throw new BridgeException("restore.stub", $"running system calls in process {HostPid}", $"it took signal {status.Signal}");
            }
        }

        Memory.Read(area.Records, records);
        ReadOnlySpan<long> words = MemoryMarshal.Cast<byte, long>(records);
        long[] results = new long[tape.Count];
        int done = (int)((PtraceCall.GetRegisters(thread.Tid).Rbx - area.Records) / SyscallTape.RecordSize);
        for (int i = 0; i < results.Length; i++)
        {
            results[i] = words[i * 8 + 7];
        }

        return done == results.Length
            ? results
            : throw new BridgeException("restore.call", tape.Purpose(done) + $" in process {HostPid}", Errno.Text((int)-results[done]));
    }

    public void Dispose() => Memory.Dispose();

    private ulong FindSyscall()
    {
        foreach (MemoryMap map in MemoryMap.Read(HostPid))
        {
            if ((map.Protection & Libc.PROT_EXEC) != 0 && map.Name != "[vsyscall]")
            {
                byte[] code = new byte[map.Length];
                int length = Memory.TryRead(map.Start, code);
                int at = code.AsSpan(0, Math.Max(0, length)).IndexOf((ReadOnlySpan<byte>)[0x0f, 0x05]);
                if (at >= 0)
                {
                    return map.Start + (ulong)at;
                }
            }
        }

        throw new BridgeException("restore.stub", "looking into the root stub", "it has no system call");
    }
}
