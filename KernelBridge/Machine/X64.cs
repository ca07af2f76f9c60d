using System.Buffers.Binary;
using System.Runtime.Intrinsics.X86;

namespace Holdfast.KernelBridge.Machine;

/// <summary>
/// What is particular to x86-64: system-call numbers, instruction patterns, the signal frame. Another architecture is another file of this kind.
/// </summary>
internal static class X64
{
    /// <summary>Register sets by their numbers in core dumps (include/uapi/linux/elf.h): NT_PRSTATUS, NT_X86_XSTATE.</summary>
    public const int NotePrstatus = 1, NoteExtendedState = 0x202;

    public const int Read = 0, Write = 1, Open = 2, Close = 3, Poll = 7, Lseek = 8, Mmap = 9, Mprotect = 10, Munmap = 11, Brk = 12, RtSigaction = 13, RtSigprocmask = 14,
        RtSigreturn = 15, Mremap = 25, Madvise = 28, Dup2 = 33, Pause = 34, Nanosleep = 35, Getitimer = 36, Setitimer = 38, Getpid = 39, Clone = 56, Exit = 60, Wait4 = 61, Kill = 62,
        Fcntl = 72, Fchdir = 81, Chdir = 80, Umask = 95, Getppid = 110, Setpgid = 109, Setsid = 112, Setgroups = 116, Setresuid = 117, Setresgid = 119,
        Setfsuid = 122, Setfsgid = 123, Capset = 126, RtSigpending = 127, RtSigtimedwait = 128, RtSigqueueinfo = 129, Sigaltstack = 131, Personality = 135,
        Setpriority = 141, Mlock = 149, Mlock2 = 325, Prctl = 157, ArchPrctl = 158, Chroot = 161, Gettid = 186, Futex = 202, SchedSetaffinity = 203,
        SetTidAddress = 218, RestartSyscall = 219, Semtimedop = 220, ClockNanosleep = 230, ExitGroup = 231, EpollWait = 232, Waitid = 247, IoprioSet = 251, Ppoll = 271,
        Dup3 = 292, Pipe2 = 293, SetRobustList = 273, EpollPwait = 281, RtTgsigqueueinfo = 297, Prlimit64 = 302, SchedSetattr = 314, Seccomp = 317, Membarrier = 324, Preadv2 = 327, Rseq = 334,
        Clone3 = 435, CloseRange = 436, EpollPwait2 = 441;

    public const int Ioctl = 16, Flock = 73, Ftruncate = 77, Mkdir = 83, Chmod = 90, Fchmod = 91, Chown = 92, Fchown = 93, EpollCtl = 233, InotifyAddWatch = 254, TimerfdCreate = 283, TimerfdSettime = 286,
        Signalfd4 = 289, Eventfd2 = 290, EpollCreate1 = 291, InotifyInit1 = 294, MemfdCreate = 319, PidfdOpen = 434, PidfdGetfd = 438, Userfaultfd = 323;
    public const int Shmget = 29, Shmat = 30, Shmctl = 31, Semget = 64, Semop = 65, Semctl = 66, Msgget = 68, Msgsnd = 69, Msgrcv = 70, Msgctl = 71;
    public const int PkeyMprotect = 329, PkeyAlloc = 330, PkeyFree = 331, Mbind = 237, SetMempolicy = 238, GetMempolicy = 239;
    public const int SchedGetaffinity = 204, IoSetup = 206, IoGetevents = 208, IoSubmit = 209, IoPgetevents = 333, IoUringSetup = 425;
    public const int Mount = 165, Unshare = 272, Setns = 308;
    public const int MqOpen = 240, MqUnlink = 241, MqTimedsend = 242, MqTimedreceive = 243;
    public const int TimerCreate = 222, TimerSettime = 223, TimerGettime = 224, TimerDelete = 226;
    public const int Socket = 41, Connect = 42, Bind = 49, Listen = 50, Socketpair = 53, Sendmsg = 46, Recvmsg = 47, Setsockopt = 54, Accept4 = 288;

    /// <summary>User code segment of 64-bit code; anything else is a 32-bit process.</summary>
    public const ulong UserCodeSegment = 0x33;

