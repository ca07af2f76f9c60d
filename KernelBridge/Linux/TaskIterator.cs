using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// What the kernel knows of the threads of a process, of the areas of its memory, or of what it does on signals, all in one read(2), without a call inside any of them and without a look at their pages: by
/// programs of bpf(2), made here for the structures of the running kernel (<see cref="KernelTypes"/>), that only read.
/// </summary>
internal sealed class TaskIterator
{
    /// <summary>PROC_PID_INIT_INO of include/linux/proc_ns.h: the inode of the first pid namespace, whose numbers the kernel's are.</summary>
    private const string FirstPidNamespace = "pid:[4026531836]";

    /// <summary>The functions that the kernel has for programs that iterate over tasks, over their areas, and over their descriptors.</summary>
    private const string OverTasks = "bpf_iter_task", OverAreas = "bpf_iter_task_vma", OverFiles = "bpf_iter_task_file";

    /// <summary>sizeof(struct upid).</summary>
    private const int NumberLength = 16;

    /// <summary>_NSIG.</summary>
    private const int Signals = 64;

    private static readonly Lazy<TaskIterator?> own = new(TryMake);

    private readonly BpfIterator tasks;
    private readonly BpfIterator? areas;
    private readonly BpfIterator? actions;
    private readonly BpfIterator? files;

    private TaskIterator(BpfIterator tasks, BpfIterator? areas, BpfIterator? actions, BpfIterator? files) =>
        (this.tasks, this.areas, this.actions, this.files) = (tasks, areas, actions, files);

    /// <summary>That of this process; null where the kernel or the rights of this process do not allow it (CAP_BPF and CAP_PERFMON, and kernel lockdown).</summary>
    public static TaskIterator? Own => own.Value;

    /// <summary>The same where it has been asked for before, so that it costs nothing to ask for it again; else null.</summary>
    public static TaskIterator? IfReady => own.IsValueCreated ? Own : null;

    /// <summary>Asks for the threads of a process.</summary>
    /// <param name="pid">The process.</param>
    /// <returns>What is known of each, by its number; null where the kernel does not tell. Of a process that runs, threads may be missing.</returns>
    public IReadOnlyDictionary<int, TaskRecord>? Threads(int pid) => ByNumber(tasks.Run<TaskRecord>(pid, all: true, (_, next) => next.Tid != (ulong)pid));

    /// <summary>Asks for all threads of this host, with one read for about a hundred of them: what is known of each, by its number; null where the kernel does not tell. Of those that run, some may be missing.</summary>
    public IReadOnlyDictionary<int, TaskRecord>? All() => ByNumber(tasks.Run<TaskRecord>(0, all: true, (before, next) => next.Tid > before.Tid));

    /// <summary>Asks for the first thread of a process; null where the kernel does not tell, or there is no such process.</summary>
    /// <param name="pid">The process.</param>
    public TaskRecord? First(int pid) => tasks.Run<TaskRecord>(pid, all: false, (_, _) => true) is [var record, ..] ? record : null;

    /// <summary>Asks for the areas of its memory, in order of their addresses; null where the kernel does not tell.</summary>
    /// <param name="pid">The process.</param>
    public List<AreaRecord>? Areas(int pid) => areas?.Run<AreaRecord>(pid, all: false, (before, next) => next.Start >= before.End);

    /// <summary>Asks for all descriptors of this host; null where the kernel does not tell, or there are more. Threads that have those of their process are passed over.</summary>
    /// <param name="most">How many.</param>
    public List<OpenFileRecord>? Files(int most) => files?.Run<OpenFileRecord>(0, all: true, (_, _) => true, most);

    /// <summary>Asks what a process does on signals.</summary>
    /// <param name="pid">The process.</param>
    /// <returns>64 times what <c>struct sigaction</c> of the kernel has, from signal 1 on; null where the kernel does not tell.</returns>
    public List<SignalActions.KernelAction>? Actions(int pid) => actions?.Run<SignalActions.KernelAction>(pid, all: false, (_, _) => true) is { Count: Signals } all ? all : null;

