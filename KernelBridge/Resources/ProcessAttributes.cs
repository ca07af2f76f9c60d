using System.Globalization;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Personality, and what prctl(2) sets per process: subreaper, no_new_privs, THP; also oom_score_adj and the core-dump filter.</summary>
internal sealed class ProcessAttributes : IProcessResource
{
    private const int PR_MCE_KILL = 33, PR_SET_CHILD_SUBREAPER = 36, PR_SET_THP_DISABLE = 41, PR_SET_IO_FLUSHER = 57, PR_SET_MDWE = 65, PR_SET_MEMORY_MERGE = 67;

    /// <summary>Code of the refusal of a process that a debugger traces.</summary>
    public const string Traced = "process.traced";

    /// <summary>For a process that runs code of 32 bits, whose file says so or whose registers do.</summary>
    public static Refusal Refuse32Bit(ProcessView view) => view.Refuse("process.32bit", "program", "it runs 32-bit code", "run a 64-bit build");

    /// <summary>EI_CLASS of the executed file; elf(5).</summary>
    private static unsafe bool Is32Bit(int pid)
    {
        // On its way out, or another user's, it cannot be opened: the registers tell when it stands.
        const byte ELFCLASS32 = 1;
        byte* begin = stackalloc byte[5];
        int file = Libc.open($"/proc/{pid}/exe", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        bool found = file >= 0 && Libc.pread(file, begin, 5, 0) == 5 && new ReadOnlySpan<byte>(begin, 4).SequenceEqual("\u007fELF"u8) && begin[4] == ELFCLASS32;
        _ = file >= 0 ? Libc.close(file) : 0;
        return found;
    }

    public IEnumerable<Refusal> Check(ProcessView view)
    {
        if (view.Status["x86_Thread_features"] is { } features && features.Contains("shstk", StringComparison.Ordinal))
        {
            yield return view.Refuse("process.shadow-stack", "shadow stack", "it runs with a shadow stack", "start it with GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK");
        }

        // Whoever reads ahead sees its registers.
        if (ProcSnapshot.Current is null && Is32Bit(view.Pid))
        {
            yield return Refuse32Bit(view);
        }

        if (view.Status.Number("TracerPid") is > 0 and int tracer && tracer != Environment.ProcessId)
        {
            // A tracer may be another thread of this process; its number is that of the thread.
            if (!ProcFs.IsOwnThread(tracer))
            {
                yield return view.Refuse(Traced, "debugger", $"process {tracer} ({ProcessStat.TryRead(tracer)?.Name}) traces it", "end the debugger");
            }
        }

        if (view.Stat.State is 'Z' && view.Status.Number("Threads") > 1)
        {
            yield return view.Refuse("process.leader-ended", "first thread", "its first thread ended while others go on", "let the first thread wait for the others");
        }

        if (view.Stat.Field(4) != 0 && ProcFs.TryText($"/proc/{view.Pid}/personality") is null)
        {
            yield return Yama.ForbidsAll
                ? view.Refuse(Yama.Code, "process", "kernel.yama.ptrace_scope is 3: nobody may look into it", Yama.Remedy)
                : view.Refuse("rights.missing", "process", "its procfs entries may not be read", "run as root or with CAP_SYS_PTRACE");
        }
    }

    public void Capture(ProcessView view, IProcessState state, ProcessImage image)
    {
        image.Attributes = new AttributesImage
        {
            Personality = uint.Parse(ProcFs.Text($"/proc/{view.Pid}/personality").Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture),
            OomScoreAdjustment = int.Parse(ProcFs.Text($"/proc/{view.Pid}/oom_score_adj").Trim(), CultureInfo.InvariantCulture),
            CoreDumpFilter = ProcFs.TryText($"/proc/{view.Pid}/coredump_filter")?.Trim() is { Length: > 0 } filter ? Convert.ToInt32(filter, 16) : null,
            ChildSubreaper = state.ChildSubreaper,
            HugePagesDisabled = state.HugePagesDisabled,
            MachineCheckPolicy = state.MachineCheckPolicy,
            MemoryDenyWriteExecute = state.MemoryDenyWriteExecute, MemoryMerge = state.MemoryMerge,
            IoFlusher = state.IoFlusher,

            // Kernels before 6.3 do not tell: then every kind is registered again, which only makes calls succeed.
            MembarrierRegistrations = state.MembarrierRegistrations ?? (4 | 16 | 64),
        };
    }

    public void Restore(ProcessImage image, long sinceCapture, SyscallTape tape)
    {
        AttributesImage attributes = image.Attributes!;
        tape.Add("personality", X64.Personality, attributes.Personality);
        if (attributes.ChildSubreaper)
        {
            tape.Add("child subreaper", X64.Prctl, PR_SET_CHILD_SUBREAPER, 1);
        }

        if (attributes.HugePagesDisabled)
        {
            tape.Add("THP disable", X64.Prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
        }

        if (attributes.MemoryMerge)
        {
            tape.Add("merging of memory", X64.Prctl, PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
        }

        if (attributes.IoFlusher)
        {
            tape.Add("I/O flusher", X64.Prctl, PR_SET_IO_FLUSHER, 1, 0, 0, 0);
        }

        if (attributes.MemoryDenyWriteExecute > 0)
        {
            tape.Add("memory-deny-write-execute", X64.Prctl, PR_SET_MDWE, (ulong)attributes.MemoryDenyWriteExecute, 0, 0, 0);
        }

        if (attributes.MachineCheckPolicy is 0 or 1)
        {
            tape.Add("machine-check policy", X64.Prctl, PR_MCE_KILL, 1, (ulong)attributes.MachineCheckPolicy, 0, 0);
        }

        for (int bit = 0; bit < 31; bit++)
        {
            // MEMBARRIER_CMD_REGISTER_… of include/uapi/linux/membarrier.h: 4, 16, 64, 256.
            if ((attributes.MembarrierRegistrations >> bit & 1) != 0)
            {
                tape.Add("membarrier registration", X64.Membarrier, 1ul << bit, 0, 0);
            }
        }
    }
}

/// <summary>Attributes of a process.</summary>
internal sealed record AttributesImage
{
    public required uint Personality { get; init; }

    public required int OomScoreAdjustment { get; init; }

    public required int? CoreDumpFilter { get; init; }

    public required bool ChildSubreaper { get; init; }

    public required bool HugePagesDisabled { get; init; }

    /// <summary>PR_SET_MDWE; 0 for none.</summary>
    public long MemoryDenyWriteExecute { get; init; }

    /// <summary>PR_SET_MEMORY_MERGE.</summary>
    public bool MemoryMerge { get; init; }

    /// <summary>PR_SET_IO_FLUSHER.</summary>
    public bool IoFlusher { get; init; }

    /// <summary>PR_MCE_KILL_LATE 0, EARLY 1, DEFAULT 2.</summary>
    public required int MachineCheckPolicy { get; init; }

    /// <summary>Commands of membarrier(2) that were registered, as a mask.</summary>
    public required int MembarrierRegistrations { get; init; }
}
