using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// What the kernel knows of the threads of a process, all in one read(2), and without a call inside any of them: a program of bpf(2) that the kernel runs for each
/// (Documentation/bpf/bpf_iterators.rst; of one process since Linux 6.1). It is made here, for the structures of the running kernel (<see cref="KernelTypes"/>), and only reads.
/// </summary>
internal sealed unsafe class TaskIterator
{
    private const int SysBpf = 321, BPF_PROG_LOAD = 5, BPF_LINK_CREATE = 28, BPF_ITER_CREATE = 33, BPF_PROG_TYPE_TRACING = 26, BPF_TRACE_ITER = 28, BPF_FUNC_probe_read_kernel = 113, BPF_FUNC_seq_write = 127;

    /// <summary>sizeof(struct upid).</summary>
    private const int NumberLength = 16;

    /// <summary>PROC_PID_INIT_INO of include/linux/proc_ns.h: the inode of the first pid namespace, whose numbers the kernel's are.</summary>
    private const string FirstPidNamespace = "pid:[4026531836]";

    /// <summary>The function that the kernel has for programs that iterate over tasks.</summary>
    private const string Function = "bpf_iter_task";

    private static readonly Lazy<TaskIterator?> own = new(TryMake);

    private readonly int program;

    private TaskIterator(int program) => this.program = program;

    /// <summary>That of this process; null where the kernel or the rights of this process do not allow it (CAP_BPF and CAP_PERFMON, and kernel lockdown).</summary>
    public static TaskIterator? Own => own.Value;

    /// <summary>Asks for the threads of a process.</summary>
    /// <param name="pid">The process.</param>
    /// <returns>What is known of each, by its number; null where the kernel does not tell. Of a process that runs, threads may be missing.</returns>
    public IReadOnlyDictionary<int, TaskRecord>? Threads(int pid)
    {
        // union bpf_iter_link_info: tid, pid, pid_fd.
        uint* chosen = stackalloc uint[4] { 0, (uint)pid, 0, 0 };

        // union bpf_attr of BPF_LINK_CREATE: program, target, kind, flags; pointer and length of the above.
        ulong* link = stackalloc ulong[4] { (uint)program, BPF_TRACE_ITER, (ulong)chosen, 16 };
        int linked = Bpf(BPF_LINK_CREATE, link, 32);
        if (linked < 0)
        {
            return null;
        }

        ulong* iterator = stackalloc ulong[1] { (uint)linked };
        int file = Bpf(BPF_ITER_CREATE, iterator, 8);
        _ = Libc.close(linked);
        if (file < 0)
        {
            return null;
        }

        Dictionary<int, TaskRecord> threads = [];
        byte[] buffer = LargeArrays<byte>.Pool.Rent(1 << 15);
        try
        {
            int have = 0;
            fixed (byte* p = buffer)
            {
                // What one read gives may end within a record.
                for (nint count; (count = Libc.read(file, p + have, (nuint)(buffer.Length - have))) != 0;)
                {
                    if (count < 0)
                    {
                        return null;
                    }

                    have += (int)count;
                    ReadOnlySpan<TaskRecord> records = MemoryMarshal.Cast<byte, TaskRecord>(buffer.AsSpan(0, have));
                    foreach (ref readonly TaskRecord record in records)
                    {
                        threads[(int)record.Tid] = record;
                    }

                    int used = records.Length * sizeof(TaskRecord);
                    buffer.AsSpan(used, have - used).CopyTo(buffer);
                    have -= used;
                }
            }
        }
        finally
        {
            _ = Libc.close(file);
            LargeArrays<byte>.Pool.Return(buffer);
        }

        return threads;
    }

