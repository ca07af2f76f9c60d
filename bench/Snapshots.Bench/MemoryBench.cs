using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Holdfast.Snapshots.Bench;

/// <summary>Pages of memory into the store and back, in interleaved pairs with one plain write and read of the same bytes in the same place.</summary>
internal static unsafe class MemoryBench
{
    private const int Rounds = 9;

    public static int Run(string[] args)
    {
        long size = (args.Length > 0 ? long.Parse(args[0], CultureInfo.InvariantCulture) : 256) << 20;
        string root = Path.Combine(args.Length > 1 ? args[1] : "/dev/shm", $"holdfast-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(root);
        byte* memory = (byte*)NativeMemory.AlignedAlloc((nuint)size, 2 << 20);
        byte* back = (byte*)NativeMemory.AlignedAlloc((nuint)size, 2 << 20);
        try
        {
            for (long at = 0; at < size; at += 1 << 20)
            {
                Random.Shared.NextBytes(new Span<byte>(memory + at, 1 << 20));
            }

            new Span<byte>(back, (int)Math.Min(size, int.MaxValue)).Clear();
            var plainWrite = new List<double>();
            var storeWrite = new List<double>();
            var smallWrite = new List<double>();
            var plainRead = new List<double>();
            var storeRead = new List<double>();
            for (int round = 0; round < Rounds; round++)
            {
                string plain = Path.Combine(root, "plain");
                plainWrite.Add(Time(() => WritePlain(plain, memory, size)));
                plainRead.Add(Time(() => ReadPlain(plain, back, size)));
                File.Delete(plain);
                string directory = Path.Combine(root, "store");
                storeWrite.Add(Time(() => WriteStore(directory, memory, size, 8 << 20)));
                storeRead.Add(Time(() => ReadStore(directory, back, size)));
                if (!new Span<byte>(memory, (int)Math.Min(size, int.MaxValue)).SequenceEqual(new Span<byte>(back, (int)Math.Min(size, int.MaxValue))))
                {
                    Console.Error.WriteLine("read back differently");
                    return 1;
                }

                Directory.Delete(directory, recursive: true);
                smallWrite.Add(Time(() => WriteStore(directory, memory, size, 4096)));
                Directory.Delete(directory, recursive: true);
            }

            Report("write", size, plainWrite, storeWrite);
            Report("write by pages", size, plainWrite, smallWrite);
            Report("read", size, plainRead, storeRead);
            return 0;
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
            NativeMemory.AlignedFree(back);
            Directory.Delete(root, recursive: true);
        }
    }

    private static void WritePlain(string path, byte* memory, long size)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = Libc.CreateNew(path);
        for (long at = 0; at < size; at += 1 << 30)
        {
            Libc.Write(file, new ReadOnlySpan<byte>(memory + at, (int)Math.Min(1 << 30, size - at)), at, path);
        }

        Libc.Flush(file, path);
    }

    private static void ReadPlain(string path, byte* into, long size)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = Libc.TryOpen(path)!;
        for (long at = 0; at < size; at += 1 << 30)
        {
            Libc.Read(file, new Span<byte>(into + at, (int)Math.Min(1 << 30, size - at)), at, path);
        }
    }

    private static void WriteStore(string directory, byte* memory, long size, int piece)
    {
        using SnapshotStore store = SnapshotStore.Open(directory);
        using SnapshotWriter writer = store.BeginSnapshot("bench", "application");
        for (long at = 0; at < size; at += piece)
        {
            writer.Write("mem", at, new ReadOnlySpan<byte>(memory + at, (int)Math.Min(piece, size - at)));
        }

        writer.Commit();
    }

    private static void ReadStore(string directory, byte* into, long size)
    {
        using SnapshotStore store = SnapshotStore.Open(directory);
        using SnapshotReader reader = store.OpenSnapshot(store.Find("bench"));
        for (long at = 0; at < size; at += 8 << 20)
        {
            reader.Read("mem", at, new Span<byte>(into + at, (int)Math.Min(8 << 20, size - at)));
        }
    }

    private static double Time(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    private static void Report(string what, long size, List<double> plain, List<double> store)
    {
        double[] ratios = [.. store.Zip(plain, (s, p) => s / p).Order()];
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{what}: {size >> 20} MiB, plain {plain.Order().ElementAt(plain.Count / 2):F1} ms, store {store.Order().ElementAt(store.Count / 2):F1} ms, ratio median {ratios[ratios.Length / 2]:F2} (from {ratios[0]:F2} to {ratios[^1]:F2})"));
    }
}
