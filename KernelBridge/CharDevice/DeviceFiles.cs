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
        ["stat", "status", "smaps", "cmdline", "cgroup", "limits", "numa_maps", "timers", "personality", "oom_score_adj", "coredump_filter", "auxv", "timens_offsets", "mountinfo"];

    private static readonly string[] targets = ["cwd", "root", "exe", "ns/pid_for_children", "ns/time_for_children"];

    private static readonly string[] namespaces = [.. NamespaceLinks.Kinds.Select(kind => $"ns/{kind}")];

    /// <summary>Reads it.</summary>
    /// <param name="session">The session.</param>
    /// <param name="pid">The process.</param>
    /// <param name="reference">A process whose namespaces it must share.</param>
    /// <param name="later">What turned out to be of interest the last time, and now does: it is asked at once, and what is new in further calls. Empty at first.</param>
    /// <param name="state">Its state, where it stands: who gets signals about its open files shows there only, and is not asked before.</param>
    public static ProcSnapshot Read(CkptSession session, int pid, int reference, ref IReadOnlyList<string> later, DeviceState? state = null)
    {
        ProcSnapshot snapshot = new();
        string directory = $"/proc/{pid}";
        ReadAll(
            session, snapshot,
            [
                $"n{directory}/task", $"n{directory}/fd", .. texts.Select(name => $"f{directory}/{name}"), .. targets.Concat(namespaces).Select(name => $"l{directory}/{name}"), $"s{directory}/exe",
                .. namespaces.SelectMany(name => (string[])[$"l/proc/{reference}/{name}", $"l/proc/self/{name}"]), "f/proc/self/timens_offsets", .. later,
            ]);
        HashSet<string> known = [.. later];
        List<string> names = [];
        foreach (Func<ProcSnapshot, int, IEnumerable<string>> look in (ReadOnlySpan<Func<ProcSnapshot, int, IEnumerable<string>>>)[Rest, Named])
        {
            string[] found = [.. look(snapshot, pid)];
            ReadAll(session, snapshot, [.. found.Where(known.Add)]);
            names.AddRange(found);
        }

        later = names;
        if (state is not null)
        {
            state.AddTo(snapshot);
            return snapshot;
        }

        foreach (int number in snapshot.Numbers($"{directory}/fd"))
        {
            snapshot.AddOwner(pid, number, default);
        }

        return snapshot;
    }

    /// <summary>Reads files.</summary>
    /// <param name="session">The session.</param>
    /// <param name="snapshot">Where they go.</param>
    /// <param name="names">Their names with what is asked for in front, see <see cref="CkptSession.Read"/>.</param>
    public static void ReadAll(CkptSession session, ProcSnapshot snapshot, IReadOnlyList<string> names)
    {
        if (names.Count > 0)
        {
            session.Read(names, (name, error, bytes) => Take(snapshot, name, error, bytes));
        }
    }

    /// <summary>What the names lead to by which regular files were opened.</summary>
    private static IEnumerable<string> Named(ProcSnapshot snapshot, int pid)
    {
        foreach (int number in snapshot.Numbers($"/proc/{pid}/fd"))
        {
            string path = $"/proc/{pid}/fd/{number}";
            if (snapshot.TryLink(path, out string? link, out _) && link?.StartsWith('/') == true && snapshot.TryIdentity(path, out FileIdentity? identity) && identity?.Type == FileIdentity.Regular)
            {
                yield return $"s/proc/{pid}/root{link}";
            }
        }
    }

    private static IEnumerable<string> Rest(ProcSnapshot snapshot, int pid)
    {
        string directory = $"/proc/{pid}";
        if (!snapshot.TryFile($"{directory}/smaps", out byte[]? maps, out _) || maps is null || !snapshot.TryFile($"{directory}/stat", out byte[]? stat, out _) || stat is null)
        {
            return [];
        }

        IReadOnlyList<int> threads = snapshot.Numbers($"{directory}/task");
        return
        [
            $"f/proc/{ProcessStat.Parse(Encoding.UTF8.GetString(stat)).ParentPid}/status",
            .. threads.SelectMany(tid => (string[])[.. ((string[])["status", "stat", "sched", "wchan"]).Select(name => $"f{directory}/task/{tid}/{name}"), $"f/proc/{tid}/task/{tid}/stat"]),
            .. threads.Where(tid => tid != pid).SelectMany(tid => namespaces.Select(name => $"l{directory}/task/{tid}/{name}")),
            .. snapshot.Numbers($"{directory}/fd").SelectMany(number => (string[])[$"l{directory}/fd/{number}", $"s{directory}/fd/{number}", $"f{directory}/fdinfo/{number}"]),
            .. MemoryMap.Parse(maps).Where(map => map.Inode != 0).Select(map => MappedFiles.Link(pid, map.Start, map.End)).SelectMany(link => (string[])[$"s{link}", $"l{link}"]),
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
                CkptStructures.Stat stat = error == 0 ? MemoryMarshal.Read<CkptStructures.Stat>(bytes) : default;
                snapshot.AddIdentity(path, error == 0 ? Identity(stat) : null);
                snapshot.AddFileSystem(path, (long)stat.Filesystem);
                break;
        }
    }

    private static FileIdentity Identity(in CkptStructures.Stat stat) => new(
        ((ulong)stat.Major << 32) | stat.Minor, stat.Inode, stat.Mode, stat.Links, stat.Bytes, stat.Modified, stat.Changed, ((ulong)stat.RawMajor << 32) | stat.RawMinor);
}