    private static TaskIterator? TryMake()
    {
        if (!Authority.Own.IsOfHost || ProcFs.TryLink("/proc/self/ns/pid") != FirstPidNamespace || KernelTypes.TryRead(["task_struct", "seccomp", "sigpending", "list_head", "cred", "pid", "bpf_iter_meta"], [Function]) is not { } types)
        {
            return null;
        }

        using (types)
        {
            try
            {
                return types.FunctionNumber(Function) is { } function && Program(types) is { } code && Load(function, code) is { } program ? Tried(new TaskIterator(program)) : null;
            }
            catch (InvalidDataException)
            {
                return null;
            }
        }
    }

    private static int? Load(int function, byte[] code)
    {
        fixed (byte* instructions = code)
        {
            // The kernel lets programs call some of its functions that say so only.
            fixed (byte* license = "GPL\0"u8)
            {
                // union bpf_attr of BPF_PROG_LOAD, up to attach_btf_id and the empty fields behind it.
                byte* load = stackalloc byte[120];
                new Span<byte>(load, 120).Clear();
                *(uint*)load = BPF_PROG_TYPE_TRACING;
                *(uint*)(load + 4) = (uint)(code.Length / 8);
                *(ulong*)(load + 8) = (ulong)instructions;
                *(ulong*)(load + 16) = (ulong)license;
                "holdfast_tasks"u8.CopyTo(new Span<byte>(load + 48, 15));
                *(uint*)(load + 68) = BPF_TRACE_ITER;
                *(uint*)(load + 108) = (uint)function;
                return Bpf(BPF_PROG_LOAD, load, 120) is >= 0 and var program ? program : null;
            }
        }
    }

    /// <summary>Kernels before 6.1 do not give the threads of one process.</summary>
    private static TaskIterator? Tried(TaskIterator made)
    {
        if (made.Threads(Environment.ProcessId)?.ContainsKey(Environment.ProcessId) == true)
        {
            return made;
        }

        _ = Libc.close(made.program);
        return null;
    }

