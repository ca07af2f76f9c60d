using Holdfast.KernelBridge.Interception;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>The rows of a check of an application.</summary>
internal static class ApplicationCheck
{
    // Private memory from which on it is felt whether it is stored inside the freeze.
    private const long Noticeable = 2 << 20;

    /// <summary>What a checkpoint of an application would say: a row per resource of every process.</summary>
    /// <param name="target">The application.</param>
    /// <param name="adapt">Takes away what a bridge can do all the same, and adds what it cannot.</param>
    public static IReadOnlyList<CheckRow> Of(ApplicationTarget target, Action<IReadOnlyList<ProcessInspection>, List<Refusal>>? adapt = null)
    {
        bool loading = IsLoading(target);
        PidReference reference = PidReference.Of(target.RootPid);
        List<ProcessInspection> inspections = [.. ApplicationProcesses.Find(target).Select(pid => Look(pid, reference)).OfType<ProcessInspection>()];
        List<Refusal> refusals = [.. inspections.SelectMany(inspection => inspection.Refusals), .. ApplicationInspection.Refusals(inspections, target, out ApplicationCensus census)];
        adapt?.Invoke(inspections, refusals);
        if (!loading)
        {
            return [.. Intercepted(target), .. Rows(inspections, refusals, census)];
        }

        // What holds its missing pages is ours, and gone before anything is captured.
        refusals.RemoveAll(refusal => refusal.Code == AddressSpaces.UserFault);
        return
        [
            new CheckRow("memory", CheckVerdict.Caveat, "it is still being loaded after a lazy restore: a checkpoint waits until that is complete", ""),
            .. Intercepted(target),
            .. Rows(inspections, refusals, census),
        ];
    }

    private static IEnumerable<CheckRow> Rows(IReadOnlyList<ProcessInspection> inspections, IReadOnlyList<Refusal> refusals, ApplicationCensus census)
    {
        (SocketCensus sockets, TerminalCensus terminals) = (census.Sockets, census.Terminals);
        foreach (string caveat in Caveats(inspections).Concat(sockets.Caveats).Concat(terminals.Caveats))
        {
            yield return new CheckRow("application", CheckVerdict.Caveat, caveat);
        }

        MemoryLimits limits = new();
        foreach (ProcessInspection inspection in inspections)
        {
            int pid = inspection.View.InnerPid;
            yield return new CheckRow(
                $"pid {pid}", CheckVerdict.Yes,
                inspection.IsZombie ? $"{inspection.View.Stat.Name}, ended" : $"{inspection.View.Stat.Name}, {inspection.Threads.Count} threads, {inspection.Areas.Count} areas of memory");
            if (inspection.View.Status.Number("Seccomp") != 0 && !refusals.Any(r => r.Pid == pid && r.Code == SeccompFilters.Code))
            {
                yield return new CheckRow($"pid {pid}", CheckVerdict.Caveat, $"seccomp filters: {SeccompFilters.Caveat}");
            }

            if (!inspection.IsZombie && PrivateBytes(inspection) > Noticeable && FrozenCopy.Obstacle(inspection, limits) is { } obstacle)
            {
                yield return new CheckRow($"pid {pid}", CheckVerdict.Caveat, $"memory: {obstacle}, so that it stands until its {PrivateBytes(inspection) >> 20} MiB are stored");
            }

            foreach (Area ring in inspection.Areas.Where(area => area.Kind == AreaKind.RequestRing))
            {
                yield return new CheckRow($"pid {pid}", CheckVerdict.Caveat, $"context {ring.Map.Start:x} of Linux AIO: {AioContexts.Caveat}");
            }

            foreach (DescriptorFacts facts in inspection.Descriptors.Where(facts => !refusals.Any(r => r.Pid == pid && r.Descriptor == facts.Number)))
            {
                string? caveat = sockets.StandardStreams.ContainsKey(facts.Identity.Inode) ? InheritedStreams.Attached : terminals.Of(facts) is null ? DescriptorKinds.Of(facts)?.Caveat(facts) : null;
                string what = sockets.Known.GetValueOrDefault(facts.Identity.Inode)?.What ?? facts.Link;
                yield return new CheckRow(
                    $"pid {pid} fd {facts.Number}", caveat is null ? CheckVerdict.Yes : CheckVerdict.Caveat, caveat is null ? what : $"{what}: {caveat}");
            }
        }

        foreach (Refusal refusal in refusals)
        {
            string subject = refusal.Descriptor is { } number ? $"pid {refusal.Pid} fd {number}" : $"pid {refusal.Pid}";
            yield return new CheckRow(subject, CheckVerdict.No, $"{refusal.What}: {refusal.Why}", refusal.Remedy, refusal.Code);
        }
    }

