using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Mount namespaces of an application's own, as far as they differ from that of its space by a /proc of a pid namespace only (mount_namespaces(7)): what unshare(1) makes with
/// <c>--mount-proc</c>. Each is made again out of the one that it was copied from.
/// </summary>
internal sealed class MountNamespaces
{
    private const string Code = PidNamespaces.Code;
    private const ulong CLONE_NEWNS = 0x20000, MS_REC = 0x4000, MS_PRIVATE = 0x40000;

    /// <summary>Options of a mount as mountinfo writes them, with their MS_* of mount(2).</summary>
    private static readonly Dictionary<string, ulong> flags = new()
    {
        ["rw"] = 0, ["ro"] = 1, ["nosuid"] = 2, ["nodev"] = 4, ["noexec"] = 8, ["noatime"] = 0x400, ["nodiratime"] = 0x800, ["relatime"] = 0x200000,
    };

    private readonly Dictionary<int, int> namespaces = [];
    private readonly List<MountNamespaceImage> images = [];
    private readonly HashSet<string> devices = [];

    private MountNamespaces()
    {
    }

    /// <summary>Why some cannot be captured.</summary>
    public List<Refusal> Refusals { get; } = [];

    /// <summary>Those that can, each behind the one that it is made out of.</summary>
    public IReadOnlyList<MountNamespaceImage> Images => images;

    /// <summary>The mount namespace of a process: its maker's pid, 0 for that of the application.</summary>
    /// <param name="pid">As the host sees it.</param>
    public int Of(int pid) => namespaces.GetValueOrDefault(pid);

    /// <param name="inspections">All processes.</param>
    /// <param name="reference">The process whose namespaces are the application's.</param>
    public static MountNamespaces Take(IReadOnlyList<ProcessInspection> inspections, PidReference reference)
    {
        MountNamespaces all = new();
        List<Found> known = [];
        List<IGrouping<string, ProcessInspection>> groups = [.. inspections.Where(inspection => inspection.MountNamespace is not null).GroupBy(inspection => inspection.MountNamespace!)];
        if (groups.Count == 0)
        {
            return all;
        }

        List<Mount> usual = Mount.Read(reference.Pid);
        string? outermost = ProcFs.TryLink($"/proc/{reference.Pid}/ns/pid");
        foreach ((IGrouping<string, ProcessInspection> group, Found? found, string problem) in groups.Select(members => Look(members, usual)).OrderBy(look => look.Found?.Own.Count ?? 0).ThenBy(look => look.Group.Min(member => member.View.InnerPid)))
        {
            string why = problem;
            if (found is not null && all.Place(found, known, outermost) is var place)
            {
                if (place.Length == 0)
                {
                    continue;
                }

                why = place;
            }

            all.Refusals.AddRange(group.Select(member => member.View.Refuse(
                Code, "mount namespace", $"it is in a mount namespace of its own, {why}", "start it without one; a /proc of its pid namespace, as unshare --mount-proc mounts it, is all that it may have of its own")));
        }

        foreach (DescriptorFacts facts in inspections.SelectMany(inspection => inspection.Descriptors).Where(facts => all.devices.Contains(Device(facts.Identity.Device))))
        {
            all.Refusals.Add(facts.Refuse("fd.namespace", "it is a file in the /proc of a pid namespace of the application's own", "close it before the checkpoint"));
        }

        return all;
    }

    /// <summary>Composes what makes a namespace, in the process that it is named after.</summary>
    public static void Make(MountNamespaceImage image, SyscallTape tape)
    {
        if (image.Base != 0)
        {
            Enter(image.Base, tape);
        }

        tape.Add("a mount namespace", X64.Unshare, CLONE_NEWNS);
        if (image.Private)
        {
            tape.Add("mounts that nobody else sees", X64.Mount, tape.Place("none"), tape.Place("/"), 0, MS_REC | MS_PRIVATE, 0);
        }

        if (image.MountsProc)
        {
            ulong name = tape.Place("proc");
            tape.Add("mounting /proc", X64.Mount, name, tape.Place("/proc"), name, (ulong)image.Flags, 0);
        }
    }

