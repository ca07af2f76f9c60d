using System.Text;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// A copy-on-write copy of a stopped process's memory: a process that never runs, of which pages are read while the application goes on. Made by clone(2) inside
/// the process, in a way that leaves it no child: the clone shares its memory with a clone of its own, ends, and is waited for before the process goes on; the
/// second one, the copy, becomes a child of the space's init (or of the host's), which reaps it. The application gets no signal, and none of its waits finds it.
/// </summary>
/// <remarks>
/// Should the tracer die at any moment: the clone's stack holds a signal frame that makes exit_group, so that it never runs the application's code; the copy and it
/// carry PTRACE_O_EXITKILL as soon as they are seen (and as long as the copy is not on its way out); the process itself goes on over a frame that waits for the clone, then over the one with its true state.
/// Belongs to the OS thread that stopped the process.
/// </remarks>
internal sealed class FrozenCopy : IDisposable
{
    /// <summary>The copy's name in /proc/PID/stat, by which <see cref="IsOne"/> knows it.</summary>
    public const string Name = "frozen copy";

    private const ulong CLONE_VM = 0x100, CLONE_FILES = 0x400, CLOSE_RANGE_UNSHARE = 2, WCLONE = 0x80000000, PR_SET_NAME = 15;
    private const int Options = PtraceCall.OptionSysGood | PtraceCall.OptionTraceClone | PtraceCall.OptionExitKill;

    private readonly Tracee thread;
    private readonly UserRegisters leaving;

    private FrozenCopy(Tracee thread, in UserRegisters leaving)
    {
        this.thread = thread;
        this.leaving = leaving;
        Memory = new TargetMemory(thread.Pid);
    }

    /// <summary>Its pid, as the host sees it.</summary>
    public int Pid => thread.Pid;

    /// <summary>Its memory.</summary>
    public TargetMemory Memory { get; }

    /// <summary>Whether a process is such a copy, a dying or dead one included, and so no process of the application. No descriptor is left to it.</summary>
    public static bool IsOne(int pid) => ProcessStat.TryRead(pid) is { Name: Name } && ProcFs.Numbers($"/proc/{pid}/fd").Count == 0;

    /// <summary>Whether a process that has this name may be such a copy.</summary>
    public static bool IsNamedSo(ReadOnlySpan<byte> name) => Ascii.Equals(name, Name);

    /// <summary>Why a process cannot have a copy, so that its memory is stored while it stands.</summary>
    /// <param name="process">The process.</param>
    /// <param name="limits">What the control groups of the application leave; a copy's part is taken.</param>
    /// <param name="standing">What it has in common with the others, where all of them stand.</param>
    /// <returns>Null when it can have one.</returns>
    public static string? Obstacle(ProcessInspection process, MemoryLimits limits, StandingFacts? standing = null) =>
        // A System V segment would say that the copy was the last to attach it (shm_lpid of shmctl(2)).
        process.Areas.Any(area => area.Kind == AreaKind.SystemV) ? "it has System V memory attached"
        : process.Areas.Any(HugePages.IsPrivate) ? "it has huge pages of its own, of which a copy would need as many again"
        // The init that would adopt the copy there is a program of the application's.
        : process.View.Depth > 0 ? "it is in a pid namespace of the application's own"
        : process.ChildPidNamespace is null || process.ChildPidNamespace != process.PidNamespace ? "its children would be in another pid namespace"
        : !limits.TryTake(standing?.ControlGroupsOf(process.View.Pid) ?? MemoryLimits.GroupsOf(process.View.Pid), process.View.Status.Kibibytes("RssAnon") * 1024)
            ? "its control group leaves no room for a copy of its memory"
        : null;

