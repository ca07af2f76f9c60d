using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Pid namespaces of an application's own, inside that of its space (pid_namespaces(7)). Everything in an image is named by the numbers of the application's namespace,
/// which all its processes have; what a process knows itself and others by lies beside that. A namespace is known by the pid of its init: it has one, or it is gone.
/// </summary>
internal sealed class PidNamespaces
{
    /// <summary>The code of refusals.</summary>
    public const string Code = "process.namespace";

    /// <summary>Instead of the pid of an init: a namespace in which nobody has been yet.</summary>
    public const int Unused = -1;

    /// <summary>How deep they lie in each other at most; MAX_PID_NS_LEVEL of include/linux/pid_namespace.h.</summary>
    public const int Deepest = 31;

    private const ulong CLONE_NEWPID = 0x20000000;

    private readonly Dictionary<int, ProcessInspection> byPid;
    private readonly Dictionary<string, ProcessInspection> inits;
    private readonly Dictionary<int, IReadOnlyList<NestedNumbers>> numbers = [];
    private readonly Dictionary<int, int> childNamespaces = [];

    private PidNamespaces(IReadOnlyList<ProcessInspection> inspections)
    {
        byPid = inspections.ToDictionary(inspection => inspection.View.Pid);
        inits = [];
        foreach (ProcessInspection init in inspections.Where(inspection => inspection.View.Depth > 0 && inspection.View.OwnPid == 1 && inspection.PidNamespace is not null))
        {
            inits[init.PidNamespace!] = init;
        }
    }

    /// <summary>Why some cannot be captured.</summary>
    public List<Refusal> Refusals { get; } = [];

    public static PidNamespaces Take(IReadOnlyList<ProcessInspection> inspections)
    {
        PidNamespaces namespaces = new(inspections);
        foreach (ProcessInspection inspection in inspections)
        {
            if (inspection.View.Depth > 0)
            {
                namespaces.Number(inspection);
            }

            if (!inspection.IsZombie && inspection.PidNamespace is { } own && inspection.ChildPidNamespace != own)
            {
                namespaces.FindChildNamespace(inspection);
            }
        }

        return namespaces;
    }

    /// <summary>The numbers of a process in the namespaces inside the application's, the outermost first.</summary>
    /// <param name="pid">As the host sees it.</param>
    public IReadOnlyList<NestedNumbers> NumbersOf(int pid) => numbers.GetValueOrDefault(pid, []);

    /// <summary>Whether there are any.</summary>
    public bool Any => numbers.Count > 0;

    /// <summary>Whether one process knows a number of another.</summary>
    /// <param name="viewer">The one, as the host sees it.</param>
    /// <param name="pid">The other.</param>
    /// <param name="number">Which number.</param>
    public bool IsSeen(int viewer, int pid, Func<NestedNumbers, int> number) => NumbersOf(viewer) is var own && NumbersOf(pid) is var other
        && (own.Count == 0 || (Contains(own, other) && number(other[own.Count - 1]) != 0));

    /// <summary>Completes the image of a process.</summary>
    public void Complete(ProcessImage image)
    {
        image.Nested = NumbersOf(image.HostPid);
        image.ChildNamespace = childNamespaces.GetValueOrDefault(image.HostPid);
    }

    /// <summary>Composes what puts the children that the calling process will have into another namespace.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="pid">A process of that namespace, by the number that the caller knows it by.</param>
    public static void EnterForChildren(SyscallTape tape, int pid)
    {
        tape.Add($"looking for process {pid}, whose pid namespace children are to be in", X64.PidfdOpen, (ulong)pid, 0);
        tape.AddWith($"children into the pid namespace of process {pid}", X64.Setns, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0, CLONE_NEWPID);
        tape.AddWith($"leaving process {pid}", X64.Close, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0);
    }

    /// <summary>Composes where the children of a process will be: after all that makes processes or threads.</summary>
    public static void Restore(ApplicationImage image, ProcessImage process, SyscallTape tape)
    {
        if (process.ChildNamespace == Unused)
        {
            tape.Add("a pid namespace for children", X64.Unshare, CLONE_NEWPID);
        }
        else if (process.ChildNamespace != 0)
        {
            EnterForChildren(tape, PidNumbers.OfProcess(image, process, process.ChildNamespace));
        }
    }

