using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;

namespace Holdfast.KernelBridge.Ptrace;

/// <summary>Requests of ptrace(2), typed. Every call belongs to the OS thread that seized the tracee.</summary>
internal static unsafe class PtraceCall
{
    public const int OptionSysGood = 1, OptionTraceFork = 2, OptionTraceVfork = 4, OptionTraceClone = 8, OptionTraceExit = 0x40, OptionExitKill = 0x100000, OptionSuspendSeccomp = 0x200000;
    public const int EventFork = 1, EventVfork = 2, EventClone = 3, EventExit = 6, EventStop = 128;

    /// <summary>AMX's is 11 KiB.</summary>
    private const int MostExtendedState = 16384;

    private const int PTRACE_PEEKDATA = 2, PTRACE_CONT = 7, PTRACE_DETACH = 17, PTRACE_SYSCALL = 24, PTRACE_SETOPTIONS = 0x4200, PTRACE_GETEVENTMSG = 0x4201,
        PTRACE_GETSIGINFO = 0x4202, PTRACE_GETREGSET = 0x4204, PTRACE_SETREGSET = 0x4205, PTRACE_SEIZE = 0x4206, PTRACE_INTERRUPT = 0x4207,
        PTRACE_PEEKSIGINFO = 0x4209, PTRACE_GETSIGMASK = 0x420a, PTRACE_SETSIGMASK = 0x420b, PTRACE_SECCOMP_GET_FILTER = 0x420c, PTRACE_SECCOMP_GET_METADATA = 0x420d, PTRACE_GET_RSEQ_CONFIGURATION = 0x420f,
        PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211;

    public static int Seize(int tid, int options) => Try(PTRACE_SEIZE, tid, 0, options);

    public static int Interrupt(int tid) => Try(PTRACE_INTERRUPT, tid, 0, 0);

    public static int Continue(int tid, int signal = 0) => Try(PTRACE_CONT, tid, 0, signal);

    public static int ContinueToSyscall(int tid, int signal = 0) => Try(PTRACE_SYSCALL, tid, 0, signal);

    public static int Detach(int tid, int signal = 0) => Try(PTRACE_DETACH, tid, 0, signal);

    public static int SetOptions(int tid, int options) => Try(PTRACE_SETOPTIONS, tid, 0, options);

    public static void SetOptionsOrThrow(int tid, int options) => Must(PTRACE_SETOPTIONS, tid, 0, options, "PTRACE_SETOPTIONS");

    public static long EventMessage(int tid)
    {
        ulong message;
        Must(PTRACE_GETEVENTMSG, tid, 0, (long)&message, "PTRACE_GETEVENTMSG");
        return (long)message;
    }

    public static UserRegisters GetRegisters(int tid)
    {
        UserRegisters registers;
        Libc.Iovec vector = new() { Base = (ulong)&registers, Length = (ulong)sizeof(UserRegisters) };
        Must(PTRACE_GETREGSET, tid, X64.NotePrstatus, (long)&vector, "PTRACE_GETREGSET(NT_PRSTATUS)");
        return registers;
    }

    public static void SetRegisters(int tid, UserRegisters registers)
    {
        Libc.Iovec vector = new() { Base = (ulong)&registers, Length = (ulong)sizeof(UserRegisters) };
        Must(PTRACE_SETREGSET, tid, X64.NotePrstatus, (long)&vector, "PTRACE_SETREGSET(NT_PRSTATUS)");
    }

    /// <summary>As <see cref="SetRegisters"/>, of a thread that may have been killed: 0 or errno.</summary>
    public static int TrySetRegisters(int tid, UserRegisters registers)
    {
        Libc.Iovec vector = new() { Base = (ulong)&registers, Length = (ulong)sizeof(UserRegisters) };
        return Try(PTRACE_SETREGSET, tid, X64.NotePrstatus, (long)&vector);
    }

    /// <summary>The extended state (x87, SSE, AVX, …) in the XSAVE standard format, at the size that the kernel uses.</summary>
    public static byte[] GetExtendedState(int tid)
    {
        // Not on the stack: of a thread that is new, each page of it would be mapped as zeros by the probe of the method's prologue, and then replaced, which interrupts all processors.
        byte[] buffer = LargeArrays<byte>.Pool.Rent(MostExtendedState);
        fixed (byte* p = buffer)
        {
            Libc.Iovec vector = new() { Base = (ulong)p, Length = MostExtendedState };
            Must(PTRACE_GETREGSET, tid, X64.NoteExtendedState, (long)&vector, "PTRACE_GETREGSET(NT_X86_XSTATE)");
            byte[] state = buffer[..(int)vector.Length];
            LargeArrays<byte>.Pool.Return(buffer);
            return state;
        }
    }

    public static void SetExtendedState(int tid, byte[] state)
    {
        fixed (byte* p = state)
        {
            Libc.Iovec vector = new() { Base = (ulong)p, Length = (ulong)state.Length };
            Must(PTRACE_SETREGSET, tid, X64.NoteExtendedState, (long)&vector, "PTRACE_SETREGSET(NT_X86_XSTATE)");
        }
    }