    private static Dictionary<int, TaskRecord>? ByNumber(List<TaskRecord>? records)
    {
        if (records is null)
        {
            return null;
        }

        Dictionary<int, TaskRecord> threads = new(records.Count);
        foreach (ref readonly TaskRecord record in CollectionsMarshal.AsSpan(records))
        {
            threads[(int)record.Tid] = record;
        }

        return threads;
    }

    private static TaskIterator? TryMake()
    {
        if (!Authority.Own.IsOfHost || ProcFs.TryLink("/proc/self/ns/pid") != FirstPidNamespace
            || KernelTypes.TryRead(["task_struct", "seccomp", "sigpending", "list_head", "cred", "pid", "upid", "vm_area_struct", "mm_struct", "signal_struct", "hrtimer", "sighand_struct", "files_struct", "fdtable", "file", "inode", "bpf_iter_meta"], [OverTasks, OverAreas, OverFiles]) is not { } types)
        {
            return null;
        }

        using (types)
        {
            try
            {
                return types.Offset("bpf_iter_meta", "seq") is { } file && Load(types, OverTasks, TaskCode(types), file) is { } tasks
                    && new TaskIterator(
                        tasks, Load(types, OverAreas, AreaCode(types), file), Load(types, OverTasks, ActionCode(types, file), file), Load(types, OverFiles, FileCode(types), file)) is var made && made.Threads(Environment.ProcessId)?.ContainsKey(Environment.ProcessId) == true
                    ? made
                    : null;
            }
            catch (Exception e) when (e is InvalidDataException or OverflowException)
            {
                // Structures that are not understood, or larger than a program can reach.
                return null;
            }
        }
    }

    private static BpfIterator? Load(KernelTypes types, string function, BpfCode? code, int file) =>
        code is not null && types.FunctionNumber(function) is { } number ? BpfIterator.TryLoad(number, code.Finish(file)) : null;

    /// <summary>What puts together a <see cref="TaskRecord"/>; null where the kernel lacks something.</summary>
    private static unsafe BpfCode? TaskCode(KernelTypes types)
    {
        // struct bpf_iter__task: meta, task.
        BpfCode code = new(sizeof(TaskRecord), 8);
        code.Store(BpfCode.Thing);
        (string Name, (string Structure, string Name)? Within, bool Half)[] fields =
        [
            ("pid", null, true), ("sas_ss_sp", null, false), ("sas_ss_size", null, false), ("sas_ss_flags", null, true), ("clear_child_tid", null, false),
            ("pdeath_signal", null, true), ("timer_slack_ns", null, false), ("robust_list", null, false), ("nsproxy", null, false), ("fs", null, false), ("files", null, false),
            ("real_cred", null, false), ("atomic_flags", null, false), ("seccomp", ("seccomp", "mode"), true), ("pending", ("sigpending", "signal"), false), ("blocked", null, false),
            ("children", ("list_head", "next"), false), ("tgid", null, true), ("mm", null, false), ("sighand", null, false), ("cgroups", null, false), ("vfork_done", null, false),
            ("self_exec_id", null, false),
        ];
        foreach ((string name, (string Structure, string Name)? within, bool half) in fields)
        {
            if (types.Offset("task_struct", name) is not { } offset || (within is { } inner ? types.Offset(inner.Structure, inner.Name) : 0) is not { } further)
            {
                return null;
            }

            code.Copy(BpfCode.Thing, offset + further, half);
        }

        if (types.Offset("task_struct", "comm") is not { } command || types.Offset("task_struct", "cred") is not { } credentials || types.Offset("cred", "securebits") is not { } secureBits
            || types.Offset("task_struct", "thread_pid") is not { } number || types.Offset("pid", "level") is not { } level || types.Offset("pid", "numbers") is not { } numbers
            || types.Offset("task_struct", "children") is not { } children || types.Offset("task_struct", "tgid") is not { } process || types.Offset("task_struct", "real_parent") is not { } parent
            || types.Offset("cred", "user_ns") is not { } users || types.Offset("upid", "ns") is not { } space || types.Offset("task_struct", "mm") is not { } memory)
        {
            return null;
        }

        // Where the list of children begins, which is what it names as the next where there is none.
        code.StoreNumber(children);
        for (int half = 0; half < TaskRecord.NameLength; half += 8)
        {
            code.Copy(BpfCode.Thing, command + half);
        }

        CopyPolicy(code, types.Offset("task_struct", "mempolicy"));
        code.Load(BpfCode.Kept, BpfCode.Thing, credentials);
        code.Copy(BpfCode.Kept, secureBits, half: true);
        code.Copy(BpfCode.Kept, users);
        code.Load(BpfCode.Kept, BpfCode.Thing, parent);
        code.Copy(BpfCode.Kept, process, half: true);

        // A kernel without locks of single areas does not count.
        if (types.Offset("mm_struct", "mm_lock_seq") is { } changes)
        {
            code.Load(BpfCode.Kept, BpfCode.Thing, memory);
            code.Copy(BpfCode.Kept, changes, half: true);
        }
        else
        {
            code.StoreNumber(0);
        }

        CopyProcess(code, types);

        // struct pid: a struct upid, of which the first field is the number and another the namespace, for each pid namespace down to its own.
        code.Load(BpfCode.Kept, BpfCode.Thing, number);
        code.Load(BpfCode.KeptToo, BpfCode.Kept, level, half: true);
        code.Store(BpfCode.KeptToo);
        for (int depth = 0; depth < TaskRecord.MostNumbers; depth++)
        {
            code.CopyBehind(BpfCode.Kept, numbers + (depth * NumberLength), BpfCode.KeptToo, depth, half: true);
            code.CopyBehind(BpfCode.Kept, numbers + (depth * NumberLength) + space, BpfCode.KeptToo, depth);
        }

        return code;
    }

