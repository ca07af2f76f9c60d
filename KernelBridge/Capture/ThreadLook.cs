using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// The look at the threads of a process: their status, and whether each has the namespaces, descriptors and directories of its process. Where there are many of them, a
/// second processor looks at them too, and at all of them while the first is still busy with something else.
/// </summary>
internal sealed class ThreadLook
{
    private readonly ProcessView view;
    private readonly List<int> tids;
    private readonly (ProcessStatus? Status, List<Refusal>? Refusals)[] seen;
    private readonly NamespaceLinks namespaces;
    private readonly TaskRecord? leader;
    private readonly Beside looks;

    /// <summary>Begins to look.</summary>
    /// <param name="view">The process.</param>
    /// <param name="namespaces">Those of its first thread.</param>
    public ThreadLook(ProcessView view, NamespaceLinks namespaces)
    {
        this.view = view;
        this.namespaces = namespaces;
        tids = ProcFs.Threads(view.Pid);
        tids.Sort((a, b) => (a == view.Pid ? 0 : a).CompareTo(b == view.Pid ? 0 : b));
        seen = new (ProcessStatus?, List<Refusal>?)[tids.Count];
        Records = tids.Count > 1 && ProcSnapshot.Current is null ? TaskIterator.Own?.Threads(view.Pid) : null;
        leader = Records?.TryGetValue(view.Pid, out TaskRecord record) == true ? record : null;
        looks = Beside.Each(tids.Count, LookAt);
    }

    /// <summary>Threads with their status, the leader first; known after <see cref="Finish"/>.</summary>
    public List<(int Tid, ProcessStatus Status)> Found => [.. tids.Zip(seen).Where(pair => pair.Second.Status is not null).Select(pair => (pair.First, pair.Second.Status!))];

    /// <summary>What the kernel knows of them, by their numbers; null where it does not tell, or the process has one only.</summary>
    public IReadOnlyDictionary<int, TaskRecord>? Records { get; }

    /// <summary>What is in the way of a capture; known after <see cref="Finish"/>.</summary>
    public IEnumerable<Refusal> Refusals => [.. SeccompFilters.Check(view, Found), .. seen.SelectMany(thread => thread.Refusals ?? [])];

    /// <summary>Looks at what is left, and waits until all is seen.</summary>
    public void Finish() => looks.Finish();

    private void LookAt(int i)
    {
        if ((tids[i] == view.Pid ? view.Status : Composed(tids[i]) ?? ProcessStatus.TryReadThread(view.Pid, tids[i])) is { } status && !IsWorker(view.Pid, tids[i], status))
        {
            seen[i] = (status, tids[i] == view.Pid || SharesAll(tids[i]) ? null : Compare(tids[i], status.Above("NSpid", view.Depth)));
        }
    }

    /// <summary>Those of io_uring (iou-wrk) are listed among the threads of a process, and never see user space: the kernel makes and ends them.</summary>
    private static bool IsWorker(int pid, int tid, ProcessStatus status) =>
        status["Name"]?.StartsWith("iou-", StringComparison.Ordinal) == true && ProcessStat.TryReadThread(pid, tid)?.IsKernelWorker == true;

    private ProcessStatus? Composed(int tid) => leader is { } first && Records!.TryGetValue(tid, out TaskRecord own) ? ProcessStatus.TryCompose(view.Status, first, own) : null;

    private bool SharesAll(int tid) =>
        leader is { } first && Records!.TryGetValue(tid, out TaskRecord own) && (own.Namespaces, own.Directories, own.Descriptors) == (first.Namespaces, first.Directories, first.Descriptors);

    private List<Refusal>? Compare(int tid, int inner)
    {
        List<Refusal>? refusals = null;
        int files = view.Stat.State == 'Z' ? -1 : Libc.kcmp(view.Pid, tid, Libc.KCMP_FILES, 0, 0);
        int directories = view.Stat.State == 'Z' ? -1 : Libc.kcmp(view.Pid, tid, Libc.KCMP_FS, 0, 0);
        bool visible = false;
        foreach (string kind in NamespaceLinks.Kinds)
        {
            // Threads enter namespaces one by one (setns(2), unshare(2)); these the kernel lets nobody enter who shares his directories, or has other threads.
            if (directories == 0 && (kind is "pid" or "mnt" or "user" or "time"))
            {
                continue;
            }

            string? own = ProcFs.TryLink($"/proc/{view.Pid}/task/{tid}/ns/{kind}");
            visible |= own is not null;
            if (own is not null && namespaces[kind] is { } other && own != other)
            {
                Refuse("process.namespace", $"it is in another {kind} namespace than its process", "let all threads share one");
            }
        }

        if (visible && ProcFs.TryLink($"/proc/{view.Pid}/task/{tid}/ns/pid_for_children") != namespaces["pid"])
        {
            Refuse("process.namespace", "its children will be in another pid namespace, and it is not the first thread of its process", "let the first thread do that");
        }

        if (files > 0 || directories > 0)
        {
            Refuse("thread.unshared", "it has descriptors or directories of its own (unshare)", "let all threads share them");
        }

        return refusals;

        void Refuse(string code, string why, string remedy) => (refusals ??= []).Add(view.Refuse(code, $"thread {inner}", why, remedy));
    }
}
