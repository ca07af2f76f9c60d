using System.Globalization;

namespace Holdfast.Runtime.Native;

/// <summary>What procfs says of this host and its processes (proc(5)).</summary>
internal static class Host
{
    private static readonly Lazy<string> Boot = new(() => File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim());

    public static string BootId() => Boot.Value;

    /// <summary>Field 22 of /proc/PID/stat; null when there is no such process, or only its zombie.</summary>
    public static ulong? StartTime(int pid) => Stat(pid) is { } fields && fields[0] is not ("Z" or "X")
        ? ulong.Parse(fields[19], CultureInfo.InvariantCulture)
        : null;

    /// <summary>Host pid of the parent; null when there is no such process.</summary>
    public static int? Parent(int pid) => Stat(pid) is { } fields ? int.Parse(fields[1], CultureInfo.InvariantCulture) : null;

    /// <summary>/proc/PID/comm; null when there is no such process.</summary>
    public static string? Name(int pid) => Read(pid, "comm")?.TrimEnd('\n');

    /// <summary>/proc/PID/cmdline as arguments; empty for a zombie, null when there is no such process.</summary>
    public static IReadOnlyList<string>? CommandLine(int pid) =>
        Read(pid, "cmdline")?.TrimEnd('\0').Split('\0', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Host pids of all descendants of a process, the parents first.</summary>
    public static List<int> Descendants(int root)
    {
        ILookup<int?, int> children = Directory.EnumerateDirectories("/proc")
            .Select(d => int.TryParse(Path.GetFileName(d), NumberStyles.None, CultureInfo.InvariantCulture, out int pid) ? pid : 0)
            .Where(pid => pid > 0)
            .ToLookup(Parent);
        List<int> found = [root];
        for (int i = 0; i < found.Count; i++)
        {
            found.AddRange(children[found[i]]);
        }

        found.RemoveAt(0);
        return found;
    }

    /// <summary>utime and stime of a process and its descendants, in ticks of USER_HZ; fields 14 and 15 of /proc/PID/stat.</summary>
    public static long ProcessorTicks(int root) => Descendants(root).Prepend(root).Select(Stat).Where(f => f is not null)
        .Sum(f => long.Parse(f![11], CultureInfo.InvariantCulture) + long.Parse(f[12], CultureInfo.InvariantCulture));

    /// <summary>RssAnon and RssShmem of a process and its descendants, in bytes; /proc/PID/status.</summary>
    public static long ResidentBytes(int root) => Descendants(root).Prepend(root).Select(pid => Read(pid, "status") ?? "").Sum(status => status.Split('\n')
        .Where(l => l.StartsWith("RssAnon:", StringComparison.Ordinal) || l.StartsWith("RssShmem:", StringComparison.Ordinal))
        .Sum(l => long.Parse(l.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024));

    // The name stands in parentheses and may hold anything, parentheses too: the fields begin after the last one.
    private static string[]? Stat(int pid) => Read(pid, "stat") is { } text && text.LastIndexOf(')') is var end and >= 0
        ? text[(end + 2)..].Split(' ')
        : null;

    private static string? Read(int pid, string file)
    {
        try
        {
            return pid > 0 ? File.ReadAllText($"/proc/{pid}/{file}") : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
