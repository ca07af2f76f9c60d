using System.Globalization;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Resource limits; see getrlimit(2). Read from procfs where prlimit(2) may not tell of others, which needs CAP_SYS_RESOURCE.</summary>
internal sealed class ResourceLimits : IProcessResource
{
    // The order of RLIMIT_ numbers in include/uapi/asm-generic/resource.h.
    private static readonly string[] Names =
    [
        "Max cpu time", "Max file size", "Max data size", "Max stack size", "Max core file size", "Max resident set", "Max processes", "Max open files",
        "Max locked memory", "Max address space", "Max file locks", "Max pending signals", "Max msgqueue size", "Max nice priority", "Max realtime priority",
        "Max realtime timeout",
    ];

    public IEnumerable<Refusal> Check(ProcessView view) => [];

    /// <summary>A hard limit above this process's own, which takes CAP_SYS_RESOURCE of the initial user namespace to raise; null when there is none.</summary>
    public static Refusal? CheckRestore(ProcessImage process)
    {
        if (!Authority.Own.IsOfNamespace)
        {
            return null;
        }

        List<LimitImage> own = Read(Environment.ProcessId);
        LimitImage? above = process.Limits.FirstOrDefault(limit => own.Exists(mine => mine.Resource == limit.Resource && mine.Hard < limit.Hard));
        return above is null
            ? null
            : new Refusal("rights.limit", process.Pid, null, $"limit '{Names[above.Resource]}'", "its hard limit is above that of this session, and only root may raise it", "restore from a session with that limit (ulimit -H), or as root");
    }

    public void Capture(ProcessView view, IProcessState state, ProcessImage image) => image.Limits = Read(view.Pid);

    /// <summary>This process's own soft limit.</summary>
    public static ulong Own(int resource) => Read(Environment.ProcessId).Find(limit => limit.Resource == resource)?.Soft ?? 0;

    private static List<LimitImage> Read(int pid) => (ProcSnapshot.Current is null ? TryAsk(pid) : null) ?? ReadFile(pid);

    private static unsafe List<LimitImage>? TryAsk(int pid)
    {
        List<LimitImage> limits = new(Names.Length);
        ulong* values = stackalloc ulong[2];
        for (int resource = 0; resource < Names.Length; resource++)
        {
            if (Libc.Call(X64.Prlimit64, pid, resource, 0, (long)values) < 0)
            {
                return null;
            }

            limits.Add(new LimitImage(resource, values[0], values[1]));
        }

        return limits;
    }

    private static List<LimitImage> ReadFile(int pid)
    {
        List<LimitImage> limits = [];
        foreach (string line in ProcFs.Text($"/proc/{pid}/limits").Split('\n'))
        {
            int resource = Array.FindIndex(Names, name => line.StartsWith(name, StringComparison.Ordinal));
            if (resource >= 0)
            {
                string[] words = line[25..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
                limits.Add(new LimitImage(resource, Value(words[0]), Value(words[1])));
            }
        }

        return limits;
    }

    public void Restore(ProcessImage image, long sinceCapture, SyscallTape tape)
    {
        foreach (LimitImage limit in image.Limits)
        {
            tape.Add($"limit '{Names[limit.Resource]}'", X64.Prlimit64, 0, (ulong)limit.Resource, tape.Place((limit.Soft, limit.Hard)), 0);
        }
    }

    private static ulong Value(string word) => word == "unlimited" ? ulong.MaxValue : ulong.Parse(word, CultureInfo.InvariantCulture);
}

/// <summary>A resource limit.</summary>
/// <param name="Resource">RLIMIT_ number, 0–15.</param>
/// <param name="Soft">Soft limit; all ones is unlimited.</param>
/// <param name="Hard">Hard limit.</param>
internal sealed record LimitImage(int Resource, ulong Soft, ulong Hard);