    /// <summary><c>syscall; ret</c>.</summary>
    public static readonly byte[] SyscallReturn = [0x0f, 0x05, 0xc3];

    /// <summary>Instruction sequences that end in rt_sigreturn: <c>mov $15,%rax</c> or <c>mov $15,%eax</c>, then <c>syscall</c>.</summary>
    public static readonly byte[][] SigreturnSequences =
        [[0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05], [0xb8, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05]];

    /// <summary><c>pop %rax; ret</c>: with <c>syscall</c> behind it, another way to rt_sigreturn.</summary>
    public static readonly byte[] PopRaxReturn = [0x58, 0xc3];

    /// <summary><c>pop %rdi; ret</c>.</summary>
    public static readonly byte[] PopRdiReturn = [0x5f, 0xc3];

    /// <summary><c>pop %rsi; ret</c>.</summary>
    public static readonly byte[] PopRsiReturn = [0x5e, 0xc3];

    /// <summary><c>mov %rax,(%rdi); ret</c>, and the same with %rsi and %rdx.</summary>
    public static readonly byte[][] StoreRaxReturns = [[0x48, 0x89, 0x07, 0xc3], [0x48, 0x89, 0x06, 0xc3], [0x48, 0x89, 0x02, 0xc3]];

    /// <summary><c>pop %rdx; ret</c>; <c>pop %rdx; pop %rbx; ret</c>; <c>pop %rdx; pop %r12; ret</c>: C libraries have the one or the other.</summary>
    public static readonly byte[][] PopRdxReturns = [[0x5a, 0xc3], [0x5a, 0x5b, 0xc3], [0x5a, 0x41, 0x5c, 0xc3]];

    /// <summary>
    /// Calls that return EINTR after any stop, even without a handler (signal(7), <i>Interruption of system calls and library functions by stop signals</i>).
    /// </summary>
    public static bool EndsEarlyOnStop(ulong number) => number is EpollWait or EpollPwait or EpollPwait2 or RtSigtimedwait or Semtimedop or Semop or IoGetevents or IoPgetevents;

    /// <summary>A wait that ends at a stated time, so that making the call again is the same: FUTEX_WAIT_BITSET and its kind (futex(2)).</summary>
    public static bool WaitsUntilAbsoluteTime(in UserRegisters registers) => registers.OrigRax == Futex && (registers.Rsi & 0x7f) != 0;

    /// <summary>The size of the XSAVE area that a signal frame carries, and its feature mask; see arch/x86/kernel/fpu/signal.c.</summary>
    /// <param name="state">A regset as NT_X86_XSTATE gave it; its software bytes hold XCR0.</param>
    public static (int Size, ulong Features) SignalFrameState(ReadOnlySpan<byte> state)
    {
        // Features that a process must ask for (AMX: bits 17 and 18) are in a frame only after it did; without them the frame is shorter.
        ulong features = BinaryPrimitives.ReadUInt64LittleEndian(state[464..]) & ~(3ul << 17);
        if (features == 0)
        {
            return (LegacyStateSize, 0);
        }

        if (frameState is { } known && known.Features == features)
        {
            return (known.Size, features);
        }

        int size = LegacyStateSize;
        for (int i = 2; i < 63; i++)
        {
            if ((features >> i & 1) != 0)
            {
                (int length, int offset, int flags, _) = X86Base.CpuId(0xd, i);
                if ((flags & 1) == 0)
                {
                    size = Math.Max(size, offset + length);
                }
            }
        }

        frameState = new FrameState(size, features);
        return (size, features);
    }

    /// <summary>What was worked out last, by whatever thread: a virtual machine leaves its processor for each CPUID.</summary>
    private static volatile FrameState? frameState;

    /// <summary>Bytes of an XSAVE area of x87 and SSE alone, with its header.</summary>
    private const int LegacyStateSize = 576;

    /// <summary>Bytes of <c>struct rt_sigframe</c>, without the extended state behind it.</summary>
    public const int SignalFrameSize = 8 + 304 + 128;