    public static ulong GetSignalMask(int tid)
    {
        ulong mask;
        Must(PTRACE_GETSIGMASK, tid, 8, (long)&mask, "PTRACE_GETSIGMASK");
        return mask;
    }

    public static void SetSignalMask(int tid, ulong mask) => Must(PTRACE_SETSIGMASK, tid, 8, (long)&mask, "PTRACE_SETSIGMASK");

    /// <summary>A seccomp filter of a stopped thread, as an array of <c>struct sock_filter</c>.</summary>
    /// <param name="tid">The stopped thread.</param>
    /// <param name="index">Which one; 0 is the oldest.</param>
    /// <returns>Null when it has no more.</returns>
    public static byte[]? GetSeccompFilter(int tid, int index)
    {
        int error = 0;
        long count = Libc.ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, 0);
        if (count < 0 && (error = Libc.LastError) == Errno.ENOENT)
        {
            return null;
        }

        if (count < 0)
        {
            throw new BridgeException("ptrace.failed", $"PTRACE_SECCOMP_GET_FILTER of thread {tid}", Errno.Text(error));
        }

        byte[] program = new byte[count * SeccompProgram.InstructionSize];
        fixed (byte* p = program)
        {
            _ = Must(PTRACE_SECCOMP_GET_FILTER, tid, index, (long)p, "PTRACE_SECCOMP_GET_FILTER");
        }

        return program;
    }

    /// <summary>The flags of a seccomp filter (SECCOMP_FILTER_FLAG_…), as far as the kernel keeps them.</summary>
    public static ulong GetSeccompFlags(int tid, int index)
    {
        (ulong Index, ulong Flags) metadata = ((ulong)index, 0);
        _ = Must(PTRACE_SECCOMP_GET_METADATA, tid, sizeof(ulong) * 2, (long)&metadata, "PTRACE_SECCOMP_GET_METADATA");
        return metadata.Flags;
    }

    public static byte[] GetSignalInfo(int tid)
    {
        byte[] info = new byte[128];
        fixed (byte* p = info)
        {
            Must(PTRACE_GETSIGINFO, tid, 0, (long)p, "PTRACE_GETSIGINFO");
        }

        return info;
    }

    /// <summary>Pending signals with their siginfo (128 bytes each), oldest first.</summary>
    /// <param name="tid">The stopped thread.</param>
    /// <param name="shared">True: the process's queue; false: the thread's own.</param>
    public static List<byte[]> PeekSignals(int tid, bool shared)
    {
        List<byte[]> signals = [];
        byte* buffer = stackalloc byte[128 * 32];
        while (true)
        {
            PeekArguments arguments = new() { Offset = (ulong)signals.Count, Flags = shared ? 1u : 0u, Count = 32 };
            long count = Must(PTRACE_PEEKSIGINFO, tid, (long)&arguments, (long)buffer, "PTRACE_PEEKSIGINFO");
            for (int i = 0; i < count; i++)
            {
                signals.Add(new ReadOnlySpan<byte>(buffer + (i * 128), 128).ToArray());
            }

            if (count < 32)
            {
                return signals;
            }
        }
    }

    /// <summary>The thread's rseq registration; a zero pointer when it has none or the kernel (before 5.13) cannot tell.</summary>
    public static RseqConfiguration GetRseq(int tid)
    {
        RseqConfiguration configuration = default;
        return Libc.ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(RseqConfiguration), (long)&configuration) > 0 ? configuration : default;
    }

    /// <summary>Whether the thread uses syscall user dispatch (prctl(2) PR_SET_SYSCALL_USER_DISPATCH); false where the kernel cannot tell.</summary>
    public static bool UsesSyscallUserDispatch(int tid)
    {
        ulong* configuration = stackalloc ulong[4];
        return Libc.ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, 32, (long)configuration) == 0 && configuration[0] != 0;
    }

    private static int Try(long request, int tid, long address, long data) =>
        Libc.ptrace(request, tid, address, data) < 0 ? Libc.LastError : 0;

    private static long Must(long request, int tid, long address, long data, string name)
    {
        long result = Libc.ptrace(request, tid, address, data);
        if (result >= 0)
        {
            return result;
        }

        int error = Libc.LastError;
        throw error == Errno.ESRCH
            ? new BridgeException("process.gone", $"{name} of thread {tid}", "the thread is gone or no longer stands")
            : new BridgeException("ptrace.failed", $"{name} of thread {tid}", Errno.Text(error));
    }

    private struct PeekArguments
    {
        public ulong Offset;
        public uint Flags;
        public int Count;
    }
}

/// <summary><c>struct ptrace_rseq_configuration</c> of include/uapi/linux/ptrace.h.</summary>
internal struct RseqConfiguration
{
    public ulong Pointer;
    public uint Size;
    public uint Signature;
    public uint Flags;
    public uint Padding;
}
