using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Holdfast.Snapshots.Tests;

namespace Holdfast.Snapshots.Bench;

/// <summary>A chain of snapshots with 1 % random changes each goes over loopback with mutual TLS; beside it, as many bytes through a TLS socket.</summary>
internal static class ChainBench
{
    public static async Task<int> RunAsync(string[] args)
    {
        int megabytes = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 1024;
        int snapshots = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 100;
        string root = Path.Combine("/dev/shm", $"holdfast-bench-{Environment.ProcessId}");
        try
        {
            using SnapshotStore source = SnapshotStore.Open(Path.Combine(root, "a"));
            long distinct = Make(source, megabytes, snapshots);
            using SnapshotStore target = SnapshotStore.Open(Path.Combine(root, "b"));
            await using DeviceServer server = await DeviceServer.StartAsync(target);
            await using HttpDevice device = server.Connect();
            GC.Collect();
            TimeSpan before = Environment.CpuUsage.TotalTime;
            long start = Stopwatch.GetTimestamp();
            MigrationReport report = await new Migration(source, device).RunAsync("o");
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            TimeSpan own = Environment.CpuUsage.TotalTime - before;
            before = Environment.CpuUsage.TotalTime;
            double plain = await PlainAsync(server.Certificates, report.BytesSent);
            TimeSpan yardstick = Environment.CpuUsage.TotalTime - before;
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"chain: {snapshots} snapshots of {megabytes} MiB, {distinct} distinct bytes, {report.BytesSent} sent ({100.0 * (report.BytesSent - distinct) / distinct:F2} % more), "
                + $"{seconds:F2} s, {report.BytesSent / seconds / 1e6:F0} MB/s; the same through a TLS socket {plain:F2} s, {report.BytesSent / plain / 1e6:F0} MB/s; "
                + $"share of it {plain / seconds:F2}; processor time {own.TotalSeconds:F2} s and {yardstick.TotalSeconds:F2} s; peak memory of both sides together {PeakMemory()} MiB"));
            return 0;
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    /// <summary>Makes the chain in a store that stays, and says how many distinct bytes it has.</summary>
    public static int MakeStore(string directory, string[] args)
    {
        int megabytes = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 1024;
        int snapshots = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 100;
        using SnapshotStore store = SnapshotStore.Open(directory);
        Console.WriteLine(Make(store, megabytes, snapshots).ToString(CultureInfo.InvariantCulture));
        return 0;
    }

    private static long Make(SnapshotStore store, int megabytes, int snapshots)
    {
        var random = new Random(1);
        byte[] piece = new byte[1 << 20];
        int pages = megabytes * 256;
        SnapshotInfo last;
        using (SnapshotWriter writer = store.BeginSnapshot("o", "block"))
        {
            for (long at = 0; at < megabytes; at++)
            {
                random.NextBytes(piece);
                writer.Write("data", at << 20, piece);
            }

            last = writer.Commit();
        }

        long distinct = (long)megabytes << 20;
        for (int i = 1; i < snapshots; i++)
        {
            using SnapshotWriter writer = store.BeginSnapshot("o", "block", last);
            SortedSet<int> changed = [];
            while (changed.Count < pages / 100)
            {
                changed.Add(random.Next(pages));
            }

            long at = 0;
            foreach (int page in changed)
            {
                writer.KeepFromParent("data", at, (page * 4096L) - at);
                random.NextBytes(piece.AsSpan(0, 4096));
                writer.Write("data", page * 4096L, piece.AsSpan(0, 4096));
                at = (page + 1) * 4096L;
            }

            writer.KeepFromParent("data", at, long.MaxValue - at);
            last = writer.Commit();
            distinct += changed.Count * 4096L;
        }

        return distinct;
    }

    private static async Task<double> PlainAsync(TestCertificates certificates, long bytes)
    {
        var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        Task<TcpClient> accepting = listener.AcceptTcpClientAsync();
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, ((IPEndPoint)listener.LocalEndpoint).Port);
        using TcpClient accepted = await accepting;
        await using var from = new SslStream(client.GetStream(), false, (_, _, _, _) => true);
        await using var to = new SslStream(accepted.GetStream());
        await Task.WhenAll(to.AuthenticateAsServerAsync(certificates.Server), from.AuthenticateAsClientAsync("localhost"));
        byte[] data = new byte[64 * 1024];
        Random.Shared.NextBytes(data);
        long start = Stopwatch.GetTimestamp();
        Task sending = Task.Run(async () =>
        {
            for (long sent = 0; sent < bytes; sent += data.Length)
            {
                await from.WriteAsync(data);
            }
        });
        byte[] into = new byte[64 * 1024];
        for (long received = 0; received < bytes;)
        {
            received += await to.ReadAsync(into);
        }

        await sending;
        listener.Stop();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static long PeakMemory()
    {
        string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith("VmHWM", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024;
    }
}
