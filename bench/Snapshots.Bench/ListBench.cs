using System.Diagnostics;
using System.Globalization;

namespace Holdfast.Snapshots.Bench;

/// <summary>The first listing of a process: what a command line pays.</summary>
internal static class ListBench
{
    public static int Run(string directory)
    {
        TimeSpan before = Process.GetCurrentProcess().TotalProcessorTime;
        long start = Stopwatch.GetTimestamp();
        using SnapshotStore store = SnapshotStore.Open(directory, new StoreOptions { Create = false });
        int count = store.Objects().Sum(o => store.List(o).Count);
        double elapsed = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        double cpu = (Process.GetCurrentProcess().TotalProcessorTime - before).TotalMilliseconds;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"list: {count} snapshots, {elapsed:F1} ms, {cpu:F0} ms of processor time"));
        return 0;
    }
}
