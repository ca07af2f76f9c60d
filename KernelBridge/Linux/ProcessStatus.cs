using System.Globalization;
using System.Text;

namespace Holdfast.KernelBridge.Linux;

/// <summary>/proc/PID/status as names and values; see proc(5).</summary>
internal sealed class ProcessStatus
{
    private readonly byte[] text;
    private readonly ProcessStatus? rest;

    private ProcessStatus(byte[] text, ProcessStatus? rest = null)
    {
        this.text = text;
        this.rest = rest;
    }

    /// <summary>The value of a line, or null where this kernel has none of that name.</summary>
    public string? this[string name] => TryFind(name, out ReadOnlySpan<byte> value) ? Encoding.UTF8.GetString(value) : null;

    /// <summary>A mask written in hexadecimal; 0 where there is no such line.</summary>
    public ulong Mask(string name) => TryFind(name, out ReadOnlySpan<byte> value) ? ulong.Parse(value, NumberStyles.HexNumber, CultureInfo.InvariantCulture) : 0;

    /// <summary>A decimal number; 0 where there is no such line.</summary>
    public int Number(string name) => TryFind(name, out ReadOnlySpan<byte> value) ? int.Parse(value, CultureInfo.InvariantCulture) : 0;

    /// <summary>A number of KiB; 0 where there is no such line.</summary>
    public long Kibibytes(string name) => TryFind(name, out ReadOnlySpan<byte> value) ? long.Parse(value.IndexOf((byte)' ') is > 0 and var space ? value[..space] : value, CultureInfo.InvariantCulture) : 0;

    /// <summary>Numbers separated by white space; empty where there is no such line.</summary>
    public int[] Numbers(string name)
    {
        List<int> numbers = [];
        for (ReadOnlySpan<byte> rest = TryFind(name, out ReadOnlySpan<byte> value) ? value : []; rest.Length > 0;)
        {
            int end = rest.IndexOfAny((byte)' ', (byte)'\t');
            numbers.Add(Integer(end < 0 ? rest : rest[..end]));
            rest = end < 0 ? [] : rest[end..].TrimStart(" \t"u8);
        }

        return [.. numbers];
    }

    /// <summary>The number that the innermost namespace gives (NSpid, NSpgid, NSsid).</summary>
    public int Innermost(string name) => TryFind(name, out ReadOnlySpan<byte> value) && value.Length > 0 ? Integer(value[(value.LastIndexOfAny((byte)' ', (byte)'\t') + 1)..]) : 0;

    /// <summary>The number that a pid namespace around the innermost gives (NSpid, NSpgid, NSsid); 0 where it gives none.</summary>
    /// <param name="name">The line.</param>
    /// <param name="depth">How many namespaces further out; 0 is the innermost.</param>
    public int Above(string name, int depth) => depth == 0 ? Innermost(name) : Numbers(name) is var numbers && depth < numbers.Length ? numbers[^(1 + depth)] : 0;

    // Ids above what an int holds are as the kernel's calls have them: negative.
    private static int Integer(ReadOnlySpan<byte> digits) => unchecked((int)long.Parse(digits, CultureInfo.InvariantCulture));

    /// <summary>Looks for a line when it is asked for: of some fifty lines of every thread few are.</summary>
    private bool TryFind(string name, out ReadOnlySpan<byte> value)
    {
        // A line feed before it, as all but the first have, and a colon behind it.
        Span<byte> wanted = stackalloc byte[name.Length + 2];
        wanted[0] = (byte)'\n';
        _ = Encoding.ASCII.GetBytes(name, wanted[1..]);
        wanted[^1] = (byte)':';
        ReadOnlySpan<byte> all = text;
        bool isFirst = all.StartsWith(wanted[1..]);
        int at = isFirst ? -1 : all.IndexOf(wanted);
        if (at < 0 && !isFirst)
        {
            value = default;
            return rest?.TryFind(name, out value) == true;
        }

        ReadOnlySpan<byte> behind = all[(at + wanted.Length)..];
        int end = behind.IndexOf((byte)'\n');
        value = Trimmed(end < 0 ? behind : behind[..end]);
        return true;
    }

    private static ReadOnlySpan<byte> Trimmed(ReadOnlySpan<byte> value) => value[Ascii.Trim(value)];

    /// <summary>
    /// That of another thread of a process, where the kernel has told all that is different: its name and numbers, and its signals. Lines that are of no use to a checkpoint
    /// are those of the first one (its state, processors, and how often it was rescheduled).
    /// </summary>
    /// <param name="first">The status of the first thread.</param>
    /// <param name="leader">What the kernel has told of that.</param>
    /// <param name="thread">What it has told of the other.</param>
    /// <returns>Null where it has to be read: its credentials are not those of the first, for one.</returns>
    public static ProcessStatus? TryCompose(ProcessStatus first, in TaskRecord leader, in TaskRecord thread)
    {
        // The kernel escapes these two.
        if ((thread.Credentials, thread.Seccomp, thread.NoNewPrivileges) != (leader.Credentials, leader.Seccomp, leader.NoNewPrivileges)
            || thread.Numbers is not { } numbers || thread.Name is var name && name.AsSpan().ContainsAny((byte)'\n', (byte)'\\'))
        {
            return null;
        }

        return new ProcessStatus([.. "Name:\t"u8, .. name, .. Encoding.ASCII.GetBytes($"\nNSpid:\t{string.Join('\t', numbers)}\nSigPnd:\t{thread.PendingSignals:x16}\nSigBlk:\t{thread.BlockedSignals:x16}\n")], first);
    }

    public static ProcessStatus? TryRead(int pid) => ProcFs.TryRead($"/proc/{pid}/status") is { Length: > 0 } text ? new ProcessStatus(text) : null;

    public static ProcessStatus Read(int pid) =>
        TryRead(pid) ?? throw new BridgeException("process.gone", $"reading /proc/{pid}/status", "the process ended");

    public static ProcessStatus? TryReadThread(int pid, int tid) =>
        ProcFs.TryRead($"/proc/{pid}/task/{tid}/status") is { Length: > 0 } text ? new ProcessStatus(text) : null;
}