    /// <summary>Composes what takes the calling process, which is in the application's mount namespace and has no other threads, into another one.</summary>
    /// <param name="member">A process that is in it.</param>
    /// <param name="tape">The tape.</param>
    public static void Enter(int member, SyscallTape tape)
    {
        tape.Add($"looking for the mount namespace of process {member}", X64.Open, tape.Place($"/proc/{member}/ns/mnt"), Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        tape.AddWith($"into the mount namespace of process {member}", X64.Setns, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0, CLONE_NEWNS);
        tape.AddWith("closing a mount namespace", X64.Close, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0);
    }

    /// <summary>What of the namespaces in an image is impossible; null when nothing is.</summary>
    public static string? Problem(ApplicationImage image)
    {
        HashSet<int> known = [];
        foreach (MountNamespaceImage own in image.MountNamespaces)
        {
            ProcessImage? maker = image.Processes.FirstOrDefault(process => process.Pid == own.Maker);
            if (maker is null || maker.ZombieStatus is not null || maker.MountNamespace != own.Maker || (own.Base != 0 && !known.Contains(own.Base)) || !known.Add(own.Maker)
                || ((ulong)own.Flags & ~flags.Values.Aggregate((a, b) => a | b)) != 0)
            {
                return $"mount namespace {own.Maker} is impossible";
            }
        }

        return image.Processes.FirstOrDefault(process => process.MountNamespace != 0 && !known.Contains(process.MountNamespace)) is { } lost
            ? $"process {lost.Pid} is in a mount namespace that is not there"
            : null;
    }

    /// <summary>What a namespace has beside what all have.</summary>
    private static (IGrouping<string, ProcessInspection> Group, Found? Found, string Problem) Look(IGrouping<string, ProcessInspection> group, List<Mount> usual)
    {
        if (group.FirstOrDefault(member => ProcFs.TryLink($"/proc/{member.View.Pid}/root") == "/") is not { } shown)
        {
            return (group, null, "which cannot be compared, as none of its processes has its root directory as its own (chroot)");
        }

        List<Mount> mounts = Mount.Read(shown.View.Pid);
        List<Mount> own = [.. mounts];
        List<Mount> common = [];
        foreach (Mount mount in usual)
        {
            int at = own.FindIndex(other => other.IsSame(mount));
            if (at < 0)
            {
                return (group, null, $"in which {mount.Point} is not mounted as it is for the rest of the application");
            }

            common.Add(own[at] with { Tags = own[at].Tags == mount.Tags ? "same" : own[at].Tags });
            own.RemoveAt(at);
        }

        if (own.FirstOrDefault(mount => mount.Point != "/proc" || mount.Type != "proc" || mount.Root != "/" || mount.Data is not ("rw" or "ro") || !mount.Options.Split(',').All(flags.ContainsKey)) is { } other)
        {
            return (group, null, $"in which {other.Point} is mounted ({other.Type})");
        }

        bool same = common.TrueForAll(mount => mount.Tags == "same");
        if (!same && mounts.Exists(mount => mount.Tags.Length > 0))
        {
            return (group, null, "which passes mounts on in another way than the rest of the application (mount --make-shared and the like)");
        }

        // Each lies on the one before.
        List<Mount> stacked = [];
        while (stacked.Count < own.Count && own.Find(mount => !stacked.Contains(mount) && !own.Exists(under => under.Id == mount.Parent && !stacked.Contains(under))) is { } next)
        {
            stacked.Add(next);
        }

        return stacked.Count == own.Count ? (group, new Found([.. group], shown, stacked, !same), string.Empty) : (group, null, "whose mounts cannot be told apart");
    }

    /// <summary>Finds out of which one a namespace is to be made, and by whom. Empty, or why it cannot be.</summary>
    private string Place(Found found, List<Found> known, string? outermost)
    {
        Found? twin = known.Find(other => other.Own.Select(mount => mount.Device).SequenceEqual(found.Own.Select(mount => mount.Device)));
        Found? under = twin ?? known.Find(other => found.Own.Count > 1 && other.Own.Select(mount => mount.Device).SequenceEqual(found.Own.SkipLast(1).Select(mount => mount.Device)));
        bool mounts = twin is null && found.Own.Count > 0;
        if (mounts && found.Own.Count > 1 && under is null)
        {
            return "made out of one in which nobody is any more";
        }

        ProcessInspection? maker = found.Members[0];
        if (mounts)
        {
            string? shows = ProcFs.TryLink($"/proc/{found.Shown.View.Pid}/root/proc/1/ns/pid");
            maker = found.Members.Find(member => member.PidNamespace == shows && shows is not null);
            if (maker is null)
            {
                return shows is not null && shows == outermost ? "whose /proc is that of a pid namespace in which none of its processes is" : "whose /proc is that of a pid namespace of others";
            }
        }

        int number = maker.View.InnerPid;
        images.Add(new MountNamespaceImage(number, under?.Number ?? 0, found.Private, mounts, mounts ? (long)found.Own[^1].Options.Split(',').Aggregate(0ul, (all, option) => all | flags[option]) : 0));
        known.Add(found with { Number = number });
        devices.UnionWith(found.Own.Select(mount => mount.Device));
        found.Members.ForEach(member => namespaces[member.View.Pid] = number);
        return string.Empty;
    }

    private static string Device(ulong device) => $"{device >> 32}:{device & 0xffffffff}";

    private sealed record Found(List<ProcessInspection> Members, ProcessInspection Shown, List<Mount> Own, bool Private)
    {
        public int Number { get; init; }
    }

    /// <summary>A line of /proc/PID/mountinfo, see proc_pid_mountinfo(5).</summary>
    private sealed record Mount(string Id, string Parent, string Device, string Root, string Point, string Options, string Tags, string Type, string Data)
    {
        public static List<Mount> Read(int pid)
        {
            List<Mount> mounts = [];
            foreach (string line in ProcFs.Text($"/proc/{pid}/mountinfo").Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                string[] words = line.Split(' ');
                int end = Array.IndexOf(words, "-");
                mounts.Add(new Mount(words[0], words[1], words[2], words[3], words[4], words[5], string.Join(' ', words[6..end]), words[end + 1], words[^1]));
            }

            return mounts;
        }

        public bool IsSame(Mount other) => (Device, Root, Point, Options, Type) == (other.Device, other.Root, other.Point, other.Options, other.Type);
    }
}

/// <summary>A mount namespace inside the application's.</summary>
/// <param name="Maker">The process of it that makes it, by which it is named.</param>
/// <param name="Base">The one that it is made out of; 0 for the application's.</param>
/// <param name="Private">Whether its mounts are cut off from all others (MS_PRIVATE).</param>
/// <param name="MountsProc">Whether the maker's pid namespace has a /proc there.</param>
/// <param name="Flags">Flags of that mount, as mount(2) has them.</param>
internal sealed record MountNamespaceImage(int Maker, int Base, bool Private, bool MountsProc, long Flags);
