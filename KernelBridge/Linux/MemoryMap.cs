using System.Globalization;

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

    public ulong Length => End - Start;

    public bool HasFlag(string flag) => Flags.Contains(flag, StringComparison.Ordinal);

    /// <summary>Kernel-made areas: vDSO and its data. Their layout differs between kernels.</summary>
    public bool IsVdso => Name is "[vdso]" || Name.StartsWith("[vvar", StringComparison.Ordinal);

    /// <summary>/proc/PID/maps: cheap.</summary>
    public static List<MemoryMap> Read(int pid) => Parse(ProcFs.Text($"/proc/{pid}/maps"));

    /// <summary>/proc/PID/smaps: with VmFlags; walks page tables.</summary>
    public static List<MemoryMap> ReadWithFlags(int pid) => Parse(ProcFs.Text($"/proc/{pid}/smaps"));

    internal static List<MemoryMap> Parse(string text)
    {
        List<MemoryMap> maps = [];
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            if (line.Length == 0)
            {
                continue;
            }

            if (line[0] is >= 'A' and <= 'Z')
            {
                if (line.StartsWith("ProtectionKey:"))
                {
                    maps[^1] = maps[^1] with { ProtectionKey = int.Parse(line[14..].Trim(), CultureInfo.InvariantCulture) };
                }
                else if (line.StartsWith("VmFlags:"))
                {
                    maps[^1] = maps[^1] with { Flags = line[8..].ToString() + " " };
                }

                continue;
            }

            maps.Add(ParseLine(line));
        }

        return maps;
    }

    // 7f00-7f10 rw-p 00000000 fe:00 1234      /path
    private static MemoryMap ParseLine(ReadOnlySpan<char> line)
    {
        int dash = line.IndexOf('-');
        int space = line.IndexOf(' ');
        ulong start = Hex(line[..dash]);
        ulong end = Hex(line[(dash + 1)..space]);
        ReadOnlySpan<char> rest = line[(space + 1)..];
        int protection = (rest[0] == 'r' ? 1 : 0) | (rest[1] == 'w' ? 2 : 0) | (rest[2] == 'x' ? 4 : 0);
        bool shared = rest[3] == 's';
        rest = rest[5..];
        space = rest.IndexOf(' ');
        ulong offset = Hex(rest[..space]);
        rest = rest[(space + 1)..];
        space = rest.IndexOf(' ');
        int colon = rest.IndexOf(':');
        ulong device = (Hex(rest[..colon]) << 32) | Hex(rest[(colon + 1)..space]);
        rest = rest[(space + 1)..];
        space = rest.IndexOf(' ');
        ulong inode = ulong.Parse(space < 0 ? rest : rest[..space], CultureInfo.InvariantCulture);
        string name = space < 0 ? string.Empty : rest[space..].TrimStart().ToString();
        return new MemoryMap(start, end, protection, shared, offset, device, inode, name, string.Empty);
    }

    private static ulong Hex(ReadOnlySpan<char> text) => ulong.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