    /// <summary>Makes a copy of the process whose thread stands.</summary>
    /// <param name="calls">Calls inside that thread; nothing has been called yet.</param>
    /// <param name="tracee">The thread.</param>
    /// <exception cref="BridgeException">It could not be made; nothing is left of it.</exception>
    public static FrozenCopy Make(InjectedCalls calls, Tracee tracee)
    {
        Tracee? clone = null;
        FrozenCopy? copy = null;
        PtraceCall.SetOptionsOrThrow(tracee.Tid, PtraceCall.OptionSysGood | PtraceCall.OptionTraceClone);
        try
        {
            ulong ending = calls.ReserveEnding();
            tracee.Born = 0;
            long child = calls.Begin(new InjectedCall(X64.Clone, CLONE_FILES, ending), new InjectedCall(X64.Wait4, ulong.MaxValue, 0, WCLONE));
            if (child < 0)
            {
                throw Failed(tracee.Pid, "clone", child);
            }

            clone = Adopt(tracee.Born);
            using TargetMemory memory = new(clone.Pid);
            memory.Write(calls.Scratch, Encoding.ASCII.GetBytes(Name + '\0'));
            (string Name, InjectedCall Call)[] steps =
            [
                ("setsid", new InjectedCall(X64.Setsid)), ("prctl", new InjectedCall(X64.Prctl, PR_SET_NAME, calls.Scratch)),
                ("close_range", new InjectedCall(X64.CloseRange, 0, uint.MaxValue, CLOSE_RANGE_UNSHARE)), ("clone", new InjectedCall(X64.Clone, CLONE_VM | CLONE_FILES, ending)),
            ];
            ulong? results = calls.PrepareElsewhere(clone, memory, [.. steps.Select(step => step.Call), new InjectedCall(X64.ExitGroup)]);
            if (results is null)
            {
                clone.Born = 0;
                foreach ((string name, InjectedCall call) in steps)
                {
                    Must(clone, name, calls.CallElsewhere(clone, ending, call));
                }
            }
            else if (!clone.RunToBirth())
            {
                throw new BridgeException("copy.failed", $"copying process {tracee.Pid}", "its copy ended");
            }

            copy = new FrozenCopy(Adopt(clone.Born), calls.RegistersOf(new InjectedCall(X64.ExitGroup)));
            for (int i = 0; results is { } at && i < steps.Length - 1; i++)
            {
                Must(copy.thread, steps[i].Name, copy.Memory.Read<long>(at + (ulong)(i * 8)));
            }

            calls.PutBackIn(copy.Memory);
            End(clone);
            clone = null;

            long waited = calls.Next();
            return waited == child ? copy : throw new BridgeException("copy.failed", $"copying process {tracee.Pid}", $"it waited for {child} and got {waited}");
        }
        catch
        {
            // All that was born, and before the process goes on to wait for its child.
            copy?.Dispose();
            clone ??= copy is null && tracee.Born != 0 ? Tracee.Inherited(tracee.Born, tracee.Born) : null;
            if (clone is not null)
            {
                if (copy is null && clone.Born != 0)
                {
                    End(Tracee.Inherited(clone.Born, clone.Born));
                }

                End(clone);
            }

            throw;
        }
        finally
        {
            _ = PtraceCall.SetOptions(tracee.Tid, PtraceCall.OptionSysGood);
        }
    }

    /// <summary>Waits for a moment until a copy that its tracer has let go of is no more.</summary>
    public static void AwaitEnd(int pid)
    {
        using IDisposable kernel = ProcSnapshot.PassOver();
        for (int i = 0; i < 1000 && IsOne(pid) && ProcessStatus.TryRead(pid)?.Number("TracerPid") == 0; i++)
        {
            _ = Libc.usleep(i < 20 ? 50u : 1000u);
        }
    }

    /// <summary>Makes it the first to go when memory runs out. Done when the process goes on: it takes as long as a sixth of all that makes the copy, and little is written to it until then.</summary>
    public void OfferToOutOfMemoryKiller()
    {
        try
        {
            File.WriteAllText($"/proc/{Pid}/oom_score_adj", "1000");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It is gone, which whoever reads it is told; or procfs allows nothing, as in some containers.
        }
    }

    /// <summary>
    /// Lets go of the copy: the one call that it ever makes ends it. The kernel takes as long as a fork to give its memory back, so that nobody waits for it but the next checkpoint
    /// (<see cref="AwaitEnd"/>).
    /// </summary>
    public void Dispose()
    {
        if (thread.Gone || PtraceCall.TrySetRegisters(thread.Tid, leaving) != 0 || PtraceCall.Detach(thread.Tid) != 0)
        {
            End(thread);
        }

        Memory.Dispose();
    }

    /// <summary>Takes over a process that the kernel attached at its birth, before its first instruction.</summary>
    private static Tracee Adopt(int pid)
    {
        Tracee thread = Tracee.Inherited(pid, pid);
        if (thread.Wait().Ended)
        {
            throw new BridgeException("copy.failed", $"copying memory to process {pid}", "it ended");
        }

        PtraceCall.SetOptionsOrThrow(pid, Options);
        return thread;
    }

    private static void End(Tracee thread)
    {
        if (!thread.Gone)
        {
            _ = Libc.kill(thread.Pid, Libc.SIGKILL);
            while (!thread.Gone)
            {
                _ = thread.Wait();
            }
        }
    }

    private static void Must(Tracee thread, string call, long result)
    {
        if (result < 0)
        {
            throw Failed(thread.Pid, call, result);
        }
    }

    private static BridgeException Failed(int pid, string call, long result) => new("copy.failed", $"{call} inside process {pid}", Errno.Text((int)-result));
}