    /// <summary>What decides what a process would say of itself: <see cref="TaskRecord.Words"/>, and what stands behind it.</summary>
    private static void CopyProcess(BpfCode code, KernelTypes types)
    {
        const int CpuTimers = 2 * 16;
        int?[] ofTask = [types.Offset("task_struct", "flags"), types.Offset("task_struct", "mm"), types.Offset("task_struct", "signal")];
        int?[] ofMemory = [types.Offset("mm_struct", "brk"), types.Offset("mm_struct", "flags"), types.Offset("mm_struct", "membarrier_state")];
        int?[] ofSignals =
        [
            types.Offset("signal_struct", "is_child_subreaper"), types.Offset("signal_struct", "posix_timers"), types.Offset("signal_struct", "it_real_incr"),
            types.Offset("signal_struct", "real_timer", "state"), types.Offset("signal_struct", "it"),
        ];
        if (!KernelIsKnown || ofTask.Concat(ofMemory).Concat(ofSignals).Any(offset => offset is null))
        {
            for (int at = 0; at < TaskRecord.WordsOfProcess; at++)
            {
                code.StoreNumber(0);
            }

            return;
        }

        code.StoreNumber(1);
        code.Copy(BpfCode.Thing, ofTask[0]!.Value, half: true);
        code.Load(BpfCode.Kept, BpfCode.Thing, ofTask[1]!.Value);
        code.Copy(BpfCode.Kept, ofMemory[0]!.Value);
        code.Copy(BpfCode.Kept, ofMemory[1]!.Value);
        code.Copy(BpfCode.Kept, ofMemory[2]!.Value, half: true);
        if (types.Offset("mm_struct", "context", "pkey_allocation_map") is { } keys)
        {
            code.CopyAny(BpfCode.Kept, keys, half: true);
        }
        else
        {
            code.StoreNumber(0);
        }

        code.Load(BpfCode.Kept, BpfCode.Thing, ofTask[2]!.Value);
        code.Copy(BpfCode.Kept, ofSignals[0]!.Value, half: true);

        // A list that begins there, in the one way or the other: empty where it names nothing, or itself.
        code.Store(BpfCode.Kept);
        code.StoreNumber(ofSignals[1]!.Value);
        code.Copy(BpfCode.Kept, ofSignals[1]!.Value);
        code.Copy(BpfCode.Kept, ofSignals[2]!.Value);
        code.CopyAny(BpfCode.Kept, ofSignals[3]!.Value, half: true);
        for (int at = 0; at < CpuTimers; at += 8)
        {
            code.Copy(BpfCode.Kept, ofSignals[4]!.Value + at);
        }
    }