    /// <summary>
    /// Builds <c>struct rt_sigframe</c> (arch/x86/include/asm/sigframe.h) so that rt_sigreturn puts everything back: registers, extended state,
    /// signal mask; the alternate stack stays as it is (its flags here are invalid on purpose, which the kernel ignores).
    /// </summary>
    /// <param name="address">Where the frame will lie.</param>
    /// <param name="returnAddress">Its first word: where <c>ret</c> goes before rt_sigreturn runs.</param>
    /// <param name="registers">What to put back, restart codes resolved.</param>
    /// <param name="state">The extended state as NT_X86_XSTATE gave it.</param>
    /// <param name="signalMask">The mask to put back.</param>
    public static byte[] SignalFrame(ulong address, ulong returnAddress, in UserRegisters registers, ReadOnlySpan<byte> state, ulong signalMask)
    {
        byte[] frame = new byte[SignalFrameLength(address, state)];
        SignalFrame(frame, address, returnAddress, registers, state, signalMask);
        return frame;
    }

    /// <summary>How many bytes it takes.</summary>
    /// <param name="address">Where it will lie.</param>
    /// <param name="state">The extended state.</param>
    public static int SignalFrameLength(ulong address, ReadOnlySpan<byte> state) =>
        (int)(((address + SignalFrameSize + 63) & ~63ul) - address) + SignalFrameState(state).Size + 4;

    /// <summary>The same, into bytes that are all 0.</summary>
    public static void SignalFrame(Span<byte> frame, ulong address, ulong returnAddress, in UserRegisters registers, ReadOnlySpan<byte> state, ulong signalMask)
    {
        (int stateSize, ulong features) = SignalFrameState(state);
        ulong stateAddress = (address + SignalFrameSize + 63) & ~63ul;
        int stateOffset = (int)(stateAddress - address);
        Span<byte> f = frame;
        Put(f, 0, returnAddress);

        // struct ucontext from 8 on: flags UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS.
        Put(f, 8, 7);
        BinaryPrimitives.WriteUInt32LittleEndian(f[(8 + 24)..], 0x40000000);
        ReadOnlySpan<ulong> context =
        [
            registers.R8, registers.R9, registers.R10, registers.R11, registers.R12, registers.R13, registers.R14, registers.R15, registers.Rdi,
            registers.Rsi, registers.Rbp, registers.Rbx, registers.Rdx, registers.Rax, registers.Rcx, registers.Rsp, registers.Rip, registers.Eflags,
        ];
        int at = 8 + 40;
        foreach (ulong value in context)
        {
            Put(f, at, value);
            at += 8;
        }

        Put(f, at, registers.Cs & 0xffff | registers.Ss << 48);
        Put(f, at + 40, stateAddress);
        Put(f, 8 + 296, signalMask);

        state[..Math.Min(stateSize, state.Length)].CopyTo(f[stateOffset..]);

        // struct _fpx_sw_bytes at byte 464 of the FXSAVE area.
        Span<byte> software = f[(stateOffset + 464)..];
        software[..48].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(software, 0x46505853);
        BinaryPrimitives.WriteUInt32LittleEndian(software[4..], (uint)stateSize + 4);
        Put(software, 8, features);
        BinaryPrimitives.WriteUInt32LittleEndian(software[16..], (uint)stateSize);
        BinaryPrimitives.WriteUInt32LittleEndian(f[(stateOffset + stateSize)..], 0x46505845);
    }

    /// <summary>
    /// The same without extended state, which rt_sigreturn then clears: for a call in a row of which the last frame puts all back.
    /// </summary>
    /// <param name="returnAddress">Its first word.</param>
    /// <param name="registers">The call.</param>
    /// <param name="signalMask">The mask while it is made.</param>
    public static byte[] SignalFrame(ulong returnAddress, in UserRegisters registers, ulong signalMask)
    {
        byte[] frame = SignalFrame(0, returnAddress, registers, new byte[LegacyStateSize], signalMask)[..SignalFrameSize];
        // No UC_FP_XSTATE, no address.
        Put(frame, 8, 6);
        Put(frame, 8 + 40 + 19 * 8 + 32, 0);
        return frame;
    }

    private static void Put(Span<byte> into, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(into[offset..], value);

    private sealed record FrameState(int Size, ulong Features);
}
