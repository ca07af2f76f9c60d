using System.Globalization;

namespace Holdfast.KernelBridge.Linux;

/// <summary>/proc/PID/status as names and values; see proc(5).</summary>
internal sealed class ProcessStatus
{
    private readonly Dictionary<string, string> values = [];

    private ProcessStatus(string text)
    {
        foreach (string line in text.Split('\n'))
        {
            int colon = line.IndexOf(':');
            if (colon > 0)
            {
                values[line[..colon]] = line[(colon + 1)..].Trim();
            }
        }
    }

    /// <summary>The value of a line, or null where this kernel has none of that name.</summary>
    public string? this[string name] => values.GetValueOrDefault(name);

    /// <summary>A mask written in hexadecimal; 0 where there is no such line.</summary>
    public ulong Mask(string name) => values.TryGetValue(name, out string? text) ? ulong.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture) : 0;

    /// <summary>A decimal number; 0 where there is no such line.</summary>
    public int Number(string name) => values.TryGetValue(name, out string? text) ? int.Parse(text, CultureInfo.InvariantCulture) : 0;

    /// <summary>A number of KiB; 0 where there is no such line.</summary>
    public long Kibibytes(string name) => values.TryGetValue(name, out string? text) ? long.Parse(text.Split(' ')[0], CultureInfo.InvariantCulture) : 0;

    /// <summary>Numbers separated by white space; empty where there is no such line.</summary>
    public int[] Numbers(string name) => values.TryGetValue(name, out string? text)
        ? [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(word => unchecked((int)long.Parse(word, CultureInfo.InvariantCulture)))]
        : [];

    /// <summary>The number that the innermost namespace gives (NSpid, NSpgid, NSsid).</summary>
    public int Innermost(string name) => Numbers(name) is { Length: > 0 } numbers ? numbers[^1] : 0;

    /// <summary>The number that a pid namespace around the innermost gives (NSpid, NSpgid, NSsid); 0 where it gives none.</summary>
    /// <param name="name">The line.</param>
    /// <param name="depth">How many namespaces further out; 0 is the innermost.</param>
    public int Above(string name, int depth) => Numbers(name) is var numbers && depth < numbers.Length ? numbers[^(1 + depth)] : 0;

    public static ProcessStatus? TryRead(int pid) => ProcFs.TryText($"/proc/{pid}/status") is { Length: > 0 } text ? new ProcessStatus(text) : null;

    public static ProcessStatus Read(int pid) =>
        TryRead(pid) ?? throw new BridgeException("process.gone", $"reading /proc/{pid}/status", "the process ended");

    public static ProcessStatus? TryReadThread(int pid, int tid) =>
        ProcFs.TryText($"/proc/{pid}/task/{tid}/status") is { Length: > 0 } text ? new ProcessStatus(text) : null;
}
