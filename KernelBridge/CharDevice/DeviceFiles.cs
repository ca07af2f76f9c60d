using System.Runtime.InteropServices;
using System.Text;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>Reads what procfs shows of a process in two calls: everything that the code which both bridges share asks of every process.</summary>
internal static class DeviceFiles
{
    private static readonly string[] texts =
        ["stat", "status", "smaps", "cmdline", "cgroup", "limits", "timers", "personality", "oom_score_adj", "coredump_filter", "auxv", "timens_offsets"];

    private static readonly string[] targets = ["cwd", "root", "exe", "ns/pid_for_children", "ns/time_for_children"];

    private static readonly string[] namespaces = [.. ProcessInspection.NamespaceKinds.Select(kind => $"ns/{kind}")];

    /// <summary>Reads it.</summary>
    /// <param name="session">The session.</param>
    /// <param name="pid">The process.</param>
    /// <param name="reference">A process whose namespaces it must share.</param>
    public static ProcSnapshot Read(CkptSession session, int pid, int reference)
    {
        ProcSnapshot snapshot = new();
        string directory = $"/proc/{pid}";
        session.Read(
            [
                $"n{directory}/task", $"n{directory}/fd", .. texts.Select(name => $"f{directory}/{name}"), .. targets.Concat(namespaces).Select(name => $"l{directory}/{name}"), $"s{directory}/exe",
                .. namespaces.SelectMany(name => (string[])[$"l/proc/{reference}/{name}", $"l/proc/self/{name}"]), "f/proc/self/timens_offsets",
            ],
            (name, error, bytes) => Take(snapshot, name, error, bytes));
        List<string> rest = [.. Rest(snapshot, pid)];
        if (rest.Count > 0)
        {
            session.Read(rest, (name, error, bytes) => Take(snapshot, name, error, bytes));
        }

        return snapshot;
    }

    private static IEnumerable<string> Rest(ProcSnapshot snapshot, int pid)
    {
        string directory = $"/proc/{pid}";
        if (!snapshot.TryFile($"{directory}/smaps", out byte[]? maps, out _) || maps is null || !snapshot.TryFile($"{directory}/stat", out byte[]? stat, out _) || stat is null)
        {
            return [];
        }

        snapshot.TryNumbers($"{directory}/task", out IReadOnlyList<int>? threads);
        snapshot.TryNumbers($"{directory}/fd", out IReadOnlyList<int>? descriptors);
        return
        [
            $"f/proc/{ProcessStat.Parse(Encoding.UTF8.GetString(stat)).ParentPid}/status",
            .. (threads ?? []).SelectMany(tid => (string[])[.. ((string[])["status", "stat", "sched", "wchan"]).Select(name => $"f{directory}/task/{tid}/{name}"), $"f/proc/{tid}/task/{tid}/stat"]),
            .. (threads ?? []).Where(tid => tid != pid).SelectMany(tid => namespaces.Select(name => $"l{directory}/task/{tid}/{name}")),
            .. (descriptors ?? []).SelectMany(number => (string[])[$"l{directory}/fd/{number}", $"s{directory}/fd/{number}", $"f{directory}/fdinfo/{number}"]),
            .. MemoryMap.Parse(maps).Where(map => map.Inode != 0).Select(map => $"s{MappedFiles.Link(pid, map.Start, map.End)}"),
        ];
    }

    private static void Take(ProcSnapshot snapshot, string name, int error, ReadOnlySpan<byte> bytes)
    {
        string path = name[1..];
        switch ((uint)name[0])
        {
            case CkptAbi.ReadFile:
                snapshot.AddFile(path, error == 0 ? bytes.ToArray() : null, error);
                break;
            case CkptAbi.ReadLink:
                snapshot.AddLink(path, error == 0 ? Encoding.UTF8.GetString(bytes) : null, error);
                break;
            case CkptAbi.ReadNumbers:
                int[] numbers = MemoryMarshal.Cast<byte, int>(bytes).ToArray();
                Array.Sort(numbers);
                snapshot.AddNumbers(path, numbers);
                break;
            default:
                snapshot.AddIdentity(path, error == 0 ? Identity(MemoryMarshal.Read<CkptStructures.Stat>(bytes)) : null);
                break;
        }
    }

    private static FileIdentity Identity(in CkptStructures.Stat stat) => new(
        ((ulong)stat.Major << 32) | stat.Minor, stat.Inode, stat.Mode, stat.Links, stat.Bytes, stat.Modified, stat.Changed, ((ulong)stat.RawMajor << 32) | stat.RawMinor);
}
