using System.Diagnostics;
using System.Globalization;

namespace Holdfast.Snapshots.Bench;

/// <summary>Manifests with very many extents: opening one, and comparing it with a sibling of 100 changes.</summary>
internal static class TableBench
{
    private const int Stride = 8192;

    public static int Run(string[] args)
    {
        int count = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 1_000_000;
        string root = Path.Combine("/dev/shm", $"holdfast-bench-{Environment.ProcessId}");
        try
        {
            using SnapshotStore store = SnapshotStore.Open(root);
            byte[] bytes = new byte[64];
            SnapshotInfo first;
            using (SnapshotWriter writer = store.BeginSnapshot("o", "bench"))
            {
                for (long i = 0; i < count; i++)
                {
                    writer.Write("data", i * Stride, bytes);
                }

                first = writer.Commit();
            }

            var random = new Random(1);
            SortedSet<long> changed = [];
            while (changed.Count < 100)
            {
                changed.Add(random.Next(count));
            }

            SnapshotInfo second;
            long start = Stopwatch.GetTimestamp();
            using (SnapshotWriter writer = store.BeginSnapshot("o", "bench", first))
            {
                long at = 0;
                foreach (long one in changed)
                {
                    writer.KeepFromParent("data", at, (one * Stride) - at);
                    random.NextBytes(bytes);
                    writer.Write("data", one * Stride, bytes);
                    at = (one + 1) * Stride;
                }

                writer.KeepFromParent("data", at, long.MaxValue - at);
                second = writer.Commit();
            }

            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"sibling of {count} extents written in {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F0} ms, {second.StoredBytes} bytes"));
            var opens = new List<double>();
            var compares = new List<double>();
            var processor = new List<double>();
            for (int round = 0; round < 15; round++)
            {
                start = Stopwatch.GetTimestamp();
                using SnapshotReader a = store.OpenSnapshot(first);
                opens.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                using SnapshotReader b = store.OpenSnapshot(second);
                TimeSpan before = Environment.CpuUsage.TotalTime;
                start = Stopwatch.GetTimestamp();
                SnapshotDifference difference = SnapshotDifference.Compare(a, b, new DifferenceOptions { CompareContent = false });
                compares.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                processor.Add((Environment.CpuUsage.TotalTime - before).TotalMilliseconds);
                if (difference.Streams[0].BytesChanged != 100 * bytes.Length)
                {
                    Console.Error.WriteLine($"wrong: {difference.Streams[0]}");
                    return 1;
                }
            }

            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"open: first {opens[0]:F1} ms, median {opens.Order().ElementAt(7):F1} ms; compare: first {compares[0]:F1} ms, median {compares.Order().ElementAt(7):F1} ms, "
                + $"of which processor time: first {processor[0]:F1} ms, median {processor.Order().ElementAt(7):F1} ms"));
            return 0;
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }
}
