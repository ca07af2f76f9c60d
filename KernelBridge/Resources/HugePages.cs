using System.Globalization;
using System.Numerics;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Memory of huge pages (MAP_HUGETLB, MFD_HUGETLB; Documentation/admin-guide/mm/hugetlbpage.rst of the kernel): private, shared anonymous, and memfds. The pages come from a
/// pool that the host's administrator sizes: a restore asks first whether it holds enough. Private ones are never copied by clone(2): a write that finds the pool empty would
/// take the page from whoever else has it, and end that process with SIGBUS when it looks (hugetlb_wp of mm/hugetlb.c).
/// </summary>
internal static class HugePages
{
    /// <summary>What VmFlags of smaps say of such an area.</summary>
    public const string Flag = "ht";

    /// <summary>What maps calls anonymous memory of them.</summary>
    public const string Anonymous = "/anon_hugepage (deleted)";

    /// <summary>Code of refusals.</summary>
    public const string Code = "memory.huge";

    /// <summary>Smallest and largest page, bytes: what x86-64 has.</summary>
    private const long Smallest = 2 << 20, Largest = 1 << 30;

    private const long Magic = 0x958458f6;
    private const ulong MAP_HUGETLB = 0x40000, MFD_HUGETLB = 4;
    private const int SizeShift = 26;

    /// <summary>Whether a path leads to a file of huge pages.</summary>
    public static bool IsFile(string path) => Libc.FileSystemType(path) == Magic;

    /// <summary>Whether a process has pages of its own here, which a copy of it would share with it.</summary>
    public static bool IsPrivate(Area area) => area.Map.HasFlag(Flag + " ") && !area.Map.Shared;

    /// <summary>Flags of mmap(2) for anonymous memory of pages of a size; 0 for usual ones.</summary>
    public static ulong MapFlags(long pageSize) => pageSize == 0 ? 0 : MAP_HUGETLB | Encoded(pageSize);

    /// <summary>Flags of memfd_create(2).</summary>
    public static ulong MemfdFlags(long pageSize) => pageSize == 0 ? 0 : MFD_HUGETLB | Encoded(pageSize);

    /// <summary>Whether a size of pages in an image is one: 0 stands for usual pages.</summary>
    public static bool IsValid(long pageSize, ulong bounds) =>
        pageSize == 0 || (pageSize is >= Smallest and <= Largest && BitOperations.IsPow2(pageSize) && (bounds & (ulong)(pageSize - 1)) == 0);

    /// <summary>Sizes of which an image needs more pages than this host has to give.</summary>
    /// <param name="image">The image.</param>
    /// <param name="pages">Its contents.</param>
    public static IEnumerable<Refusal> CheckRestore(ApplicationImage image, IPageSource pages)
    {
        Dictionary<long, long> needed = [];
        foreach (ProcessImage process in image.Processes)
        {
            foreach (AreaImage area in process.Memory?.Areas.Where(area => area.PageSize > 0 && !area.Shared) ?? [])
            {
                // Without MAP_NORESERVE all of it is set aside, touched or not.
                bool all = !area.Flags.Contains("nr");
                Add(needed, area.PageSize, all ? (long)area.Length : Filled(pages.Runs(process.Stream), area.PageSize, (long)area.Start, (long)area.End));
            }
        }

        foreach (SharedMemoryImage shared in image.SharedMemory.Where(shared => shared.PageSize > 0))
        {
            Add(needed, shared.PageSize, shared.Size);
        }

        foreach (GhostFileImage ghost in image.GhostFiles.Where(ghost => ghost.Memfd is { PageSize: > 0 }))
        {
            Add(needed, ghost.Memfd!.PageSize, Math.Max(Filled(pages.Runs(ghost.Stream), ghost.Memfd.PageSize, 0, long.MaxValue), Mapped(image, ghost)));
        }

        foreach ((long size, long bytes) in needed)
        {
            if (Refuse(size, bytes / size) is { } refusal)
            {
                yield return refusal;
            }
        }
    }

