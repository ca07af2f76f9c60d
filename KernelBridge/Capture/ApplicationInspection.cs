using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What only shows across the processes of an application. Asked by a check and by a checkpoint alike.</summary>
internal static class ApplicationInspection
{
    /// <summary>What cannot be captured.</summary>
    /// <param name="inspections">All processes.</param>
    /// <param name="target">The application.</param>
    /// <param name="census">What was found.</param>
    /// <param name="tasks">What the kernel tells of them, where all stand.</param>
    public static List<Refusal> Refusals(IReadOnlyList<ProcessInspection> inspections, ApplicationTarget target, out ApplicationCensus census, TaskTable? tasks = null)
    {
        List<Refusal> refusals = [];
        HashSet<int> pids = [.. inspections.Select(inspection => inspection.View.Pid)];
        List<DescriptorFacts> descriptors = [.. inspections.SelectMany(inspection => inspection.Descriptors)];
        using DescriptorsInFlight flight = DescriptorsInFlight.Look(descriptors);
        refusals.AddRange(flight.Refusals);
        List<DescriptorFacts> pipes = [.. descriptors.Concat(flight.Orphans).Where(facts => DescriptorKinds.Of(facts) is Pipes)];
        Dictionary<ulong, (int Stream, Refusal? Refusal)> outsidePipes = Pipes.FromOutside(pipes, flight.Orphans.Count == 0 ? pids : new HashSet<int>([.. pids, Environment.ProcessId]));
        refusals.AddRange(outsidePipes.Values.Select(pipe => pipe.Refusal).OfType<Refusal>());
        refusals.AddRange(EpollSets.Refusals(descriptors));
        refusals.AddRange(PidFds.Refusals(descriptors, pids));
        refusals.AddRange(Fifos.Refusals(descriptors, pids));
        SocketCensus sockets = SocketCensus.Take(
            [.. descriptors.Concat(flight.Orphans).Where(Sockets.IsSocket)], pids, target.RootPid);
        refusals.AddRange(sockets.Refusals);
        TerminalCensus terminals = TerminalCensus.Take(inspections, pids, target.RootPid);
        refusals.AddRange(terminals.Refusals);
        PidNamespaces namespaces = PidNamespaces.Take(inspections);
        refusals.AddRange(namespaces.Refusals);
        PidReference reference = PidReference.Of(target.RootPid);
        MountNamespaces mounts = MountNamespaces.Take(inspections, reference);
        refusals.AddRange(mounts.Refusals);
        refusals.AddRange(SignalDrivenFiles.Refusals(inspections, target.Scope, namespaces, FromOutside(outsidePipes, sockets, terminals)));
        refusals.AddRange(SharedProcesses(inspections, tasks));
        refusals.AddRange(Groups(inspections, tasks));
        refusals.AddRange(AioContexts.Inherited(inspections));
        refusals.AddRange(FilesAboutOthers(inspections));
        refusals.AddRange(target.Scope == ApplicationScope.Tree ? [.. ForeignNamespaces(inspections), .. Strays(inspections, pids)] : []);
        refusals.AddRange(InterProcessCommunication.Refusals(target.RootPid, pids));
        refusals.AddRange(target.Scope == ApplicationScope.Space ? SharedMemoryDirectory.Refusals(target.RootPid) : []);
        Dictionary<int, int> numbers = inspections.ToDictionary(inspection => inspection.View.Pid, inspection => reference.NumberOf(inspection.View.Status));
        refusals.AddRange(namespaces.Refusals.Count > 0 ? [] : ProcessTrees.Plan(
            inspections.Select(inspection => Node(inspection, numbers.TryGetValue(inspection.View.Stat.ParentPid, out int parent) ? parent : reference.Number(inspection.View.Stat.ParentPid), namespaces)),
            target.Scope).Refusals);
        census = new ApplicationCensus(outsidePipes, sockets, terminals, namespaces, mounts);
        return refusals;
    }

    /// <summary>Tells which descriptors a restore attaches to the restorer's streams.</summary>
    private static Func<DescriptorFacts, bool> FromOutside(Dictionary<ulong, (int Stream, Refusal? Refusal)> pipes, SocketCensus sockets, TerminalCensus terminals) => facts =>
        (DescriptorKinds.Of(facts) is InheritedStreams && terminals.Of(facts) is null) || pipes.ContainsKey(facts.Identity.Inode) || sockets.StandardStreams.ContainsKey(facts.Identity.Inode);

    /// <summary>A process as the planner of the tree sees it.</summary>
    private static ProcessNode Node(ProcessInspection inspection, int parent, PidNamespaces namespaces) =>
        new(inspection.View.InnerPid, parent, inspection.View.Group, inspection.View.Session, inspection.IsZombie)
        {
            Nested = namespaces.NumbersOf(inspection.View.Pid),
        };

