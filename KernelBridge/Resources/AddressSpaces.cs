using System.Buffers.Binary;
using System.Collections.Concurrent;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Resources;

/// <summary>What an area of memory is backed by.</summary>
internal enum AreaKind
{
    /// <summary>Private anonymous memory, heap and stack included.</summary>
    Anonymous,

    /// <summary>A file, private or shared.</summary>
    File,

    /// <summary>Shared anonymous memory (MAP_SHARED | MAP_ANONYMOUS).</summary>
    SharedAnonymous,

    /// <summary>vDSO or its data.</summary>
    Vdso,

    /// <summary>System V shared memory of the application's own IPC namespace.</summary>
    SystemV,

    /// <summary>The ring of a context of Linux AIO.</summary>
    RequestRing,

    /// <summary>Memory that an io_uring shares with its program.</summary>
    Uring,
}

/// <summary>Recognises and captures the memory map of a process; see proc(5) on maps, smaps and map_files.</summary>
internal static class AddressSpaces
{
    /// <summary>What smaps' VmFlags say that madvise(2) can set again.</summary>
    public static readonly (string Flag, int Advice)[] Advices =
        [("dc", 10), ("wf", 18), ("dd", 16), ("hg", 14), ("nh", 15), ("mg", 12), ("sr", 2), ("rr", 1)];

    /// <summary>Code of areas that are registered with userfaultfd.</summary>
    public const string UserFault = "memory.userfaultfd";

    // VmFlags of areas that cannot be captured.
    private static readonly (string Flag, string Code, string Why)[] Refused =
    [
        ("io", "memory.device", "device memory cannot be captured"),
        ("pf", "memory.device", "device memory cannot be captured"),
        ("um", UserFault, "it is registered with userfaultfd"),
        ("uw", UserFault, "it is registered with userfaultfd"),
        ("ui", UserFault, "it is registered with userfaultfd"),
        ("ss", "memory.shadow-stack", "a shadow stack cannot be captured"),
        ("sl", "memory.sealed", "sealed memory (mseal) cannot be captured"),
        ("sf", "memory.device", "a synchronous mapping of persistent memory (MAP_SYNC) cannot be captured"),
    ];

    // Names that the kernel gives to what looks like a deleted file, but is none.
    private static readonly (string Name, string Code, string Why)[] Unreal =
    [
        ("/SYSV", "memory.sysv", "System V shared memory of the host's IPC namespace cannot be captured"),
        ("/secretmem", "memory.secret", "secret memory (memfd_secret) cannot be captured"),
        ("/dmabuf:", "memory.device", "device memory cannot be captured"),
        ("/drm mm object", "memory.device", "device memory cannot be captured"),
        ("/i915", "memory.device", "device memory cannot be captured"),
    ];