    /// <summary>What of the namespaces in an image is impossible; null when nothing is.</summary>
    public static string? Problem(ApplicationImage image)
    {
        Dictionary<int, ProcessImage> processes = image.Processes.ToDictionary(process => process.Pid);
        Dictionary<(int Namespace, int Number), int> outer = [];
        Dictionary<(int Namespace, int Outer), int> inner = [];

        // The same thing has one number in each namespace, and each number is one thing.
        bool Agrees(int place, int number, int application) =>
            number is > 0 and < 1 << 22 && application > 0
            && (outer.TryAdd((place, number), application) || outer[(place, number)] == application)
            && (inner.TryAdd((place, application), number) || inner[(place, application)] == number);

        foreach (ProcessImage process in image.Processes)
        {
            IReadOnlyList<NestedNumbers> nested = process.Nested;
            if (nested.Count > Deepest)
            {
                return $"process {process.Pid} is in more than {Deepest} pid namespaces";
            }

            for (int level = 0; level < nested.Count; level++)
            {
                NestedNumbers at = nested[level];
                if (!processes.TryGetValue(at.Namespace, out ProcessImage? init) || init.Nested.Count != level + 1 || init.Nested[level].Pid != 1
                    || !init.Nested.Select(own => own.Namespace).SequenceEqual(nested.Take(level + 1).Select(own => own.Namespace)))
                {
                    return $"process {process.Pid} is in a pid namespace without an init";
                }

                if (init.ZombieStatus is not null && init != process)
                {
                    return $"process {process.Pid} is in a pid namespace whose init has ended";
                }

                if (!Agrees(at.Namespace, at.Pid, process.Pid) || (at.Group != 0 && !Agrees(at.Namespace, at.Group, process.ProcessGroup))
                    || (at.Session != 0 && !Agrees(at.Namespace, at.Session, process.Session)))
                {
                    return $"process {process.Pid} has an impossible number in the pid namespace of process {at.Namespace}, or one that is another's there";
                }
            }

            if (process.Threads.Any(thread => thread.NestedTids.Count != nested.Count || !thread.NestedTids.Select((tid, level) => Agrees(nested[level].Namespace, tid, thread.Tid)).All(agrees => agrees)))
            {
                return $"a thread of process {process.Pid} has an impossible number in a pid namespace";
            }

            // Who was born there has a parent there or further out, an init one that is not in its namespace.
            if (processes.TryGetValue(process.ParentPid, out ProcessImage? parent)
                && (!Contains(parent.Nested, nested) || (nested.Count > 0 && nested[^1].Pid == 1 && parent.Nested.Count != nested.Count - 1)))
            {
                return $"process {process.Pid} is in another pid namespace than a child of {process.ParentPid} can be";
            }

            if (process.ChildNamespace is not (0 or Unused) && (!processes.TryGetValue(process.ChildNamespace, out ProcessImage? first) || first.ZombieStatus is not null
                || first.Nested.Count <= nested.Count || first.Nested[^1].Namespace != first.Pid || !Contains(nested, first.Nested)))
            {
                return $"children of process {process.Pid} would be in an impossible pid namespace";
            }
        }

        return null;
    }

    private static bool Contains(IReadOnlyList<NestedNumbers> outer, IReadOnlyList<NestedNumbers> inner) =>
        outer.Select(own => own.Namespace).SequenceEqual(inner.Take(outer.Count).Select(own => own.Namespace));

    private void Number(ProcessInspection inspection)
    {
        ProcessView view = inspection.View;
        if (Path(inspection.PidNamespace) is not { } path || path.Count != view.Depth)
        {
            Refusals.Add(view.Refuse(Code, "pid namespace", "it is in one whose first process is not part of the application", "let all processes of that namespace belong to the application"));
            return;
        }

        if (inspection.IsZombie && view.OwnPid == 1 && (int)view.Stat.Field(52) is var status && (status & 0x7f) is not (0 or Libc.SIGKILL))
        {
            Refusals.Add(view.Refuse(Code, "pid namespace", $"it was the first process of one and has been ended by signal {status & 0x7f}, which a restore cannot send to such a process", "let its parent wait for it"));
        }

        numbers[view.Pid] =
        [
            .. path.Select((init, level) => new NestedNumbers(
                init.View.InnerPid, view.Status.Above("NSpid", view.Depth - 1 - level), view.Status.Above("NSpgid", view.Depth - 1 - level), view.Status.Above("NSsid", view.Depth - 1 - level))),
        ];
    }