    /// <summary>
    /// The kernel keeps what is asked of a process where it has been looked for: up to 6.18. (A later one may keep some of it elsewhere, where nothing would show that it has changed.)
    /// </summary>
    private static bool KernelIsKnown => Environment.OSVersion.Version is { Major: < 6 } or { Major: 6, Minor: <= 18 };

    /// <summary>What puts together an <see cref="AreaRecord"/>; null where the kernel lacks something.</summary>
    private static unsafe BpfCode? AreaCode(KernelTypes types)
    {
        // struct bpf_iter__task_vma: meta, task, vma.
        BpfCode code = new(sizeof(AreaRecord), 16);
        foreach (string name in (string[])["vm_start", "vm_end", "vm_flags"])
        {
            if (types.Offset("vm_area_struct", name) is not { } offset)
            {
                return null;
            }

            code.Copy(BpfCode.Thing, offset);
        }

        CopyPolicy(code, types.Offset("vm_area_struct", "vm_policy"));
        return code;
    }

    /// <summary>What puts together an <see cref="OpenFileRecord"/>; null where the kernel lacks something.</summary>
    private static unsafe BpfCode? FileCode(KernelTypes types)
    {
        if (types.Offset("task_struct", "pid") is not { } process || types.Offset("task_struct", "files") is not { } descriptors || types.Offset("files_struct", "fdt") is not { } table
            || types.Offset("fdtable", "close_on_exec") is not { } closed || types.Offset("file", "f_inode") is not { } inode || types.Offset("inode", "i_flctx") is not { } locks)
        {
            return null;
        }

        // struct bpf_iter__task_file: meta, task, fd, file.
        BpfCode code = new(sizeof(OpenFileRecord), 24);
        code.Store(BpfCode.Thing);
        code.LoadBeside(BpfCode.Kept, 8);
        code.Copy(BpfCode.Kept, process, half: true);
        code.LoadBeside(BpfCode.KeptToo, 16, half: true);
        code.Store(BpfCode.KeptToo);
        code.Load(BpfCode.KeptToo, BpfCode.Thing, inode);
        code.Copy(BpfCode.KeptToo, locks);

        // An array that is not part of any structure.
        code.Load(BpfCode.Kept, BpfCode.Kept, descriptors);
        code.Load(BpfCode.Kept, BpfCode.Kept, table);
        code.Load(BpfCode.Kept, BpfCode.Kept, closed);
        code.CopyAny(BpfCode.Kept, 0);
        return code;
    }

    /// <summary>What copies the <c>struct k_sigaction</c> of all signals, which for user space is <c>struct sigaction</c>; null where the kernel lacks something.</summary>
    private static unsafe BpfCode? ActionCode(KernelTypes types, int file)
    {
        if (types.Offset("task_struct", "sighand") is not { } handlers || types.Offset("sighand_struct", "action") is not { } actions)
        {
            return null;
        }

        // struct bpf_iter__task: meta, task.
        BpfCode code = new(8 * sizeof(SignalActions.KernelAction), 8);
        code.Load(BpfCode.Kept, BpfCode.Thing, handlers);
        code.CopyBlock(BpfCode.Kept, actions, Signals * sizeof(SignalActions.KernelAction), file);
        return code;
    }

    private static void CopyPolicy(BpfCode code, int? offset)
    {
        if (offset is { } policy)
        {
            code.Copy(BpfCode.Thing, policy);
        }
        else
        {
            // A kernel without NUMA.
            code.StoreNumber(0);
        }
    }
}

