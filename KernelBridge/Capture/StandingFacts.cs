using System.Collections.Concurrent;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// What processes that all stand have in common, and the kernel is asked only once: most of them run one program with the same libraries, and to follow a link of procfs takes
/// longer than to read the line of maps that names the file. Good from when all stand until the first goes on.
/// </summary>
/// <param name="reference">A process whose namespaces are the application's.</param>
/// <param name="processes">How many there are.</param>
/// <param name="tasks">What the kernel tells of them, where it does.</param>
internal sealed class StandingFacts(PidReference reference, int processes, TaskTable? tasks = null)
{
    private const int Many = 16;

    /// <summary>Descriptors on this host for each of the processes, up to which it is worth while to be told of all.</summary>
    private const int WorthOfFiles = 32;

    private readonly Lazy<NamespaceLinks> namespaces = new(() => NamespaceLinks.Read(reference.Pid));
    private readonly ConcurrentDictionary<(string? MountNamespace, ulong Device, ulong Inode, string Name), FileIdentity> mapped = [];
    private readonly ConcurrentDictionary<(string? MountNamespace, ulong Device, ulong Inode, string Name), bool> named = [];
    private readonly ConcurrentDictionary<(ulong, ulong, ulong), NamespaceLinks> links = [];
    private readonly Lazy<ILookup<ulong, OpenFileRecord>?> files = new(() => tasks is null ? null : TaskIterator.IfReady?.Files(processes * WorthOfFiles)?.ToLookup(record => record.Process));
    private readonly ConcurrentDictionary<ulong, DescriptorFacts> shared = [];
    private readonly ConcurrentDictionary<ulong, string> groups = [];
    private readonly ConcurrentDictionary<int, int> numbers = [];

    /// <summary>What the kernel tells of them; null where it does not, or where they are few.</summary>
    public TaskTable? Tasks => tasks;

    /// <summary>What is done to each while it stands adds up to something.</summary>
    public bool AreMany => processes >= Many;

    /// <summary>The namespace of the application, as the link in /proc/PID/ns names it; null where that cannot be seen.</summary>
    /// <param name="kind">One of <see cref="NamespaceLinks.Kinds"/>.</param>
    public string? Namespace(string kind) => namespaces.Value[kind];

    /// <summary>The number that the application's pid namespace gives a process; 0 for one outside.</summary>
    public int Number(int pid) => numbers.GetOrAdd(pid, static (pid, reference) => reference.Number(pid), reference);

    /// <summary>The namespaces of a process as the links in /proc/PID/ns name them, read once of those that have all of them in common.</summary>
    /// <param name="pid">The process.</param>
    public NamespaceLinks NamespacesOf(int pid) => tasks?.Of(pid) is { Namespaces: > 0, PidNamespace: { } own } known
        ? links.GetOrAdd((known.Namespaces, known.Users, own), static (_, pid) => NamespaceLinks.Read(pid), pid)
        : NamespaceLinks.Read(pid);

    /// <summary>The descriptors of a process: of an open file description that several have, procfs is asked once.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="innerPid">As the application's pid namespace sees it.</param>
    public List<DescriptorFacts> DescriptorsOf(int pid, int innerPid)
    {
        if (files.Value is not { } all || !all.Contains((ulong)pid))
        {
            return DescriptorFacts.ReadAll(pid, innerPid);
        }

        List<DescriptorFacts> found = [];
        foreach (OpenFileRecord record in all[(ulong)pid])
        {
            int number = (int)record.Number;
            bool mayBeShared = !record.HasLocks && number < OpenFileRecord.Known;
            DescriptorFacts? facts = mayBeShared && shared.TryGetValue(record.File, out DescriptorFacts? known)
                ? known.OfSameFile(pid, innerPid, number, record.ClosesOnExec)
                : DescriptorFacts.TryRead(pid, innerPid, number);
            if (facts is not null)
            {
                found.Add(facts);
                if (mayBeShared)
                {
                    _ = shared.TryAdd(record.File, facts);
                }
            }
        }

        return found;
    }

    /// <summary>The control groups of a process, as <see cref="MemoryLimits.GroupsOf"/> has them, read once of those that are in the same of all hierarchies.</summary>
    /// <param name="pid">The process.</param>
    public string ControlGroupsOf(int pid) => tasks?.Of(pid) is { ControlGroups: > 0 and var own } ? groups.GetOrAdd(own, static (_, pid) => MemoryLimits.GroupsOf(pid), pid) : MemoryLimits.GroupsOf(pid);

    /// <summary>
    /// What backs an area. maps shows of a file the inode and the device of its file system, which some of these have several of that inode for (subvolumes of btrfs, layers
    /// of overlayfs): it is the same file where it has the same name in the same mount namespace too.
    /// </summary>
    /// <param name="pid">The process.</param>
    /// <param name="mountNamespace">Its mount namespace, null for that of the application.</param>
    /// <param name="map">The area.</param>
    public FileIdentity? Backing(int pid, string? mountNamespace, MemoryMap map)
    {
        // Others than root find the file by other ways in each process.
        if (!Authority.Own.FollowsMappedFiles)
        {
            return MappedFiles.Identify(pid, map);
        }

        (string?, ulong, ulong, string) file = (mountNamespace, map.Device, map.Inode, map.Name);
        if (!mapped.TryGetValue(file, out FileIdentity? identity) && (identity = MappedFiles.Identify(pid, map)) is not null)
        {
            mapped[file] = identity;
        }

        return identity;
    }

    /// <summary>Whether an area that is the same as before has the name that it had then: a file can be renamed or deleted meanwhile.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="mountNamespace">Its mount namespace.</param>
    /// <param name="map">The area as it was seen.</param>
    public bool IsNamedSo(int pid, string? mountNamespace, MemoryMap map) => map.Inode == 0 || map.Name.StartsWith('[')
        || named.GetOrAdd((mountNamespace, map.Device, map.Inode, map.Name), static (file, area) => ProcFs.TryLink(MappedFiles.Link(area.pid, area.Start, area.End)) == file.Name, (pid, map.Start, map.End));
}
