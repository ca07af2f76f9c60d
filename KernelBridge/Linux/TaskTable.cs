namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// What the kernel knows of all threads of this host at one moment (<see cref="TaskIterator.All"/>), for who asks about many processes: a file of procfs takes longer than twenty of its
/// records. Of processes that stand it stays true for as long as they do.
/// </summary>
internal sealed class TaskTable
{
    /// <summary>Threads of this host for each process that is asked about, up to which it is worth while.</summary>
    private const int Worth = 16;

    private readonly IReadOnlyDictionary<int, TaskRecord> records;
    private readonly ILookup<ulong, TaskRecord> processes;

    private TaskTable(IReadOnlyDictionary<int, TaskRecord> records)
    {
        this.records = records;
        processes = records.Values.ToLookup(record => record.Process);
    }

    /// <summary>Reads it; null where it is not worth while, or where the kernel does not tell.</summary>
    /// <param name="asked">How many processes are asked about.</param>
    public static TaskTable? TryRead(int asked) =>
        ProcSnapshot.Current is null && TaskIterator.IfReady is { } iterator && ThreadsOfHost() <= (long)asked * Worth && iterator.All() is { } records ? new TaskTable(records) : null;

    /// <summary>The first thread of a process; null where it is not known.</summary>
    public TaskRecord? Of(int pid) => records.TryGetValue(pid, out TaskRecord record) && record.Process == record.Tid ? record : null;

    /// <summary>It is known that it has no children.</summary>
    public bool IsChildless(int pid) => processes.Contains((ulong)pid) && processes[(ulong)pid].All(record => !record.HasChildren);

    /// <summary>It is known that nobody waits for it as for a child of vfork(2).</summary>
    public bool IsAwaitedByNone(int pid) => processes.Contains((ulong)pid) && processes[(ulong)pid].All(record => record.VforkDone == 0);

    /// <summary>The fourth word of /proc/loadavg: threads that can run, and all of them.</summary>
    private static long ThreadsOfHost() =>
        ProcFs.TryText("/proc/loadavg")?.Split(' ') is [_, _, _, var counts, ..] && counts.Split('/') is [_, var all] && long.TryParse(all, out long threads) ? threads : long.MaxValue;
}