/// <summary>Fields of struct task_struct (include/linux/sched.h). Pointers are for comparing only: what is at the same place is shared.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
internal readonly unsafe struct TaskRecord
{
    /// <summary>Bytes of a name, TASK_COMM_LEN.</summary>
    public const int NameLength = 16;

    /// <summary>From <see cref="tellsOfProcess"/> on.</summary>
    public const int WordsOfProcess = 16;

    /// <summary>Numbers that are told of a thread, one for each pid namespace.</summary>
    public const int MostNumbers = 4;

    /// <summary>PFA_NO_NEW_PRIVS of <see cref="atomicFlags"/>.</summary>
    private const ulong NoNewPrivilegesFlag = 1;

    /// <summary>The structure itself.</summary>
    public readonly ulong Task;

    /// <summary>The thread, as the host numbers it.</summary>
    public readonly ulong Tid;

    /// <summary>sigaltstack(2): where it begins, its bytes, and what was asked for with it.</summary>
    public readonly ulong AlternateStackPointer, AlternateStackSize, AlternateStackFlags;

    /// <summary>PR_GET_TID_ADDRESS, PR_GET_PDEATHSIG, PR_GET_TIMERSLACK of prctl(2).</summary>
    public readonly ulong ClearTidAddress, ParentDeathSignal, TimerSlack;

    /// <summary>set_robust_list(2).</summary>
    public readonly ulong RobustListHead;

    /// <summary>Its namespaces, but for those of its pid and its users; its directories, descriptors and credentials.</summary>
    public readonly ulong Namespaces, Directories, Descriptors, Credentials;

    private readonly ulong atomicFlags;

    /// <summary>Seccomp of /proc/PID/status.</summary>
    public readonly ulong Seccomp;

    /// <summary>Signals that wait for it, and that are blocked.</summary>
    public readonly ulong PendingSignals, BlockedSignals;

    private readonly ulong nextChild;

    /// <summary>Its process, as the host numbers it.</summary>
    public readonly ulong Process;

    /// <summary>Its memory, 0 for a thread of the kernel; what it does on signals; its control groups, of all hierarchies.</summary>
    public readonly ulong Memory, Actions, ControlGroups;

    /// <summary>Not 0 for a child of vfork(2) for which somebody waits. (Threads of the kernel use it for something else.)</summary>
    public readonly ulong VforkDone;

    private readonly ulong executed;

    private readonly ulong childrenAt;

    private readonly ulong firstOfName, restOfName;

    /// <summary>Its NUMA policy; 0 for the default one.</summary>
    public readonly ulong MemoryPolicy;

    /// <summary>PR_GET_SECUREBITS of prctl(2).</summary>
    public readonly ulong SecureBits;

    /// <summary>Its user namespace.</summary>
    public readonly ulong Users;

    /// <summary>PPid of /proc/PID/status: the process that its process is a child of, as the host numbers it.</summary>
    public readonly ulong Parent;

    private readonly ulong memoryChanges;

    private readonly ulong tellsOfProcess, flags;

    /// <summary>brk(2).</summary>
    public readonly ulong Break;

    private readonly ulong memoryFlags, barriers, keys, subreaper, signals, timersAt, firstTimer, interval, realTimer, cpuExpires, cpuInterval, profilingExpires, profilingInterval;

    private readonly ulong level;

    private readonly ulong firstNumber, firstSpace, secondNumber, secondSpace, thirdNumber, thirdSpace, fourthNumber, fourthSpace;

    /// <summary>PR_GET_NO_NEW_PRIVS of prctl(2).</summary>
    public bool NoNewPrivileges => (atomicFlags & NoNewPrivilegesFlag) != 0;

    /// <summary>Its pid namespace; null where it lies too deep.</summary>
    public ulong? PidNamespace => level switch { 0 => firstSpace, 1 => secondSpace, 2 => thirdSpace, 3 => fourthSpace, _ => null };

    /// <summary>What changes whenever its areas of memory do; null where the kernel does not count.</summary>
    public MemoryState? MemoryState => Memory == 0 || memoryChanges == 0 ? null : new MemoryState(Memory, memoryChanges, executed);

    /// <summary>
    /// What decides how its process would answer to what <see cref="Capture.ProcessAnswers"/> has: whoever has the same of it gives the same answers. Null where the kernel does not tell, or a
    /// timer is set, which has to be asked for.
    /// </summary>
    public ProcessWords? Words => tellsOfProcess == 0 || Memory == 0 || (firstTimer != 0 && firstTimer != signals + timersAt)
        || (interval | (realTimer & 0xff) | cpuExpires | cpuInterval | profilingExpires | profilingInterval) != 0 ? null : new ProcessWords(flags, memoryFlags, barriers, keys, subreaper);

    /// <summary>It has children. (Those of its process may have been born to another thread.)</summary>
    public bool HasChildren => nextChild != Task + childrenAt;

    /// <summary>Its name, up to <see cref="NameLength"/> bytes without the zero behind it.</summary>
    public byte[] Name
    {
        get
        {
            byte[] name = [.. BitConverter.GetBytes(firstOfName), .. BitConverter.GetBytes(restOfName)];
            return name[..(Array.IndexOf(name, (byte)0) is >= 0 and var end ? end : name.Length)];
        }
    }

    /// <summary>NSpid of /proc/PID/status: its numbers, the host's first; null where there are too many.</summary>
    public int[]? Numbers => level < MostNumbers ? [.. new ulong[] { firstNumber, secondNumber, thirdNumber, fourthNumber }.Take((int)level + 1).Select(number => (int)number)] : null;
}