    /// <summary>Processes that share memory, descriptors or directories without being threads (clone(2), vfork(2)), whatever their kinship.</summary>
    private static IEnumerable<Refusal> SharedProcesses(IReadOnlyList<ProcessInspection> inspections, TaskTable? tasks)
    {
        if (tasks is not null && HaveAllForThemselves(inspections, tasks))
        {
            return [];
        }

        foreach ((int type, string what) in (ReadOnlySpan<(int, string)>)
            [(Libc.KCMP_VM, "memory"), (Libc.KCMP_FILES, "descriptors"), (Libc.KCMP_FS, "directories"), (Libc.KCMP_SIGHAND, "signal actions")])
        {
            // kcmp(2) orders what it compares, so that a search tree finds equals without comparing all pairs.
            SortedSet<int> known = new(Comparer<int>.Create((a, b) => a == b ? 0 : Libc.kcmp(a, b, type, 0, 0) switch { 0 => 0, 1 => -1, 2 => 1, _ => a.CompareTo(b) }));
            foreach (ProcessInspection process in inspections.Where(inspection => !inspection.IsZombie))
            {
                if (!known.Add(process.View.Pid))
                {
                    return [process.View.Refuse("process.shared", what, $"it shares its {what} with another process", "wait until it has executed its program")];
                }
            }
        }

        return [];
    }

    /// <summary>Whether the kernel tells that no two processes share any of it.</summary>
    private static bool HaveAllForThemselves(IReadOnlyList<ProcessInspection> inspections, TaskTable tasks)
    {
        HashSet<ulong> seen = [];
        return inspections.Where(inspection => !inspection.IsZombie).All(inspection => tasks.Of(inspection.View.Pid) is { Memory: > 0 } known
            && seen.Add(known.Memory) && seen.Add(known.Descriptors) && seen.Add(known.Directories) && seen.Add(known.Actions));
    }

    /// <summary>Groups that the application made inside its own are not rebuilt, and so nobody may be in one.</summary>
    private static IEnumerable<Refusal> Groups(IReadOnlyList<ProcessInspection> inspections, TaskTable? tasks)
    {
        string? first = null;
        ulong? groups = null;
        foreach (ProcessInspection process in inspections.Where(inspection => !inspection.IsZombie))
        {
            ulong? own = tasks?.Of(process.View.Pid)?.ControlGroups;
            if (first is not null && own is not null && own == groups)
            {
                continue;
            }

            groups ??= own;
            string? group = ProcFs.TryText($"/proc/{process.View.Pid}/cgroup");
            first ??= group;
            // On its way out it is in the first of all groups.
            if (group is not null && group != first && ProcessStat.TryRead(process.View.Pid) is { IsEnding: false })
            {
                yield return process.View.Refuse("process.cgroup", "control group", "it is in another one than the application's first process", "let all of it run in one");
            }
        }
    }

    /// <summary>
    /// What /proc shows of one process is a file that is there as long as the process. A restore opens all files in the process from which the others descend, before these
    /// are there.
    /// </summary>
    private static IEnumerable<Refusal> FilesAboutOthers(IReadOnlyList<ProcessInspection> inspections) => inspections.SelectMany(inspection => inspection.Descriptors)
        .Where(facts => facts.Path.StartsWith("/proc/", StringComparison.Ordinal) && facts.Path.Split('/') is [_, _, var owner, _, ..]
            && int.TryParse(owner, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number != 1 && number != inspections[0].View.InnerPid && facts.IsStillSo())
        .Select(facts => facts.Refuse("file.process", "it is what /proc shows of another process than the application's first", "close it before the checkpoint"));

    /// <summary>A tree is restored in our own namespaces, so it must come from them.</summary>
    private static IEnumerable<Refusal> ForeignNamespaces(IReadOnlyList<ProcessInspection> inspections)
    {
        ProcessView root = inspections[0].View;
        NamespaceLinks own = NamespaceLinks.Read(Environment.ProcessId);
        foreach (string kind in NamespaceLinks.Kinds)
        {
            if (inspections[0].Namespaces[kind] is { } its && own[kind] is { } ours && its != ours)
            {
                yield return root.Refuse("process.namespace", $"{kind} namespace", "it is in another one than Holdfast", "run Holdfast in the same container, or start the application with 'run'");
            }
        }
    }

    /// <summary>Processes of the sessions of a tree that are no descendants of its root any more, since their parents have ended: the host's init has them now.</summary>
    private static IEnumerable<Refusal> Strays(IReadOnlyList<ProcessInspection> inspections, HashSet<int> pids)
    {
        ProcessView root = inspections[0].View;
        foreach (int pid in ProcFs.Numbers("/proc").Where(pid => !pids.Contains(pid)))
        {
            if (ProcessStat.TryRead(pid) is { IsEnding: false } stat && pids.Contains(stat.Session) && !Descends(stat, pids) && !FrozenCopy.IsOne(pid))
            {
                yield return root.Refuse(
                    "process.outside", $"session {stat.Session}", $"process {pid} ('{stat.Name}') belongs to it but is no descendant of process {root.Pid}: the one that made it has ended",
                    "end that process, or start the application with 'run', which keeps all that it makes together");
            }
        }
    }

    /// <summary>Whether a process is a descendant that was born after the others were counted.</summary>
    private static bool Descends(ProcessStat? stat, HashSet<int> pids)
    {
        while (stat is not null && !pids.Contains(stat.ParentPid))
        {
            stat = ProcessStat.TryRead(stat.ParentPid);
        }

        return stat is not null;
    }
}
