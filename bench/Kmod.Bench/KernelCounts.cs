using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Kmod.Bench;

/// <summary>
/// What the kernel counts between two moments: system calls of everybody (nobody else does anything in the guest), bytes that they returned, and how often a thread was
/// stopped by ptrace. By histogram triggers of trace events (Documentation/trace/histogram.rst of the kernel).
/// </summary>
internal sealed partial class KernelCounts
{
    private const string Tracing = "/sys/kernel/tracing";

    // Of the x86-64 table: read, pread64, recvmsg, process_vm_readv, readv, preadv.
    private static readonly int[] Reading = [0, 17, 19, 47, 295, 310];

    // The first is begun last and ended first: it counts what is done for the others too.
    private static readonly (string Event, string Trigger)[] Triggers =
    [
        ("raw_syscalls/sys_enter", "hist:keys=id:size=1024"), ("raw_syscalls/sys_exit", "hist:keys=id:vals=ret:size=1024 if ret > 0 && ret < 1099511627776"),
        ("sched/sched_switch", "hist:keys=prev_state:size=128 if prev_state & 8"),
    ];

    // Of the x86-64 table: sched_yield and futex, by which threads of the runtime wait for each other.
    private static readonly int[] Waiting = [24, 202];

    private static readonly Dictionary<string, SafeFileHandle> Files = Triggers.ToDictionary(
        trigger => trigger.Event, trigger => File.OpenHandle($"{Tracing}/events/{trigger.Event}/trigger", FileMode.Open, FileAccess.Write, FileShare.ReadWrite));

    private KernelCounts()
    {
    }

    public long SystemCalls => Calls.Values.Sum();

    /// <summary>The same without those by which threads of the runtime wait for each other.</summary>
    public long WithoutWaiting => Calls.Where(call => !Waiting.Contains(call.Key)).Sum(call => call.Value);

    public required IReadOnlyDictionary<int, long> Calls { get; init; }

    /// <summary>Bytes that reading system calls returned.</summary>
    public required long BytesRead { get; init; }

    public required long Stops { get; init; }

    /// <summary>Counts what happens while something is done.</summary>
    public static KernelCounts Of(Action what)
    {
        foreach ((string name, string trigger) in Triggers.Reverse())
        {
            Write(name, trigger);
        }

        try
        {
            what();
            foreach ((string name, string trigger) in Triggers)
            {
                Write(name, trigger.Contains(" if ", StringComparison.Ordinal) ? trigger.Replace(" if ", ":pause if ") : trigger + ":pause");
            }

            Dictionary<int, long> calls = Read(Triggers[0].Event).ToDictionary(line => line.Key, line => line.Hits);
            return new KernelCounts
            {
                Calls = calls, BytesRead = Read(Triggers[1].Event).Where(line => Reading.Contains(line.Key)).Sum(line => line.Sum), Stops = Read(Triggers[2].Event).Sum(line => line.Hits),
            };
        }
        finally
        {
            foreach ((string name, string trigger) in Triggers)
            {
                Write(name, "!" + trigger);
            }
        }
    }

    // By one call each.
    private static void Write(string name, string trigger) => RandomAccess.Write(Files[name], Encoding.ASCII.GetBytes(trigger + "\n"), 0);

    private static IEnumerable<(int Key, long Hits, long Sum)> Read(string name)
    {
        foreach (string line in File.ReadLines($"{Tracing}/events/{name}/hist"))
        {
            if (Entry().Match(line) is { Success: true } match)
            {
                // A negative number, such as that of a call that a tracer has taken away, is printed as if it had no sign.
                long Number(int group) => match.Groups[group].Success ? unchecked((long)ulong.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture)) : 0;
                yield return ((int)Number(1), Number(2), Number(3));
            }
        }
    }

    [GeneratedRegex(@"^\{ \w+:\s+(\d+) \} hitcount:\s+(\d+)(?:\s+ret:\s+(\d+))?")]
    private static partial Regex Entry();
}