/// <summary>
/// The same at two moments where no area of a process's memory came, went, or got other rights, flags, a policy or a name between them: each such change locks the whole list for writing
/// (mmap_write_lock of include/linux/mmap_lock.h), which is counted since Linux 6.4. Names of files in it may have changed.
/// </summary>
/// <param name="Memory">struct mm_struct, whose place may be that of an earlier one.</param>
/// <param name="Changes">How often it was locked.</param>
/// <param name="Executed">How many programs the process has executed.</param>
internal readonly record struct MemoryState(ulong Memory, ulong Changes, ulong Executed);

/// <summary>Words in which the kernel keeps what is asked of a process (kernel/sys.c, kernel/sched/membarrier.c, arch/x86/mm/pkeys.c); what their bits mean, each kernel decides.</summary>
/// <param name="Flags">Of struct task_struct: machine checks, whether it flushes for others.</param>
/// <param name="Memory">Flags of struct mm_struct: dumping, huge pages, merging, denied combinations of rights.</param>
/// <param name="Barriers">What it has registered for with membarrier(2).</param>
/// <param name="Keys">Protection keys.</param>
/// <param name="Subreaper">Whether it is a subreaper, and whether it has one.</param>
internal readonly record struct ProcessWords(ulong Flags, ulong Memory, ulong Barriers, ulong Keys, ulong Subreaper);

/// <summary>Fields of struct vm_area_struct (include/linux/mm_types.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
internal readonly struct AreaRecord
{
    /// <summary>Its first address, and the one behind its last.</summary>
    public readonly ulong Start, End;

    /// <summary>VM_… of include/linux/mm.h, of which each kernel has its own: what they mean it says by two letters each in /proc/PID/smaps.</summary>
    public readonly ulong Flags;

    /// <summary>The NUMA policy that it has been given itself; 0 for none.</summary>
    public readonly ulong Policy;
}

/// <summary>A descriptor of a process. Pointers are for comparing only.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
internal readonly struct OpenFileRecord
{
    /// <summary>Numbers of which <see cref="ClosesOnExec"/> is known: those of one word of the table.</summary>
    public const int Known = 64;

    /// <summary>The open file description (struct file), which processes may share.</summary>
    public readonly ulong File;

    /// <summary>The process, as the host numbers it, or a thread that has others than its process; and the descriptor's number in it.</summary>
    public readonly ulong Process, Number;

    private readonly ulong locks, closedOnExec;

    /// <summary>Somebody has, or had, a lock or a lease on the file: who, is for fdinfo to say, for each process.</summary>
    public bool HasLocks => locks != 0;

    /// <summary>FD_CLOEXEC of fcntl(2), of one with a number below <see cref="Known"/>.</summary>
    public bool ClosesOnExec => (closedOnExec >> (int)Number & 1) != 0;
}
