using System.Globalization;
using System.Text;

namespace Holdfast.KernelBridge.Linux;

/// <summary>/proc/PID/status as names and values; see proc(5).</summary>
internal sealed class ProcessStatus
{
    private readonly byte[] text;

    private ProcessStatus(byte[] text) => this.text = text;

    /// <summary>The value of a line, or null where this kernel has none of that name.</summary>
    public string? this[string name] => TryFind(name, out ReadOnlySpan<byte> value) ? Encoding.UTF8.GetString(value) : null;

    /// <summary>A mask written in hexadecimal; 0 where there is no such line.</summary>
    public ulong Mask(string name) => TryFind(name, out ReadOnlySpan<byte> value) ? ulong.Parse(value, NumberStyles.HexNumber, CultureInfo.InvariantCulture) : 0;

    /// <summary>A decimal number; 0 where there is no such line.</summary>
    public int Number(string name) => TryFind(name, out ReadOnlySpan<byte> value) ? int.Parse(value, CultureInfo.InvariantCulture) : 0;

    /// <summary>A number of KiB; 0 where there is no such line.</summary>
    public long Kibibytes(string name) => TryFind(name, out ReadOnlySpan<byte> value) ? long.Parse(value.IndexOf((byte)' ') is > 0 and var space ? value[..space] : value, CultureInfo.InvariantCulture) : 0;

    /// <summary>Numbers separated by white space; empty where there is no such line.</summary>
    public int[] Numbers(string name) => TryFind(name, out ReadOnlySpan<byte> value)
        ? [.. Encoding.UTF8.GetString(value).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(word => unchecked((int)long.Parse(word, CultureInfo.InvariantCulture)))]
        : [];

    /// <summary>The number that the innermost namespace gives (NSpid, NSpgid, NSsid).</summary>
    public int Innermost(string name) => Numbers(name) is { Length: > 0 } numbers ? numbers[^1] : 0;

    /// <summary>The number that a pid namespace around the innermost gives (NSpid, NSpgid, NSsid); 0 where it gives none.</summary>
    /// <param name="name">The line.</param>
    /// <param name="depth">How many namespaces further out; 0 is the innermost.</param>
    public int Above(string name, int depth) => Numbers(name) is var numbers && depth < numbers.Length ? numbers[^(1 + depth)] : 0;

    /// <summary>Looks for a line when it is asked for: of some fifty lines of every thread few are.</summary>
    private bool TryFind(string name, out ReadOnlySpan<byte> value)
    {
        for (ReadOnlySpan<byte> rest = text; rest.Length > 0;)
        {
            int end = rest.IndexOf((byte)'\n');
            ReadOnlySpan<byte> line = end < 0 ? rest : rest[..end];
            if (line.Length > name.Length && line[name.Length] == ':' && Ascii.Equals(line[..name.Length], name))
            {
                value = Trimmed(line[(name.Length + 1)..]);
                return true;
            }

            rest = end < 0 ? [] : rest[(end + 1)..];
        }

        value = default;
        return false;
    }

    private static ReadOnlySpan<byte> Trimmed(ReadOnlySpan<byte> value) => value[Ascii.Trim(value)];

    public static ProcessStatus? TryRead(int pid) => ProcFs.TryRead($"/proc/{pid}/status") is { Length: > 0 } text ? new ProcessStatus(text) : null;

    public static ProcessStatus Read(int pid) =>
        TryRead(pid) ?? throw new BridgeException("process.gone", $"reading /proc/{pid}/status", "the process ended");

    public static ProcessStatus? TryReadThread(int pid, int tid) =>
        ProcFs.TryRead($"/proc/{pid}/task/{tid}/status") is { Length: > 0 } text ? new ProcessStatus(text) : null;
}
