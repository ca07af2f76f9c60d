using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>The namespaces that a process is in, as the links in /proc/PID/ns name them; null where they cannot be seen.</summary>
internal sealed class NamespaceLinks
{
    /// <summary>Their names in /proc/PID/ns.</summary>
    public static readonly string[] Kinds = ["pid", "mnt", "uts", "ipc", "net", "user", "cgroup", "time"];

    private readonly string?[] own;

    private readonly Lazy<(long Monotonic, long Boottime)> clocks;

    private NamespaceLinks(int pid)
    {
        clocks = new Lazy<(long, long)>(() => HostFacts.ClockOffsets(pid));
        own = Array.ConvertAll(Kinds, kind => ProcFs.TryLink($"/proc/{pid}/ns/{kind}"));
        ForChildrenPid = ProcFs.TryLink($"/proc/{pid}/ns/pid_for_children");
        ForChildrenTime = ProcFs.TryLink($"/proc/{pid}/ns/time_for_children");
    }

    /// <summary>That in which its children will be; null where nobody has been in it yet, pid_namespaces(7).</summary>
    public string? ForChildrenPid { get; }

    /// <summary>That in which its children will be, time_namespaces(7).</summary>
    public string? ForChildrenTime { get; }

    /// <summary>As <see cref="HostFacts.ClockOffsets"/> has it of a process in them; asked when it is needed first, while that process is there.</summary>
    public (long Monotonic, long Boottime) ClockOffsets => clocks.Value;

    /// <summary>One of <see cref="Kinds"/>.</summary>
    public string? this[string kind] => own[Array.IndexOf(Kinds, kind)];

    /// <summary>Reads them.</summary>
    public static NamespaceLinks Read(int pid) => new(pid);
}
