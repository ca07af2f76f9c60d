using System.Text.RegularExpressions;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>System V shared memory, attached and not: identifier, key, permissions, contents, whether it goes with its last user; see shmget(2), shmctl(2).</summary>
internal static unsafe partial class SystemVMemory
{
    private const long HugetlbMagic = 0x958458f6;

    /// <summary>Whether an area of memory is a segment; its inode is then the identifier (ipc/shm.c).</summary>
    public static bool IsSegment(MemoryMap map) => map.Shared && SegmentName().IsMatch(map.Name);

    /// <summary>What there is in the namespace in which the thread is, by identifier.</summary>
    /// <param name="inner">The application's number of a process by the host's.</param>
    public static List<(long Size, SegmentImage Segment)> List(Func<int, int> inner) => [.. IpcNamespace.List("shm").Select(line => (line[3], new SegmentImage(
        IpcPermissions.Of(line, 7), inner((int)line[4]), inner((int)line[5]), (line[2] & IpcCalls.SHM_DEST) != 0, (line[2] & IpcCalls.SHM_LOCKED) != 0)))];

    /// <summary>What cannot be captured, in the namespace in which the thread is.</summary>
    public static IEnumerable<Refusal> Refusals()
    {
        List<long[]> loose = [.. IpcNamespace.List("shm").Where(line => line[6] == 0)];
        if (loose.Count > 0 && ProcFs.TryText("/proc/sys/kernel/shm_rmid_forced")?.Trim() == "1")
        {
            // Looking into it means attaching it; then it would be removed.
            yield return new Refusal(
                "ipc.shm", 0, null, $"System V shared memory {loose[0][1]}", "nobody has it attached, and shm_rmid_forced would remove it after a look into it", "attach it, or remove it (ipcrm)");
            yield break;
        }

        foreach (long[] line in loose.Count > 0 && HugePagesExist() ? loose : [])
        {
            bool huge = Attached((int)line[1], line[3], own => Libc.FileSystemType(own.Path) == HugetlbMagic);
            if (huge)
            {
                yield return new Refusal("memory.huge", 0, null, $"System V shared memory {line[1]}", "huge pages (hugetlb) cannot be captured", "remove it before the checkpoint (ipcrm)");
            }
        }
    }

    /// <summary>Pumps the contents of a segment.</summary>
    /// <param name="shared">The segment.</param>
    /// <param name="rootPid">A process in its namespace.</param>
    /// <param name="user">A process that has it attached; null when nobody has.</param>
    /// <param name="sink">Takes them.</param>
    public static PageCounts Pump(SharedMemoryImage shared, int rootPid, SegmentUser? user, IPageSink sink) => user is not null
        ? Pump(shared, user, sink)
        : IpcNamespace.Ask(rootPid, () => Attached(shared.Segment!.Permissions.Id, shared.Size, own => Pump(shared, own, sink)));

    private static PageCounts Pump(SharedMemoryImage shared, SegmentUser user, IPageSink sink)
    {
        // Behind its end the last page can be used too, but only memory shows what is there; a read of the file ends before.
        long whole = user.Covers(shared.Size - 1) ? shared.Size & ~(PagePump.PageSize - 1L) : shared.Size;
        PageCounts counts = SharedMemoryPump.Pump(shared with { Size = whole }, [user], sink);
        if (whole < shared.Size)
        {
            byte[] page = new byte[PagePump.PageSize];
            using TargetMemory memory = new(user.Pid);
            memory.Read(user.Start + (ulong)whole - user.Offset, page);
            counts += PagePump.WriteNonZero(page, whole, shared.Stream, sink, keepZeros: false);
        }

        return counts;
    }

    /// <summary>Attaches a segment of the namespace in which the thread is to this process, for as long as a question takes.</summary>
    /// <param name="id">Identifier.</param>
    /// <param name="size">Bytes.</param>
    /// <param name="question">Gets where it is.</param>
    private static T Attached<T>(int id, long size, Func<SegmentUser, T> question)
    {
        nint at = IpcCalls.shmat(id, 0, IpcCalls.SHM_RDONLY);
        if (at == -1)
        {
            throw new BridgeException("memory.unreadable", $"attaching System V shared memory {id}", Errno.Text(Libc.LastError), "run as root or with CAP_IPC_OWNER");
        }

        try
        {
            // Huge pages make it longer than it says.
            MemoryMap map = MemoryMap.Read(Environment.ProcessId).Find(map => map.Start == (ulong)at)
                ?? throw new BridgeException("memory.unreadable", $"looking for System V shared memory {id} of {size} bytes", "it is not where it was attached");
            return question(new SegmentUser(Environment.ProcessId, map.Start, map.End, 0));
        }
        finally
        {
            _ = IpcCalls.shmdt(at);
        }
    }

    private static bool HugePagesExist()
    {
        const string pools = "/sys/kernel/mm/hugepages";
        return Directory.Exists(pools) && Directory.EnumerateDirectories(pools).Any(pool =>
            ((string[])["nr_hugepages", "nr_overcommit_hugepages"]).Any(file => ProcFs.TryText($"{pool}/{file}")?.Trim() is { Length: > 0 } count && count != "0"));
    }

    [GeneratedRegex(@"^/SYSV[0-9a-f]{8} \(deleted\)$")]
    private static partial Regex SegmentName();
}

/// <summary>Where a process has shared memory: a segment attached, or anonymous memory mapped.</summary>
/// <param name="Pid">The process as the host sees it.</param>
/// <param name="Start">First address.</param>
/// <param name="End">Address after the last.</param>
/// <param name="Offset">Where in the segment it begins.</param>
internal sealed record SegmentUser(int Pid, ulong Start, ulong End, ulong Offset)
{
    public string Path => MappedFiles.Link(Pid, Start, End);

    /// <summary>Whether a byte of the segment is there.</summary>
    public bool Covers(long at) => (ulong)at >= Offset && (ulong)at - Offset < End - Start;
}

/// <summary>What makes shared memory a System V segment.</summary>
/// <param name="Permissions">Identifier, key, owners.</param>
/// <param name="MakerPid">The process that made it; 0 when it is gone.</param>
/// <param name="LastPid">The process that attached or detached it last; 0 when it is gone.</param>
/// <param name="Removed">It is removed (IPC_RMID) and goes with its last user.</param>
/// <param name="Locked">SHM_LOCK.</param>
internal sealed record SegmentImage(IpcPermissions Permissions, int MakerPid, int LastPid, bool Removed, bool Locked);
