using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Everything of one process that decides whether it can be captured. A check and a checkpoint ask the same questions here, so that they cannot disagree;
/// the check while it runs, the checkpoint when it stands.
/// </summary>
internal sealed class ProcessInspection
{
    private ProcessInspection(ProcessView view)
    {
        View = view;
    }

    public ProcessView View { get; }

    /// <summary>It ended and waits for its parent. (A process whose first thread alone has ended looks the same, but has other threads.)</summary>
    public bool IsZombie => View.Stat.State is 'Z' or 'X' && View.Status.Number("Threads") <= 1;

    public List<DescriptorFacts> Descriptors { get; private set; } = [];

    public List<Area> Areas { get; private set; } = [];

    /// <summary>Threads with their status, the leader first.</summary>
    public List<(int Tid, ProcessStatus Status)> Threads { get; } = [];

    public List<Refusal> Refusals { get; } = [];

    /// <summary>Looks at a process.</summary>
    /// <param name="pid">As the host sees it.</param>
    /// <param name="reference">A process whose namespaces it must share: the space's init or the tree's root.</param>
    /// <exception cref="BridgeException">It is gone.</exception>
    public static ProcessInspection Of(int pid, int reference)
    {
        ProcessInspection inspection = new(ProcessView.Read(pid));
        if (inspection.IsZombie)
        {
            return inspection;
        }

        inspection.LookAtThreads();
        inspection.Descriptors = DescriptorFacts.ReadAll(pid, inspection.View.InnerPid);
        inspection.Refusals.AddRange(inspection.Descriptors.Select(DescriptorKinds.Check).OfType<Refusal>());
        (inspection.Areas, List<Refusal> refused) = AddressSpaces.Recognise(inspection.View, MemoryMap.ReadWithFlags(pid));
        inspection.Refusals.AddRange(refused);
        inspection.Refusals.AddRange(ProcessResources.All.SelectMany(resource => resource.Check(inspection.View)));
        inspection.LookAtNamespaces(reference);
        return inspection;
    }

    private void LookAtThreads()
    {
        foreach (int tid in ProcFs.Threads(View.Pid))
        {
            if (ProcessStatus.TryReadThread(View.Pid, tid) is { } status)
            {
                Threads.Add((tid, status));
            }
        }

        Threads.Sort((a, b) => (a.Tid == View.Pid ? 0 : a.Tid).CompareTo(b.Tid == View.Pid ? 0 : b.Tid));
        foreach ((int tid, ProcessStatus status) in Threads)
        {
            int inner = status.Innermost("NSpid");
            if (status.Number("Seccomp") != View.Status.Number("Seccomp"))
            {
                Refusals.Add(View.Refuse("process.seccomp", $"thread {inner}", "it runs under a seccomp filter", "start it without one"));
            }

            if (tid != View.Pid && (Libc.kcmp(View.Pid, tid, Libc.KCMP_FILES, 0, 0) > 0 || Libc.kcmp(View.Pid, tid, Libc.KCMP_FS, 0, 0) > 0))
            {
                Refusals.Add(View.Refuse("thread.unshared", $"thread {inner}", "it has descriptors or directories of its own (unshare)", "let all threads share them"));
            }
        }
    }

    private void LookAtNamespaces(int reference)
    {
        foreach (string kind in (ReadOnlySpan<string>)["pid", "mnt", "uts", "ipc", "net", "user", "cgroup", "time"])
        {
            string? own = ProcFs.TryLink($"/proc/{View.Pid}/ns/{kind}");
            string? expected = ProcFs.TryLink($"/proc/{reference}/ns/{kind}");
            if (own is not null && expected is not null && own != expected)
            {
                Refusals.Add(View.Refuse("process.namespace", $"{kind} namespace", "it is in another namespace than the rest of the application", "start it without one"));
            }
        }

        if (ProcFs.TryLink($"/proc/{View.Pid}/ns/pid") is { } pid && ProcFs.TryLink($"/proc/{View.Pid}/ns/pid_for_children") is { } children && pid != children)
        {
            Refusals.Add(View.Refuse("process.namespace", "pid namespace", "its children will be in another namespace", "start it without one"));
        }
    }
}
