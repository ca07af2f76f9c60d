using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Filters of seccomp(2) that a thread has. They are read by ptrace when the process stands, and decide which calls may be made inside it: one that they do not allow is never tried,
/// since it may end the process. Threads may have different ones: <see cref="SeccompFilterSets"/>.
/// </summary>
internal sealed class SeccompFilters
{
    /// <summary>Code of the refusals.</summary>
    public const string Code = "process.seccomp";

    /// <summary>Code and words of the refusal for want of rights.</summary>
    public const string Rights = "rights.seccomp", WithoutRights = "the kernel shows and suspends filters for CAP_SYS_ADMIN of the host only, which an ordinary user does not have",
        RightsRemedy = "start it without a seccomp filter, or run Holdfast as root";

    /// <summary>What a check says: before the process stands nobody can read its filters.</summary>
    public const string Caveat = "kept if they allow the system calls that a checkpoint makes in the process, which shows when it stands only";

    private const int SECCOMP_SET_MODE_FILTER = 1, ModeStrict = 1, ModeFilter = 2, FlagLog = 2, PR_SET_NAME = 15, PR_GET_TID_ADDRESS = 40;

    // One of each kind: what a checkpoint calls inside a thread, and inside the first one. Calls with other arguments are looked at again before they are made.
    private static readonly (string Name, InjectedCall Call)[] neededOfThread =
        [("rt_sigreturn", new(X64.RtSigreturn)), ("sigaltstack", new(X64.Sigaltstack, 0, 1)), ("prctl", new(X64.Prctl, PR_GET_TID_ADDRESS, 1))];

    private static readonly (string Name, InjectedCall Call)[] needed =
    [
        .. neededOfThread, ("rt_sigaction", new(X64.RtSigaction, Libc.SIGTRAP, 0, 1, 8)), ("rt_sigtimedwait", new(X64.RtSigtimedwait, 1, 0, 1, 8)), ("getitimer", new(X64.Getitimer, 0, 1)),
        ("brk", new(X64.Brk)), ("membarrier", new(X64.Membarrier, 512)),
    ];

    private static readonly InjectedCall[] neededForCopy =
    [
        new(X64.Clone, 0x400), new(X64.Wait4), new(X64.Setsid), new(X64.Prctl, PR_SET_NAME, 1), new(X64.CloseRange, 0, uint.MaxValue, 2), new(X64.ExitGroup),
    ];

    private readonly List<SeccompProgram> programs;

    private SeccompFilters(List<SeccompFilterImage> images, List<SeccompProgram> programs)
    {
        Images = images;
        this.programs = programs;
    }

    /// <summary>The filters, the oldest first.</summary>
    public IReadOnlyList<SeccompFilterImage> Images { get; }

    /// <summary>Whether a frozen copy can be made.</summary>
    public bool AllowCopy => neededForCopy.All(call => Allows(call, 0));

    /// <summary>Whether a process has any, and why they cannot be captured, as far as that shows while it runs.</summary>
    /// <param name="view">The process.</param>
    /// <param name="threads">Its threads.</param>
    public static IEnumerable<Refusal> Check(ProcessView view, IReadOnlyList<(int Tid, ProcessStatus Status)> threads)
    {
        if (threads.All(thread => thread.Status.Number("Seccomp") == 0))
        {
            yield break;
        }

        if (threads.Any(thread => thread.Status.Number("Seccomp") == ModeStrict))
        {
            yield return view.Refuse(Code, "seccomp", "it is in seccomp's strict mode, which lets nobody make a system call in it", "let it use a filter");
        }
        else if (ProcessStatus.Read(Environment.ProcessId).Number("Seccomp") != 0)
        {
            yield return view.Refuse(Code, "seccomp", "Holdfast runs under a seccomp filter itself, so that the kernel shows it no others", "run Holdfast without one");
        }
        else if (!Authority.Own.IsOfHost)
        {
            yield return view.Refuse(Rights, "seccomp", WithoutRights, RightsRemedy);
        }
    }

