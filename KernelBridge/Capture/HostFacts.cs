using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What a restore must know of the machine that an image comes from.</summary>
internal static class HostFacts
{
    /// <summary>Prefixes of flags in /proc/cpuinfo that name instructions which programs choose by.</summary>
    private static readonly string[] Instructions =
        ["sse", "ssse3", "avx", "aes", "vaes", "pclmulqdq", "vpclmulqdq", "sha", "bmi", "fma", "f16c", "popcnt", "movbe", "lzcnt", "abm", "adx", "rdrand", "rdseed", "rdpid",
         "fsgsbase", "erms", "fsrm", "gfni", "amx", "xsave", "clwb", "clflushopt", "cx16", "rtm", "hle", "rdtscp", "serialize", "movdir", "waitpkg", "pku", "ospke"];

    // What cannot change while this process runs.
    private static readonly Lazy<string> kernelRelease = new(() => ProcFs.Text("/proc/sys/kernel/osrelease").Trim());
    private static readonly Lazy<string> machineId = new(() => ProcFs.TryText("/etc/machine-id")?.Trim() is { Length: > 0 } id ? id : ProcFs.Text("/proc/sys/kernel/random/boot_id").Trim());
    private static readonly Lazy<IReadOnlyList<string>> cpuFlags = new(ReadCpuFlags);
    private static readonly Lazy<(long Monotonic, long Boottime)> ownOffsets = new(() => NamespaceOffsets("self"));

    public static HostImage Of(int pid, ProcessImage process)
    {
        Resources.AreaImage? vdso = process.Memory!.Areas.FirstOrDefault(area => area.Name == "[vdso]");
        byte[] code = new byte[vdso is null ? 0 : (int)vdso.Length];
        if (vdso is not null)
        {
            using TargetMemory memory = new(process.HostPid);
            memory.Read(vdso.Start, code);
        }

        (long monotonic, long boottime) = ClockOffsets(pid);
        return new HostImage
        {
            KernelRelease = kernelRelease.Value, MachineId = MachineId(), CpuFlags = CpuFlags(), Vdso = code,
            Monotonic = Libc.Nanoseconds(Libc.CLOCK_MONOTONIC) + monotonic, Boottime = Libc.Nanoseconds(Libc.CLOCK_BOOTTIME) + boottime,
        };
    }

    /// <summary>/etc/machine-id, or the boot's id where there is none.</summary>
    public static string MachineId() => machineId.Value;

    /// <summary>Instructions of this processor that programs choose by, in order.</summary>
    public static IReadOnlyList<string> CpuFlags() => cpuFlags.Value;

    private static IReadOnlyList<string> ReadCpuFlags()
    {
        foreach (string line in ProcFs.Text("/proc/cpuinfo").Split('\n'))
        {
            if (line.StartsWith("flags", StringComparison.Ordinal))
            {
                return [.. line[(line.IndexOf(':') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries)
                    .Where(flag => Array.Exists(Instructions, prefix => flag.StartsWith(prefix, StringComparison.Ordinal))).Order()];
            }
        }

        return [];
    }

    /// <summary>The host name in a process's UTS namespace; the host's own where that cannot be seen.</summary>
    /// <remarks>Only a thread inside the namespace can ask: /proc/sys shows the reader's own.</remarks>
    public static string HostNameOf(int pid) => UtsName.Of(pid) ?? Environment.MachineName;

    /// <summary>How far the clocks of a process's time namespace are ahead of those that are read here, nanoseconds.</summary>
    public static (long Monotonic, long Boottime) ClockOffsets(int pid)
    {
        ((long monotonic, long boottime), (long ownMonotonic, long ownBoottime)) = (NamespaceOffsets($"{pid}"), ownOffsets.Value);
        return (monotonic - ownMonotonic, boottime - ownBoottime);
    }

    /// <summary>What the time namespace of a process adds to the clocks of the machine, nanoseconds; see time_namespaces(7).</summary>
    /// <param name="process">Its name in /proc.</param>
    public static (long Monotonic, long Boottime) NamespaceOffsets(string process)
    {
        long monotonic = 0;
        long boottime = 0;
        foreach (string line in (ProcFs.TryText($"/proc/{process}/timens_offsets") ?? string.Empty).Split('\n'))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (words.Length == 3)
            {
                long offset = long.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture) * 1_000_000_000
                    + long.Parse(words[2], System.Globalization.CultureInfo.InvariantCulture);
                (monotonic, boottime) = words[0] is "monotonic" or "1" ? (offset, boottime) : (monotonic, offset);
            }
        }

        return (monotonic, boottime);
    }

    /// <summary>The namespaces that a process does not share with us, and whether it has its own /dev/shm, as a launch names them.</summary>
    public static IReadOnlyList<string> IsolatedOf(int pid)
    {
        (string Kind, string Name)[] kinds = [("pid", "pid"), ("mnt", "mount"), ("uts", "uts"), ("ipc", "ipc"), ("time", "time"), ("net", "net")];
        return
        [
            .. kinds.Where(kind => ProcFs.TryLink($"/proc/{pid}/ns/{kind.Kind}") != ProcFs.TryLink($"/proc/self/ns/{kind.Kind}")).Select(kind => kind.Name),
            .. (IReadOnlyList<string>)(Resources.SharedMemoryDirectory.HasOwn(pid) ? ["shm"] : []),
        ];
    }
}
