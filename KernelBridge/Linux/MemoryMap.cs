using System.Globalization;
using System.Text;

namespace Holdfast.KernelBridge.Linux;

/// <summary>One line of /proc/PID/maps with what smaps adds; see proc(5).</summary>
/// <param name="Start">First address.</param>
/// <param name="End">Address after the last.</param>
/// <param name="Protection">PROT_READ | PROT_WRITE | PROT_EXEC.</param>
/// <param name="Shared">MAP_SHARED.</param>
/// <param name="Offset">Offset in the file, bytes.</param>
/// <param name="Device">As in <see cref="FileIdentity.Device"/>.</param>
/// <param name="Inode">Inode, 0 for anonymous memory.</param>
/// <param name="Name">Path or bracketed name, or empty.</param>
/// <param name="Flags">The two-letter VmFlags of smaps; empty when only maps was read.</param>
internal sealed record MemoryMap(
    ulong Start, ulong End, int Protection, bool Shared, ulong Offset, ulong Device, ulong Inode, string Name, string Flags)
{
    /// <summary>The protection key of smaps (pkeys(7)); 0 is the one that all memory begins with.</summary>
    public int ProtectionKey { get; init; }

    /// <summary>Bytes of a page of smaps' KernelPageSize where they are huge (hugetlb), else 0.</summary>
    public long HugePageSize { get; init; }

    /// <summary>The NUMA policy that it has been given itself (<see cref="NumaMaps"/>), or empty.</summary>
    public string Policy { get; init; } = string.Empty;

    public ulong Length => End - Start;

    public bool HasFlag(string flag) => Flags.Contains(flag, StringComparison.Ordinal);

    /// <summary>Kernel-made areas: vDSO and its data. Their layout differs between kernels.</summary>
    public bool IsVdso => Name is "[vdso]" || Name.StartsWith("[vvar", StringComparison.Ordinal);

    /// <summary>/proc/PID/maps: cheap.</summary>
    public static List<MemoryMap> Read(int pid) => ReadFile($"/proc/{pid}/maps");

    /// <summary>/proc/PID/smaps and numa_maps: with VmFlags and policies; walks page tables.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="much">Whether it has so much memory that both are better read at the same time: each looks at every page.</param>
    public static List<MemoryMap> ReadWithFlags(int pid, bool much = false)
    {
        string? numaMaps = null;
        Beside numa = new(() => numaMaps = NumaMaps.TryRead(pid), much && ProcSnapshot.Current is null);
        List<MemoryMap> maps = ReadFile($"/proc/{pid}/smaps");
        numa.Finish();
        Dictionary<ulong, string> policies = NumaMaps.Policies(numaMaps, maps);
        for (int i = 0; policies.Count > 0 && i < maps.Count; i++)
        {
            maps[i] = policies.TryGetValue(maps[i].Start, out string? policy) ? maps[i] with { Policy = policy } : maps[i];
        }

        return maps;
    }

    /// <summary>
    /// The areas with the flags that they, or the areas that they have grown or shrunk from, were seen with before. Not certain, but for a process with much memory
    /// a small part of what smaps costs.
    /// </summary>
    /// <param name="pid">The process.</param>
    /// <param name="known">Its areas when it was looked at before, with flags.</param>
    /// <returns>Null when there is an area that was not there then.</returns>
    public static List<MemoryMap>? TryReadWithKnownFlags(int pid, IReadOnlyList<MemoryMap> known)
    {
        List<MemoryMap> maps = Read(pid);
        int at = 0;
        for (int i = 0; i < maps.Count; i++)
        {
            MemoryMap map = maps[i];
            while (at < known.Count && known[at].End <= map.Start)
            {
                at++;
            }

            if (at == known.Count || known[at].Start >= map.End || !known[at].IsKindOf(map))
            {
                return null;
            }

            maps[i] = map with { Flags = known[at].Flags, ProtectionKey = known[at].ProtectionKey, HugePageSize = known[at].HugePageSize, Policy = known[at].Policy };
        }

        return maps;
    }

    private bool IsKindOf(MemoryMap other) =>
        (Protection, Shared, Device, Inode, Name) == (other.Protection, other.Shared, other.Device, other.Inode, other.Name) && (Inode == 0 || Offset - Start == other.Offset - other.Start);

    /// <summary>Whether the flags of an area are those of the same area in a copy of the process: fork(2) unlocks memory, and ends userfaultfd and soft-dirty tracking.</summary>
    public bool HasFlagsOf(MemoryMap copy) => ProtectionKey == copy.ProtectionKey && Policy == copy.Policy && (Flags == copy.Flags || Kept(Flags).SetEquals(Kept(copy.Flags)));

    private static HashSet<string> Kept(string flags) =>
        [.. flags.Split(' ', StringSplitOptions.RemoveEmptyEntries).Where(flag => flag is not ("lo" or "lf" or "sd" or "um" or "uw" or "ui"))];

    private static List<MemoryMap> ReadFile(string path)
    {
        byte[] text = ProcFs.TryRent(path, out int length) ?? throw ProcFs.Unreadable(path);
        try
        {
            return Parse(text.AsSpan(0, length));
        }
        finally
        {
            LargeArrays<byte>.Pool.Return(text);
        }
    }

    internal static List<MemoryMap> Parse(ReadOnlySpan<byte> text)
    {
        List<MemoryMap> maps = [];
        while (text.Length > 0)
        {
            int end = text.IndexOf((byte)'\n');
            ReadOnlySpan<byte> line = end < 0 ? text : text[..end];
            text = end < 0 ? default : text[(end + 1)..];
            if (line.Length == 0)
            {
                continue;
            }

            // Lines of smaps about the area above; only one of them is wanted.
            if (line[0] is >= (byte)'A' and <= (byte)'Z')
            {
                if (line.StartsWith("ProtectionKey:"u8))
                {
                    maps[^1] = maps[^1] with { ProtectionKey = int.Parse(line[14..].Trim((byte)' '), CultureInfo.InvariantCulture) };
                }
                else if (line.StartsWith("KernelPageSize:"u8))
                {
                    // In KiB.
                    ReadOnlySpan<byte> size = line[15..].Trim((byte)' ');
                    long bytes = long.Parse(size[..size.IndexOf((byte)' ')], CultureInfo.InvariantCulture) << 10;
                    maps[^1] = maps[^1] with { HugePageSize = bytes > 4096 ? bytes : 0 };
                }
                else if (line.StartsWith("VmFlags:"u8))
                {
                    maps[^1] = maps[^1] with { Flags = Encoding.ASCII.GetString(line[8..]) + " " };
                }

                continue;
            }

            maps.Add(ParseLine(line));
        }

        return maps;
    }

    // 7f00-7f10 rw-p 00000000 fe:00 1234      /path
    private static MemoryMap ParseLine(ReadOnlySpan<byte> line)
    {
        int dash = line.IndexOf((byte)'-');
        int space = line.IndexOf((byte)' ');
        ulong start = Hex(line[..dash]);
        ulong end = Hex(line[(dash + 1)..space]);
        ReadOnlySpan<byte> rest = line[(space + 1)..];
        int protection = (rest[0] == 'r' ? 1 : 0) | (rest[1] == 'w' ? 2 : 0) | (rest[2] == 'x' ? 4 : 0);
        bool shared = rest[3] == 's';
        rest = rest[5..];
        space = rest.IndexOf((byte)' ');
        ulong offset = Hex(rest[..space]);
        rest = rest[(space + 1)..];
        space = rest.IndexOf((byte)' ');
        int colon = rest.IndexOf((byte)':');
        ulong device = (Hex(rest[..colon]) << 32) | Hex(rest[(colon + 1)..space]);
        rest = rest[(space + 1)..];
        space = rest.IndexOf((byte)' ');
        ulong inode = ulong.Parse(space < 0 ? rest : rest[..space], NumberStyles.None, CultureInfo.InvariantCulture);
        string name = space < 0 ? string.Empty : Encoding.UTF8.GetString(rest[space..].TrimStart((byte)' '));
        return new MemoryMap(start, end, protection, shared, offset, device, inode, name, string.Empty);
    }

    private static ulong Hex(ReadOnlySpan<byte> text) => ulong.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