    /// <summary>What each area is, and what of them cannot be captured.</summary>
    /// <param name="view">The process.</param>
    /// <param name="maps">Its areas.</param>
    /// <param name="backing">Tells what backs an area; null to look at each.</param>
    public static (List<Area> Areas, List<Refusal> Refusals) Recognise(ProcessView view, IReadOnlyList<MemoryMap> maps, Func<MemoryMap, FileIdentity?>? backing = null)
    {
        backing ??= map => MappedFiles.Identify(view.Pid, map);
        List<Area> areas = [];
        List<Refusal> refusals = [];
        if (view.Executable?.StartsWith(Memfds.Prefix, StringComparison.Ordinal) == true)
        {
            // A new one counts its writers, and the kernel takes no executable that has some (prctl(2), PR_SET_MM_EXE_FILE).
            refusals.Add(view.Refuse("memory.memfd", "program", "it was executed from a memfd", "start it from a file"));
        }

        foreach (MemoryMap map in maps)
        {
            if (map.Name == "[vsyscall]" || (map.Name == "[uprobes]"))
            {
                continue;
            }

            if (map.IsVdso)
            {
                areas.Add(new Area(map, AreaKind.Vdso, null));
                continue;
            }

            if (IoUrings.IsMemory(map))
            {
                areas.Add(new Area(map, AreaKind.Uring, null));
                continue;
            }

            if (Array.Find(Refused, refused => map.HasFlag(refused.Flag + " ")) is { Code: not null } found && !(found.Flag == "uw" && IsTrackedOnly(view.Pid, map)))
            {
                refusals.Add(Refuse(view, map, found.Code, found.Why));
                continue;
            }

            if (map.Policy.Length > 0 && NumaMaps.Parse(map.Policy) is null)
            {
                refusals.Add(Refuse(view, map, MemoryPolicies.Code, $"its NUMA policy is not known: {map.Policy}", "set another one (mbind(2))"));
                continue;
            }

            if (map.Inode == 0 && !map.Shared)
            {
                areas.Add(new Area(map, AreaKind.Anonymous, null));
                continue;
            }

            if (map.HasFlag(HugePages.Flag + " "))
            {
                if (map.Name == HugePages.Anonymous && !map.Shared)
                {
                    areas.Add(new Area(map with { Offset = 0 }, AreaKind.Anonymous, null));
                    continue;
                }

                if (map.Name != HugePages.Anonymous && !map.Name.StartsWith(Memfds.Prefix, StringComparison.Ordinal))
                {
                    refusals.Add(Refuse(view, map, HugePages.Code, "a file of huge pages (hugetlbfs), or System V memory of them, cannot be captured", "use anonymous memory (MAP_HUGETLB) or a memfd (MFD_HUGETLB)"));
                    continue;
                }

                if (map.Name == HugePages.Anonymous && map.Shared && !Authority.Own.FollowsMappedFiles)
                {
                    // Nothing else leads to it, and to read what was never touched in the memory of those who have it mapped would fill it.
                    refusals.Add(Refuse(view, map, HugePages.Rights, "shared memory of huge pages can be read by root only", "run as root, or use a memfd (MFD_HUGETLB)"));
                    continue;
                }
            }

            if (map.Shared && (map.Name is "/dev/zero (deleted)" or HugePages.Anonymous || map.Name.StartsWith("[anon_shmem:", StringComparison.Ordinal)))
            {
                areas.Add(new Area(map, AreaKind.SharedAnonymous, backing(map) ?? (Authority.Own.FollowsMappedFiles ? null : MappedFiles.Unnamed(map))));
                continue;
            }

            if (SystemVMemory.IsSegment(map) && IpcNamespace.HasOwn(view.Pid))
            {
                areas.Add(new Area(map, AreaKind.SystemV, null));
                continue;
            }

            if (AioContexts.IsRing(map))
            {
                areas.Add(new Area(map, AreaKind.RequestRing, null));
                refusals.AddRange(AioContexts.Check(view, map) is { } ring ? [ring] : []);
                continue;
            }

            if (Array.Find(Unreal, unreal => map.Name.StartsWith(unreal.Name, StringComparison.Ordinal)) is { Code: not null } special)
            {
                refusals.Add(Refuse(view, map, special.Code, special.Why));
                continue;
            }

            FileIdentity? identity = map.Name.StartsWith('/') ? backing(map) : null;
            if (identity is null && WasUnmapped(view, map, ref identity))
            {
                continue;
            }

            if (identity is null && map.Name.StartsWith('/') && !Authority.Own.FollowsMappedFiles)
            {
                refusals.Add(Refuse(view, map, "memory.unnamed", "nothing but the mapping leads to it, and only root may follow that", "keep a descriptor of it open, or run as root"));
                continue;
            }

            if (identity is null)
            {
                refusals.Add(Refuse(view, map, "memory.unknown", "what backs it cannot be found"));
                continue;
            }

            if (identity.Type != FileIdentity.Regular)
            {
                // A private mapping of /dev/zero is anonymous memory by another name (mem(4)).
                if (identity.RawDevice == ((1ul << 32) | 5) && !map.Shared)
                {
                    areas.Add(new Area(map with { Offset = 0 }, AreaKind.Anonymous, null));
                    continue;
                }

                refusals.Add(Refuse(view, map, "memory.device", "a mapped device cannot be captured"));
                continue;
            }

            bool deleted = map.Name.EndsWith(" (deleted)", StringComparison.Ordinal);
            if (deleted && identity.Links > 0)
            {
                // sem_open(3) makes a semaphore under another name than it gets.
                if (SharedMemoryDirectory.NameOf(view.Pid, map.Name, identity) is { } name)
                {
                    areas.Add(new Area(map with { Name = name }, AreaKind.File, identity));
                    continue;
                }

                refusals.Add(Refuse(view, map, "file.renamed", "the name it was mapped by is gone, but the file has another"));
                continue;
            }

            areas.Add(new Area(map, AreaKind.File, identity));
        }

        return (areas, refusals);
    }