    /// <summary>Fills a memfd of huge pages, which cannot be written to but mapped.</summary>
    /// <param name="path">A path by which it can be opened.</param>
    /// <param name="size">Bytes of a page.</param>
    /// <param name="length">Its size, bytes.</param>
    /// <param name="pages">What has the contents.</param>
    /// <param name="stream">The stream that they are in.</param>
    /// <exception cref="BridgeException"><see cref="Code"/>, <c>image.invalid</c>.</exception>
    public static unsafe void Fill(string path, long size, long length, IPageSource pages, string stream)
    {
        int fd = Libc.open(path, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            throw new BridgeException(Code, $"opening memory of huge pages {stream}", Errno.Text(Libc.LastError));
        }

        try
        {
            foreach (PageRun run in pages.Runs(stream))
            {
                if (run.Offset < 0 || run.Length <= 0 || run.Offset + run.Length > length)
                {
                    throw new BridgeException("image.invalid", $"reading stream {stream}", $"run {run.Offset:x}+{run.Length:x} lies outside");
                }

                for (long at = run.Offset; at < run.Offset + run.Length;)
                {
                    // Mapping it sets the page aside, so that touching it cannot fail.
                    long window = at & ~(size - 1);
                    int part = (int)Math.Min(Math.Min(window + size, run.Offset + run.Length) - at, 1 << 20);
                    nint mapped = Libc.mmap(0, (nuint)size, Libc.PROT_READ | Libc.PROT_WRITE, 1, fd, window);
                    if (mapped == -1)
                    {
                        throw new BridgeException(Code, $"mapping memory of huge pages {stream}", Errno.Text(Libc.LastError), "have more of them (vm.nr_hugepages)");
                    }

                    try
                    {
                        pages.Read(stream, at, new Span<byte>((byte*)mapped + (at - window), part));
                    }
                    finally
                    {
                        _ = Libc.munmap(mapped, (nuint)size);
                    }

                    at += part;
                }
            }
        }
        finally
        {
            _ = Libc.close(fd);
        }
    }

    private static Refusal? Refuse(long size, long count)
    {
        string directory = $"/sys/kernel/mm/hugepages/hugepages-{size >> 10}kB";
        string what = $"huge pages of {size >> 20} MiB";
        if (!Directory.Exists(directory))
        {
            return new Refusal(Code, 0, null, what, "this host has none of that size", "restore on a host that has");
        }

        long Read(string name) => long.TryParse(ProcFs.TryText($"{directory}/{name}"), CultureInfo.InvariantCulture, out long value) ? value : 0;
        long free = Math.Max(0, Read("free_hugepages") - Read("resv_hugepages"));
        long surplus = Math.Max(0, Read("nr_overcommit_hugepages") - Read("surplus_hugepages"));
        return free + surplus >= count
            ? null
            : new Refusal(
                Code, 0, null, what, $"{count} are needed, and of {Read("nr_hugepages")} {free} are free",
                $"have {Read("nr_hugepages") + count - free - surplus} of them: {(size == Smallest ? "sysctl vm.nr_hugepages=" : $"{directory}/nr_hugepages: ")}{Read("nr_hugepages") + count - free - surplus}");
    }

    /// <summary>Bytes of pages between two offsets in which something lies.</summary>
    private static long Filled(IReadOnlyList<PageRun> runs, long size, long from, long to)
    {
        long bytes = 0;
        long counted = from;
        foreach (PageRun run in runs)
        {
            long start = Math.Max(counted, run.Offset) & ~(size - 1);
            long end = (Math.Min(to, run.Offset + run.Length) + size - 1) & ~(size - 1);
            if (run.Offset < to && end > Math.Max(start, counted))
            {
                bytes += end - Math.Max(start, counted);
                counted = end;
            }
        }

        return bytes;
    }

    /// <summary>How far a memfd is mapped shared: that much is set aside.</summary>
    private static long Mapped(ApplicationImage image, GhostFileImage ghost) =>
        image.Processes.SelectMany(process => process.Memory?.Areas ?? []).Where(area =>
            area.Kind == AreaKind.File && area.Shared && !area.Flags.Contains("nr") && image.MappedFiles[area.File].Identity.SameFile(ghost.Identity))
            .Select(area => (long)(area.Offset + area.Length)).DefaultIfEmpty().Max();

    private static void Add(Dictionary<long, long> needed, long size, long bytes) => needed[size] = needed.GetValueOrDefault(size) + bytes;

    private static ulong Encoded(long pageSize) => (ulong)BitOperations.Log2((ulong)pageSize) << SizeShift;
}
