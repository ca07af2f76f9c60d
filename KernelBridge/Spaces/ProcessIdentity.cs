using System.Globalization;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>What /proc/PID/stat says about a process. See proc_pid_stat(5).</summary>
/// <param name="Pid">The pid as this process's /proc numbers it.</param>
/// <param name="State">Its state letter.</param>
/// <param name="ParentPid">Its parent, 0 when that is outside our pid namespace.</param>
/// <param name="StartTime">Field 22: clock ticks since boot.</param>
internal readonly record struct ProcessIdentity(int Pid, char State, int ParentPid, ulong StartTime)
{
    /// <summary>True when it has ended and only waits to be reaped.</summary>
    public bool IsDead => State is 'Z' or 'X';

    /// <summary>The identity of the boot that runs.</summary>
    public static string BootId() => File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();

    /// <summary>Reads it.</summary>
    /// <returns>Null when there is no such process.</returns>
    public static ProcessIdentity? Read(int pid)
    {
        string stat;
        try
        {
            stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"));
        }
        catch (IOException)
        {
            // ENOENT, or ESRCH when it ended between open and read.
            return null;
        }

        // The name, in parentheses, may hold anything, parentheses and blanks included.
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return new ProcessIdentity(
            pid, fields[0][0], int.Parse(fields[1], CultureInfo.InvariantCulture), ulong.Parse(fields[19], CultureInfo.InvariantCulture));
    }

    /// <summary>The pids of a process from the outermost namespace that this /proc shows to its own (NSpid of /proc/PID/status).</summary>
    /// <returns>Empty when there is no such process.</returns>
    public static IReadOnlyList<int> NamespacePids(int pid)
    {
        try
        {
            foreach (string line in File.ReadLines(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/status")))
            {
                if (line.StartsWith("NSpid:", StringComparison.Ordinal))
                {
                    return [.. line[6..].Split('\t', StringSplitOptions.RemoveEmptyEntries).Select(n => int.Parse(n, CultureInfo.InvariantCulture))];
                }
            }
        }
        catch (IOException)
        {
            // Gone meanwhile.
        }

        return [];
    }
}