    /// <summary>The memory image of a stopped process: everything but contents.</summary>
    public static MemoryImage Capture(ProcessView view, IReadOnlyList<Area> areas, IProcessState state)
    {
        ProcessStat stat = view.Stat;
        string executable = view.Executable ?? throw ProcFs.Unreadable($"/proc/{view.Pid}/exe");
        FileIdentity? identity = FileIdentity.TryOf($"/proc/{view.Pid}/exe");
        return new MemoryImage
        {
            StartCode = stat.Field(26), EndCode = stat.Field(27), StartStack = stat.Field(28), StartData = stat.Field(45), EndData = stat.Field(46),
            StartBreak = stat.Field(47), ArgumentsStart = stat.Field(48), ArgumentsEnd = stat.Field(49), EnvironmentStart = stat.Field(50),
            EnvironmentEnd = stat.Field(51), Break = state.Break, AuxiliaryVector = ProcFs.Bytes($"/proc/{view.Pid}/auxv"),
            Executable = executable, ExecutableIdentity = identity ?? throw new BridgeException("file.unreadable", $"looking at {executable}", "it cannot be found"),
            Areas = [.. areas.Select(area => area.ToImage())], ProtectionKeys = state.ProtectionKeys(view.Pid, areas),
            AioContexts = state.AioContexts(view, areas),
        };
    }

    /// <summary>
    /// Whether an area is registered with a userfaultfd for nothing but to see later what was written to, as <see cref="WriteTracker"/> does: no page fault is handed
    /// over, so that the program does not depend on it. (One that does so with its own descriptor is refused for that.)
    /// </summary>
    private static bool IsTrackedOnly(int pid, MemoryMap map)
    {
        if (map.HasFlag("ui ") || map.HasFlag("um "))
        {
            return false;
        }

        using PageMap pages = new(pid);
        return pages.IsWriteProtectedAsync(map.Start);
    }

    /// <summary>
    /// Whether a process that runs has unmapped an area since its areas were read. Runtimes that write machine code through a second mapping (.NET's <c>doublemapper</c>)
    /// map it at the same place again and again, so that one which is there once more is followed once more.
    /// </summary>
    private static bool WasUnmapped(ProcessView view, MemoryMap map, ref FileIdentity? identity)
    {
        using IDisposable kernel = ProcSnapshot.PassOver();
        for (int again = 0; identity is null && again < 10; again++)
        {
            if (!MemoryMap.Read(view.Pid).Any(now => (now.Start, now.End, now.Device, now.Inode) == (map.Start, map.End, map.Device, map.Inode)))
            {
                return true;
            }

            identity = map.Name.StartsWith('/') ? MappedFiles.Identify(view.Pid, map) : null;
        }

        return false;
    }

    private static Refusal Refuse(ProcessView view, MemoryMap map, string code, string why, string remedy = "release it before the checkpoint") =>
        new(code, view.InnerPid, null, $"memory {map.Start:x}-{map.End:x} {map.Name}".TrimEnd(), why, remedy);
}

/// <summary>An area of a process's memory as it was found.</summary>
/// <param name="Map">Its line in smaps.</param>
/// <param name="Kind">What it is backed by.</param>
/// <param name="Backing">The file or shared object behind it.</param>
internal sealed record Area(MemoryMap Map, AreaKind Kind, FileIdentity? Backing)
{
    /// <summary>Ranges of guard pages (MADV_GUARD_INSTALL), found while pumping.</summary>
    public List<GuardRange> Guards { get; } = [];

    /// <summary>The image's file, set when the application's images are put together.</summary>
    public int File { get; set; } = -1;

    public bool Deleted => Kind == AreaKind.File && Map.Name.EndsWith(" (deleted)", StringComparison.Ordinal);

    /// <summary>Whether the process has pages of its own here, to be stored with it.</summary>
    public bool HasPrivatePages => Kind is AreaKind.Anonymous || (Kind is AreaKind.File && !Map.Shared);

    // Most areas of all processes have one of a few sets of flags.
    private static readonly ConcurrentDictionary<(string Flags, bool IsSystemV), string[]> toSetAgain = [];

    /// <summary>What of VmFlags is set again: it is the same list for the same flags.</summary>
    private static string[] FlagsToSetAgain(string flags, bool isSystemV)
    {
        if (toSetAgain.TryGetValue((flags, isSystemV), out string[]? known))
        {
            return known;
        }

        string[] again =
        [
            .. flags.Split(' ', StringSplitOptions.RemoveEmptyEntries).Where(flag =>
                flag is "gd" or "lo" or "lf" or "nr" or "dp" or HugePages.Flag || (flag == "mw" && isSystemV) || AddressSpaces.Advices.Any(a => a.Flag == flag)),
        ];
        return toSetAgain.Count < 1024 ? toSetAgain.GetOrAdd((flags, isSystemV), again) : again;
    }

    public AreaImage ToImage() => new()
    {
        Start = Map.Start, End = Map.End, Protection = Map.Protection, Kind = Kind, Shared = Map.Shared, Offset = Map.Offset, Name = Map.Name,
        Flags = FlagsToSetAgain(Map.Flags, Kind == AreaKind.SystemV),
        Guards = Guards, Source = this, PageSize = Map.HasFlag(HugePages.Flag + " ") ? Map.HugePageSize : 0,
        ProtectionKey = Map.ProtectionKey, Policy = NumaMaps.Parse(Map.Policy) is { } policy ? new MemoryPolicyImage(policy.Mode, policy.Nodes) : null,
    };
}

