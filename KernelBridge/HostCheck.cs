using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Loading;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge;

/// <summary>What this host can do.</summary>
internal static class HostCheck
{
    public static IReadOnlyList<CheckRow> Rows()
    {
        List<CheckRow> rows = [];
        rows.Add(Row("architecture", System.Runtime.InteropServices.RuntimeInformation.OSArchitecture == System.Runtime.InteropServices.Architecture.X64,
            System.Runtime.InteropServices.RuntimeInformation.OSArchitecture.ToString(), "use an x86-64 host", "host.architecture"));
        rows.AddRange(Rights());
        foreach (string kind in (ReadOnlySpan<string>)["pid", "mnt", "uts", "ipc", "time", "net"])
        {
            bool there = File.Exists($"/proc/self/ns/{kind}");
            rows.Add(Row($"{kind} namespace", there, there ? "there" : "not in this kernel", "use a kernel with namespaces (time: 5.6)", "host.namespace"));
        }

        bool children = File.Exists($"/proc/self/task/{Environment.ProcessId}/children");
        rows.Add(Row("kernel option CHECKPOINT_RESTORE", children, children ? "set" : "not set", "use a kernel with CONFIG_CHECKPOINT_RESTORE", "host.kernel"));
        rows.Add(Row("ptrace", !Yama.ForbidsAll, Yama.Scope is { } scope ? $"ptrace_scope {scope}" : "not restricted", Yama.Remedy, Yama.Code));
        bool mounted = CgroupTree.FindMounts(File.ReadLines("/proc/self/mountinfo")).Any();
        string? group = CgroupTree.Writable();
        rows.Add(new CheckRow(
            "cgroup v2 freezer", group is null ? CheckVerdict.Caveat : CheckVerdict.Yes,
            group ?? (mounted ? "no group may be made here: processes are stopped one by one, and there are no leases" : "no cgroup v2: processes are stopped one by one, and there are no leases"),
            group is null && mounted ? "run in a group of one's own (systemd-run --user --scope -p Delegate=yes)" : ""));
        bool sleeps = File.Exists("/proc/self/sched");
        rows.Add(new CheckRow(
            "remaining time of waits", sleeps ? CheckVerdict.Yes : CheckVerdict.Caveat,
            sleeps ? "known" : "this kernel does not show it (/proc/PID/sched): relative waits start anew after a restore"));
        string? obstacle = Capture.WriteTrackers.Obstacle;
        rows.Add(new CheckRow(
            "tracking of writes", obstacle is null ? CheckVerdict.Yes : CheckVerdict.Caveat,
            obstacle is null ? Capture.WriteTrackers.BySoftDirtyBits ? "soft-dirty bits" : "userfaultfd write protection and PAGEMAP_SCAN" : $"{obstacle}: every checkpoint reads all memory, and stores what differs"));
        bool told = TaskIterator.Own is not null;
        rows.Add(new CheckRow(
            "bpf iterators", told ? CheckVerdict.Yes : CheckVerdict.Caveat,
            told ? "the kernel tells of threads and areas of memory" : "this kernel, or these rights, do not allow them: threads are asked one by one, and stand longer",
            told ? "" : "use Linux 6.1 or later as root, outside pid namespaces"));
        using IDisposable? awake = CpuLatency.Hold();
        rows.Add(new CheckRow(
            "idle processors", awake is null ? CheckVerdict.Caveat : CheckVerdict.Yes,
            awake is null ? "cannot be kept from halting: applications stand longer" : "are kept from halting while an application stands", awake is null ? "run as root where there is /dev/cpu_dma_latency" : ""));
        Refusal? lazy = UserFault.Check();
        rows.Add(new CheckRow("lazy restore", lazy is null ? CheckVerdict.Yes : CheckVerdict.Caveat, lazy?.Why ?? "memory can come on demand (userfaultfd)", lazy?.Remedy ?? ""));
        return rows;
    }

    /// <summary>What this user may do: everything, or what a user namespace of his own gives him.</summary>
    private static IEnumerable<CheckRow> Rights()
    {
        Authority own = Authority.Own;
        if (own.Supervises)
        {
            yield return new CheckRow("rights", CheckVerdict.Yes, own.IsOfNamespace ? "those of a user namespace" : "all capabilities that are needed");
            yield break;
        }

        (string Why, string Remedy)? problem = UserNamespace.Try();
        yield return problem is { } found
            ? new CheckRow("rights", CheckVerdict.No, $"missing {string.Join(", ", own.Missing)}, and {found.Why}", found.Remedy, Capabilities.Missing)
            : new CheckRow("rights", CheckVerdict.Caveat, "no root: applications run in a user namespace of their own, with what follows");
        if (problem is null)
        {
            yield return new CheckRow(
                "other users", CheckVerdict.Caveat, "programs that change the user (setuid) have no effect in an application, and files of others show as those of nobody", "run as root");
            yield return new CheckRow("seccomp filters", CheckVerdict.Caveat, "processes that have some are refused", "run as root");
            yield return new CheckRow("processes not started by 'run'", CheckVerdict.Caveat, "cannot be dumped or restored (dump, restore --from)", "run as root");
            yield return own.RepairsConnections
                ? new CheckRow("TCP connections", CheckVerdict.Yes, "can be restored")
                : new CheckRow("TCP connections", CheckVerdict.Caveat, "captured in a network of the application's own only (run --isolate with net)", "run as root");
            yield return own.FollowsMappedFiles
                ? new CheckRow("mapped files without a name", CheckVerdict.Yes, "can be read")
                : new CheckRow("mapped files without a name", CheckVerdict.Caveat, "captured while a descriptor of them is open only", "run as root");
        }
    }

    private static CheckRow Row(string subject, bool ok, string what, string remedy, string code) =>
        ok ? new CheckRow(subject, CheckVerdict.Yes, what) : new CheckRow(subject, CheckVerdict.No, what, remedy, code);
}