    /// <summary>For each task: puts together a <see cref="TaskRecord"/> on the stack of the program and writes it to the file.</summary>
    private static byte[]? Program(KernelTypes types)
    {
        // Registers 1 to 5 are arguments, 0 the result, 6 to 9 keep what they hold over a call, 10 points behind the stack.
        const byte Move = 0xbf, MoveNumber = 0xb7, AddNumber = 0x07, Load8 = 0x79, Load4 = 0x61, Store8 = 0x7b, JumpUnlessZero = 0x55, JumpIfBelow = 0xa5, CallFunction = 0x85, Exit = 0x95;
        List<byte> code = [];
        int stored = -sizeof(TaskRecord);

        Add(Move, 6, 1);

        // struct bpf_iter__task: meta, task; at the end there is none.
        Add(Load8, 7, 6, 8);
        Add(JumpUnlessZero, 7, 0, 2);
        Add(MoveNumber, 0);
        Add(Exit);
        Add(Move, 1, 7);
        Store();
        (string? Within, string Name, byte Load)[] fields =
        [
            (null, "pid", Load4), (null, "sas_ss_sp", Load8), (null, "sas_ss_size", Load8), (null, "sas_ss_flags", Load4), (null, "clear_child_tid", Load8),
            (null, "pdeath_signal", Load4), (null, "timer_slack_ns", Load8), (null, "robust_list", Load8), (null, "nsproxy", Load8), (null, "fs", Load8), (null, "files", Load8),
            (null, "real_cred", Load8), (null, "atomic_flags", Load8), ("seccomp", "mode", Load4), ("sigpending", "signal", Load8), (null, "blocked", Load8), ("list_head", "next", Load8),
        ];
        foreach ((string? within, string name, byte load) in fields)
        {
            string outer = within switch { null => name, "sigpending" => "pending", "list_head" => "children", _ => within };
            if (Field("task_struct", outer) is not { } offset || (within is null ? 0 : Field(within, name)) is not { } further)
            {
                return null;
            }

            Add(load, 1, 7, offset + further);
            Store();
        }

        if (Field("task_struct", "comm") is not { } command || Field("task_struct", "cred") is not { } credentials || Field("cred", "securebits") is not { } secureBits
            || Field("task_struct", "thread_pid") is not { } number || Field("pid", "level") is not { } level || Field("pid", "numbers") is not { } numbers
            || Field("task_struct", "children") is not { } children || Field("bpf_iter_meta", "seq") is not { } sequence)
        {
            return null;
        }

        // Where the list of children begins, which is what it names as the next where there is none.
        Add(MoveNumber, 1, number: children);
        Store();
        for (int half = 0; half < TaskRecord.NameLength; half += 8)
        {
            Add(Load8, 1, 7, command + half);
            Store();
        }

        if (Field("task_struct", "mempolicy") is { } policy)
        {
            Add(Load8, 1, 7, policy);
        }
        else
        {
            // A kernel without NUMA.
            Add(MoveNumber, 1);
        }

        Store();
        Add(Load8, 8, 7, credentials);
        Add(Load4, 1, 8, secureBits);
        Store();

        // struct pid: a struct upid, of which the first field is the number, for each pid namespace down to its own.
        Add(Load8, 8, 7, number);
        Add(Load4, 9, 8, level);
        Add(Move, 1, 9);
        Store();
        for (int depth = 0; depth < TaskRecord.MostNumbers; depth++)
        {
            Add(MoveNumber, 1);
            Store();
            Add(JumpIfBelow, 9, 0, 6, depth);
            Add(Move, 1, 10);
            Add(AddNumber, 1, number: stored - 8);
            Add(MoveNumber, 2, number: 4);
            Add(Move, 3, 8);
            Add(AddNumber, 3, number: numbers + (depth * NumberLength));
            Add(CallFunction, number: BPF_FUNC_probe_read_kernel);
        }

        Add(Load8, 1, 6);
        Add(Load8, 1, 1, sequence);
        Add(Move, 2, 10);
        Add(AddNumber, 2, number: -sizeof(TaskRecord));
        Add(MoveNumber, 3, number: sizeof(TaskRecord));
        Add(CallFunction, number: BPF_FUNC_seq_write);
        Add(MoveNumber, 0);
        Add(Exit);
        return [.. code];

        int? Field(string structure, string name) => types.Offset(structure, name) is { } offset and <= short.MaxValue ? offset : null;

        void Store()
        {
            Add(Store8, 10, 1, stored);
            stored += 8;
        }

        // struct bpf_insn: operation, two registers, offset, number.
        void Add(byte operation, int to = 0, int from = 0, int offset = 0, int number = 0)
        {
            Span<byte> instruction = stackalloc byte[8];
            instruction[0] = operation;
            instruction[1] = (byte)(from << 4 | to);
            BinaryPrimitives.WriteInt16LittleEndian(instruction[2..], (short)offset);
            BinaryPrimitives.WriteInt32LittleEndian(instruction[4..], number);
            code.AddRange(instruction);
        }
    }

    private static int Bpf(int command, void* attributes, int size) => (int)Libc.Call(SysBpf, command, (long)attributes, size);
}

/// <summary>Fields of struct task_struct (include/linux/sched.h). Pointers are for comparing only: what is at the same place is shared.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
internal readonly unsafe struct TaskRecord
{
    /// <summary>Bytes of a name, TASK_COMM_LEN.</summary>
    public const int NameLength = 16;

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

    private readonly ulong nextChild, childrenAt;

    private readonly ulong firstOfName, restOfName;

    /// <summary>Its NUMA policy; 0 for the default one.</summary>
    public readonly ulong MemoryPolicy;

    /// <summary>PR_GET_SECUREBITS of prctl(2).</summary>
    public readonly ulong SecureBits;

    private readonly ulong level;

    private readonly ulong firstNumber, secondNumber, thirdNumber, fourthNumber;

    /// <summary>PR_GET_NO_NEW_PRIVS of prctl(2).</summary>
    public bool NoNewPrivileges => (atomicFlags & NoNewPrivilegesFlag) != 0;

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