    /// <summary>Reads the filters of a thread that stands.</summary>
    /// <param name="tid">The thread, as the host numbers it.</param>
    public static SeccompFilters Read(int tid)
    {
        List<SeccompFilterImage> images = [];
        while (PtraceCall.GetSeccompFilter(tid, images.Count) is { } program)
        {
            images.Add(new SeccompFilterImage { Program = program, IsLogged = (PtraceCall.GetSeccompFlags(tid, images.Count) & FlagLog) != 0 });
        }

        return new SeccompFilters(images, [.. images.Select(image => SeccompProgram.TryRead(image.Program)).OfType<SeccompProgram>()]);
    }

    /// <summary>Why a checkpoint cannot make its calls in the thread, or null.</summary>
    /// <param name="view">The process.</param>
    /// <param name="thread">The thread, as the application numbers it.</param>
    public Refusal? Obstacle(ProcessView view, int thread)
    {
        (string Name, InjectedCall Call)[] all = thread == view.InnerPid ? needed : neededOfThread;
        return Array.Find(all, call => programs.Count != Images.Count || !Allows(call.Call, 0)) is { Name: { } name }
            ? view.Refuse(
                Code, thread == view.InnerPid ? "seccomp" : $"seccomp of thread {thread}", $"its filter does not allow {name}, which a checkpoint calls inside it", $"let the filter allow {string.Join(", ", all.Select(n => n.Name))}")
            : null;
    }

    /// <summary>Refuses a call that a filter does not let pass; nothing has happened yet.</summary>
    /// <param name="call">The call that is to be made inside the process.</param>
    /// <param name="instruction">The address behind the system-call instruction.</param>
    /// <exception cref="BridgeException">Code <see cref="Code"/>.</exception>
    public void Require(InjectedCall call, ulong instruction)
    {
        if (!Allows(call, instruction))
        {
            throw new BridgeException(Code, $"calling system call {call.Number} inside a process", $"its seccomp filter does not allow it with the arguments {call.A0:x}, {call.A1:x}, {call.A2:x}", "let the filter allow it");
        }
    }

    /// <summary>Composes what sets one, for a thread that is traced with PTRACE_O_SUSPEND_SECCOMP.</summary>
    public static void Restore(SeccompFilterImage image, SyscallTape tape)
    {
        // struct sock_fprog.
        ulong program = tape.Place(image.Program);
        ulong description = tape.Place(((ulong)(image.Program.Length / SeccompProgram.InstructionSize), program));
        tape.Add("seccomp filter", X64.Seccomp, SECCOMP_SET_MODE_FILTER, image.IsLogged ? FlagLog : 0ul, description);
    }

    /// <summary>What is wrong with a list of an image, or null.</summary>
    public static string? Problem(IReadOnlyList<SeccompFilterImage> images) =>
        images.Count > 1024 ? "too many seccomp filters" : images.Any(image => image?.Program is null || SeccompProgram.TryRead(image.Program) is null) ? "a seccomp filter is no program" : null;

    /// <summary>Whether all filters let a call pass.</summary>
    public bool Allows(InjectedCall call, ulong instruction)
    {
        ReadOnlySpan<ulong> arguments = [call.A0, call.A1, call.A2, call.A3, call.A4, call.A5];
        foreach (SeccompProgram program in programs)
        {
            if (!program.Allows(call.Number, arguments, instruction))
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>A filter of seccomp(2).</summary>
internal sealed record SeccompFilterImage
{
    /// <summary>An array of <c>struct sock_filter</c>.</summary>
    public required byte[] Program { get; init; }

    /// <summary>SECCOMP_FILTER_FLAG_LOG.</summary>
    public bool IsLogged { get; init; }

    /// <inheritdoc/>
    public bool Equals(SeccompFilterImage? other) => other is not null && IsLogged == other.IsLogged && Program.AsSpan().SequenceEqual(other.Program);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Program.Length, IsLogged);
}
