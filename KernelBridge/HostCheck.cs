using Holdfast.KernelBridge.Linux;
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
        IReadOnlyList<string> missing = Capabilities.Lacking([Capabilities.SysPtrace, Capabilities.SysAdmin], Capabilities.Effective());
        rows.Add(Row("rights", missing.Count == 0, missing.Count == 0 ? "all capabilities that are needed" : $"missing {string.Join(", ", missing)}", "run as root", "rights.missing"));
        foreach (string kind in (ReadOnlySpan<string>)["pid", "mnt", "uts", "ipc", "time", "net"])
        {
            bool there = File.Exists($"/proc/self/ns/{kind}");
            rows.Add(Row($"{kind} namespace", there, there ? "there" : "not in this kernel", "use a kernel with namespaces (time: 5.6)", "host.namespace"));
        }

        bool children = File.Exists($"/proc/self/task/{Environment.ProcessId}/children");
        rows.Add(Row("kernel option CHECKPOINT_RESTORE", children, children ? "set" : "not set", "use a kernel with CONFIG_CHECKPOINT_RESTORE", "host.kernel"));
        string? yama = ProcFs.TryText("/proc/sys/kernel/yama/ptrace_scope")?.Trim();
        rows.Add(Row("ptrace", yama is not "3", yama is null ? "not restricted" : $"ptrace_scope {yama}", "set kernel.yama.ptrace_scope below 3 and boot again", "host.yama"));
        string? group = CgroupTree.FindMounts(File.ReadLines("/proc/self/mountinfo")).FirstOrDefault();
        rows.Add(new CheckRow(
            "cgroup v2 freezer", group is null ? CheckVerdict.Caveat : CheckVerdict.Yes,
            group is null ? "no cgroup v2: processes are stopped one by one" : group));
        bool sleeps = File.Exists("/proc/self/sched");
        rows.Add(new CheckRow(
            "remaining time of waits", sleeps ? CheckVerdict.Yes : CheckVerdict.Caveat,
            sleeps ? "known" : "this kernel does not show it (/proc/PID/sched): relative waits start anew after a restore"));
        return rows;
    }

    private static CheckRow Row(string subject, bool ok, string what, string remedy, string code) =>
        ok ? new CheckRow(subject, CheckVerdict.Yes, what) : new CheckRow(subject, CheckVerdict.No, what, remedy, code);
}
