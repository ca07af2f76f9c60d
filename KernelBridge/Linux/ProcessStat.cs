using System.Globalization;

namespace Holdfast.KernelBridge.Linux;

/// <summary>/proc/PID/stat; field numbers as in proc(5).</summary>
internal sealed class ProcessStat
{
    private const long PF_EXITING = 4, PF_IO_WORKER = 0x10;

    private readonly string[] fields;

    private ProcessStat(string text)
    {
        int open = text.IndexOf('(');
        int close = text.LastIndexOf(')');
        Name = text[(open + 1)..close];
        fields = text[(close + 2)..].TrimEnd().Split(' ');
    }

    public string Name { get; }

    public char State => fields[0][0];

    /// <summary>Whether it has ended, or is on its way out (PF_EXITING of include/linux/sched.h).</summary>
    public bool IsEnding => State is 'Z' or 'X' || (Signed(9) & PF_EXITING) != 0;

    /// <summary>Whether it is a worker of the kernel's own (PF_IO_WORKER of include/linux/sched.h).</summary>
    public bool IsKernelWorker => (Signed(9) & PF_IO_WORKER) != 0;

    public int ParentPid => (int)Signed(4);

    public int ProcessGroup => (int)Signed(5);

    public int Session => (int)Signed(6);

    public int ExitSignal => (int)Signed(38);

    public int Nice => (int)Signed(19);

    public ulong StartTime => Field(22);

    /// <summary>Field <paramref name="number"/> (from 3 on).</summary>
    public ulong Field(int number) => ulong.Parse(fields[number - 3], CultureInfo.InvariantCulture);

    public long Signed(int number) => long.Parse(fields[number - 3], CultureInfo.InvariantCulture);

    /// <summary>Takes a text apart.</summary>
    public static ProcessStat Parse(string text) => new(text);

    public static ProcessStat? TryRead(int pid) => ProcFs.TryText($"/proc/{pid}/stat") is { Length: > 0 } text ? new ProcessStat(text) : null;

    public static ProcessStat Read(int pid) => TryRead(pid) ?? throw new BridgeException("process.gone", $"reading /proc/{pid}/stat", "the process ended");

    public static ProcessStat? TryReadThread(int pid, int tid) =>
        ProcFs.TryText($"/proc/{pid}/task/{tid}/stat") is { Length: > 0 } text ? new ProcessStat(text) : null;
}