    private static long PrivateBytes(ProcessInspection inspection) => inspection.View.Status.Kibibytes("RssAnon") << 10;

    /// <summary>What no interface shows, or what belongs to the surroundings rather than to the application: a restore does not bring it back.</summary>
    private static IEnumerable<string> Caveats(IReadOnlyList<ProcessInspection> inspections)
    {
        yield return "not kept, as no interface shows it: keyrings, mlockall(MCL_FUTURE), directory notifications (F_NOTIFY), " + MemoryPolicies.Caveat + ", settings of speculation control";
        yield return "a write to a pipe that a stop interrupts half-way returns the part that was written, as after SIGSTOP";

        // A first thread that has ended shows no namespaces; the others do.
        int pid = inspections.SelectMany(inspection => inspection.Threads).Select(thread => thread.Tid).FirstOrDefault(tid => ProcFs.TryLink($"/proc/{tid}/ns/net") is not null, inspections[0].View.Pid);
        if (!IpcNamespace.HasOwn(pid))
        {
            yield return "System V and POSIX IPC objects are those of the host: they are not part of a snapshot";
        }
        else if (IpcNamespace.Ask(pid, () => IpcNamespace.List("sem")).Count > 0)
        {
            yield return "what its processes would take back of System V semaphores at their end (SEM_UNDO) no interface shows: after a restore nothing is taken back";
        }

        if (inspections.Any(inspection => PosixTimers.Has(inspection.View.Pid)))
        {
            yield return PosixTimers.Caveat;
        }

        IReadOnlyList<string> isolated = HostFacts.IsolatedOf(pid);
        if (isolated.Contains("net"))
        {
            yield return NetworkInterfaces.Caveat;
            List<string> left = [];
            _ = NetworkInterfaces.Capture(pid, left);
            if (left.Count > 0)
            {
                yield return $"interfaces that are no veth with its other end here are not kept: {string.Join(", ", left)}";
            }
        }

        if (isolated.Contains("mount"))
        {
            HashSet<string> ours = [.. Mounts("self")];
            bool ownMemory = isolated.Contains("shm");
            foreach (string mount in Mounts(pid.ToString(System.Globalization.CultureInfo.InvariantCulture)).Where(mount =>
                !ours.Contains(mount) && !IsOfSpace(mount) && !(ownMemory && mount.StartsWith(SharedMemoryDirectory.Place + " ", StringComparison.Ordinal))))
            {
                yield return $"{mount.Split(' ')[0]} is mounted inside the application only: the mount is not kept";
            }
        }
    }

    /// <summary>Whether every space has that mount of its own.</summary>
    private static bool IsOfSpace(string mount) => mount[..mount.IndexOf(' ', StringComparison.Ordinal)] is "/proc" or "/dev/pts" or "/dev/console";

    /// <summary>Mount points with device and root, which say the same in every namespace; see proc(5) on mountinfo.</summary>
    private static IEnumerable<string> Mounts(string process)
    {
        foreach (string line in (ProcFs.TryText($"/proc/{process}/mountinfo") ?? string.Empty).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] words = line.Split(' ');
            yield return $"{words[4]} {words[2]} {words[3]}";
        }
    }

    private static bool IsLoading(ApplicationTarget target)
    {
        if (target.InitSocket is null)
        {
            return false;
        }

        try
        {
            using InitClient client = InitClient.Connect(target.InitSocket);
            return client.Status().Loading;
        }
        catch (BridgeException)
        {
            // It has ended.
            return false;
        }
    }

    private static IEnumerable<CheckRow> Intercepted(ApplicationTarget target)
    {
        using InterceptBoard? board = target.Scope == ApplicationScope.Space ? InterceptBoard.TryOpen(target.RootPid) : null;
        return board is null ? [] : [InterceptedProcesses.Row(InterceptedProcesses.Of(target, board.Filters))];
    }

    /// <summary>Looks at a process that runs on: what is found while it executes a program or ends is looked at again. Null when it is gone.</summary>
    private static ProcessInspection? Look(int pid, PidReference reference)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                ProcessInspection inspection = ProcessInspection.Of(pid, reference);
                if (inspection.Refusals.Count == 0 || attempt == 2)
                {
                    return inspection;
                }
            }
            catch (BridgeException e) when (e.Code == "process.gone" || ProcessStat.TryRead(pid) is null or { State: 'Z' or 'X' })
            {
                return null;
            }
        }
    }
}
