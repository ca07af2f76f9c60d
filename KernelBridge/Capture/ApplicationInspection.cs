using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What only shows across the processes of an application. Asked by a check and by a checkpoint alike.</summary>
internal static class ApplicationInspection
{
    /// <summary>What cannot be captured.</summary>
    /// <param name="inspections">All processes.</param>
    /// <param name="target">The application.</param>
    /// <param name="outsidePipes">Pipes that reach outside, by inode.</param>
    public static List<Refusal> Refusals(
        IReadOnlyList<ProcessInspection> inspections, ApplicationTarget target, out Dictionary<ulong, (int Stream, Refusal? Refusal)> outsidePipes)
    {
        List<Refusal> refusals = [];
        HashSet<int> pids = [.. inspections.Select(inspection => inspection.View.Pid)];
        List<DescriptorFacts> pipes = [.. inspections.SelectMany(inspection => inspection.Descriptors).Where(facts => DescriptorKinds.Of(facts) is Pipes)];
        outsidePipes = Pipes.FromOutside(pipes, pids);
        refusals.AddRange(outsidePipes.Values.Select(pipe => pipe.Refusal).OfType<Refusal>());
        refusals.AddRange(SharedProcesses(inspections));
        refusals.AddRange(ProcessTrees.Plan(inspections.Select(Node), target.Scope).Refusals);
        return refusals;
    }

    /// <summary>A terminal is inherited only when it came in on one of the standard streams of some process.</summary>
    private static ProcessNode Node(ProcessInspection inspection)
    {
        ProcessStatus status = inspection.View.Status;
        int parent = ProcessStatus.TryRead(inspection.View.Stat.ParentPid)?.Innermost("NSpid") ?? 0;
        return new ProcessNode(inspection.View.InnerPid, parent, status.Innermost("NSpgid"), status.Innermost("NSsid"), inspection.IsZombie);
    }

    /// <summary>Processes that share memory, descriptors or directories without being threads (clone(2), vfork(2)).</summary>
    private static IEnumerable<Refusal> SharedProcesses(IReadOnlyList<ProcessInspection> inspections)
    {
        foreach (ProcessInspection child in inspections.Where(inspection => !inspection.IsZombie))
        {
            int parent = child.View.Stat.ParentPid;
            if (inspections.FirstOrDefault(inspection => inspection.View.Pid == parent && !inspection.IsZombie) is null)
            {
                continue;
            }

            foreach ((int type, string what) in (ReadOnlySpan<(int, string)>)
                [(Libc.KCMP_VM, "memory"), (Libc.KCMP_FILES, "descriptors"), (Libc.KCMP_FS, "directories"), (Libc.KCMP_SIGHAND, "signal actions")])
            {
                if (Libc.kcmp(parent, child.View.Pid, type, 0, 0) == 0)
                {
                    return [child.View.Refuse("process.shared", what, $"it shares its {what} with its parent", "wait until it has executed its program")];
                }
            }
        }

        return [];
    }
}