    private void FindChildNamespace(ProcessInspection inspection)
    {
        ProcessView view = inspection.View;
        if (inspection.ChildPidNamespace is null)
        {
            // The kernel does not name a namespace that has had no process (pidns_for_children_get in kernel/pid_namespace.c).
            childNamespaces[view.Pid] = Unused;
        }
        else if (Path(inspection.ChildPidNamespace) is { } path && !path[^1].IsZombie)
        {
            childNamespaces[view.Pid] = path[^1].View.InnerPid;
        }
        else
        {
            Refusals.Add(view.Refuse(Code, "pid namespace", "its children would be in one whose first process has ended or is not part of the application", "let it end, or start it without one"));
        }
    }

    /// <summary>The inits of a namespace and of those around it inside the application's, the outermost first; null where one is not part of the application.</summary>
    private List<ProcessInspection>? Path(string? name)
    {
        List<ProcessInspection> path = [];
        while (name is not null && inits.TryGetValue(name, out ProcessInspection? init))
        {
            path.Insert(0, init);
            if (init.View.Depth == 1)
            {
                return path;
            }

            // An init's parent is in the namespace around its own: who made it, or who adopted it there.
            name = byPid.GetValueOrDefault(init.View.Stat.ParentPid)?.PidNamespace;
            if (path.Count > Deepest)
            {
                break;
            }
        }

        return null;
    }
}

/// <summary>The numbers of a process in one pid namespace inside the application's.</summary>
/// <param name="Namespace">The namespace: the pid of its init in the application's.</param>
/// <param name="Pid">Its pid.</param>
/// <param name="Group">Its process group; 0 for one from outside.</param>
/// <param name="Session">Its session; 0 for one from outside.</param>
internal sealed record NestedNumbers(int Namespace, int Pid, int Group, int Session);

/// <summary>By which numbers processes of an image know others: those of their own pid namespace.</summary>
internal static class PidNumbers
{
    /// <summary>The number of a process for another one; 0 where that does not see it.</summary>
    /// <param name="image">The application.</param>
    /// <param name="viewer">Who asks.</param>
    /// <param name="pid">Who is asked for, by the application's number.</param>
    public static int OfProcess(ApplicationImage image, ProcessImage viewer, int pid) =>
        Seen(viewer, pid, image.Processes.Where(process => process.Pid == pid).Select(process => (process, (Func<NestedNumbers, int>)(at => at.Pid))));

    /// <summary>The number of a process group for a process; 0 where that does not see it.</summary>
    public static int OfGroup(ApplicationImage image, ProcessImage viewer, int group) =>
        Seen(viewer, group, image.Processes.Where(process => process.ProcessGroup == group).Select(process => (process, (Func<NestedNumbers, int>)(at => at.Group))));

    /// <summary>The number of a thread for a process; 0 where that does not see it.</summary>
    public static int OfThread(ApplicationImage image, ProcessImage viewer, int tid)
    {
        foreach (ProcessImage process in image.Processes)
        {
            if (process.Threads.FirstOrDefault(thread => thread.Tid == tid) is { } thread)
            {
                int level = viewer.Nested.Count - 1;
                return level < 0 ? tid : level < process.Nested.Count && process.Nested[level].Namespace == viewer.Nested[level].Namespace ? thread.NestedTids[level] : 0;
            }
        }

        return OfProcess(image, viewer, tid);
    }

    private static int Seen(ProcessImage viewer, int number, IEnumerable<(ProcessImage Process, Func<NestedNumbers, int> Number)> candidates)
    {
        int level = viewer.Nested.Count - 1;
        return level < 0 ? number : candidates.Where(candidate => candidate.Process.Nested.Count > level && candidate.Process.Nested[level].Namespace == viewer.Nested[level].Namespace)
            .Select(candidate => candidate.Number(candidate.Process.Nested[level])).FirstOrDefault(seen => seen != 0);
    }
}