/// <summary>A range of guard pages.</summary>
internal sealed record GuardRange(ulong Start, ulong End);

/// <summary>The address space of a process; names as in <c>struct prctl_mm_map</c> of include/uapi/linux/prctl.h.</summary>
internal sealed record MemoryImage
{
    public required ulong StartCode { get; init; }

    public required ulong EndCode { get; init; }

    public required ulong StartData { get; init; }

    public required ulong EndData { get; init; }

    public required ulong StartBreak { get; init; }

    public required ulong Break { get; init; }

    public required ulong StartStack { get; init; }

    public required ulong ArgumentsStart { get; init; }

    public required ulong ArgumentsEnd { get; init; }

    public required ulong EnvironmentStart { get; init; }

    public required ulong EnvironmentEnd { get; init; }

    public required byte[] AuxiliaryVector { get; init; }

    public required string Executable { get; init; }

    public required FileIdentity ExecutableIdentity { get; init; }

    /// <summary>Areas in ascending order.</summary>
    public required IReadOnlyList<AreaImage> Areas { get; init; }

    /// <summary>Protection keys that are allocated (<see cref="Resources.ProtectionKeys"/>).</summary>
    public IReadOnlyList<int> ProtectionKeys { get; init => field = value ?? []; } = [];

    /// <summary>Contexts of Linux AIO (<see cref="Resources.AioContexts"/>).</summary>
    public IReadOnlyList<AioContextImage> AioContexts { get; set => field = value ?? []; } = [];

    /// <summary>Index into <see cref="ApplicationImage.MappedFiles"/> of the executable.</summary>
    public int ExecutableFile { get; set; } = -1;
}

/// <summary>An area of memory in an image.</summary>
internal sealed record AreaImage
{
    public required ulong Start { get; init; }

    public required ulong End { get; init; }

    public required int Protection { get; init; }

    public required AreaKind Kind { get; init; }

    public required bool Shared { get; init; }

    /// <summary>Offset in the file or shared object, bytes.</summary>
    public required ulong Offset { get; init; }

    public required string Name { get; init; }

    /// <summary>VmFlags to set again: see <see cref="AddressSpaces.Advices"/>, and gd, lo, lf, nr, dp; mw of System V memory that was attached to be written.</summary>
    public required IReadOnlyList<string> Flags { get; init; }

    public required IReadOnlyList<GuardRange> Guards { get; init; }

    /// <summary>Bytes of a page where they are huge (<see cref="HugePages"/>), else 0.</summary>
    public long PageSize { get; init; }

    /// <summary>Its protection key (pkeys(7)); 0 for none.</summary>
    public int ProtectionKey { get; init; }

    /// <summary>Its own NUMA policy (mbind(2)); null for none.</summary>
    public MemoryPolicyImage? Policy { get; init; }

    /// <summary>Index into <see cref="ApplicationImage.MappedFiles"/>, <see cref="ApplicationImage.SharedMemory"/> or, of an io_uring, <see cref="ApplicationImage.OpenFiles"/>; -1 for none.</summary>
    public int File { get; set; } = -1;

    [System.Text.Json.Serialization.JsonIgnore]
    public ulong Length => End - Start;

    /// <summary>Where it was captured from; not part of the image.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public Area? Source { get; init; }
}

/// <summary>A file that is mapped or executed.</summary>
/// <param name="Path">Its path.</param>
/// <param name="Identity">What it was.</param>
/// <param name="Writable">Mapped shared with the right to write: opened for reading and writing.</param>
/// <param name="Deleted">Its contents are among the ghost files.</param>
internal sealed record MappedFileImage(string Path, FileIdentity Identity, bool Writable, bool Deleted)
{
    /// <summary>Digest of its contents where times do not tell whether they changed (<see cref="ContentDigest"/>); otherwise null.</summary>
    public byte[]? Digest { get; init; }
}

/// <summary>Memory that processes share: anonymous, or a System V segment.</summary>
/// <param name="Id">Number in the image.</param>
/// <param name="Size">Bytes.</param>
internal sealed record SharedMemoryImage(int Id, long Size)
{
    /// <summary>Set when it is System V shared memory.</summary>
    public SegmentImage? Segment { get; init; }

    /// <summary>Bytes of a page where they are huge (<see cref="HugePages"/>), else 0.</summary>
    public long PageSize { get; init; }

    /// <summary>The stream that holds the contents.</summary>
    public string Stream => $"shared/{Id}";
}
