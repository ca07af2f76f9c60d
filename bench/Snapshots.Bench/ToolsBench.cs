using System.Diagnostics;
using System.Globalization;

namespace Holdfast.Snapshots.Bench;

/// <summary>The same chain of states kept with this library, restic, borg and rsync: time, bytes stored, bytes sent, time to restore the middle state.</summary>
internal static class ToolsBench
{
    public static async Task<int> RunAsync(string[] args)
    {
        int at = Array.IndexOf(args, "--place");
        string root = Path.Combine(at >= 0 ? args[at + 1] : "/dev/shm", $"holdfast-bench-{Environment.ProcessId}");
        args = at >= 0 ? [.. args[..at], .. args[(at + 2)..]] : args;
        Directory.CreateDirectory(root);
        try
        {
            switch (args)
            {
                case ["image", .. var rest]:
                    await CompareAsync(root, Number(rest, 1, 8), image: true, Image(root, Number(rest, 0, 2048)));
                    return 0;
                case ["tree", var directory, .. var rest]:
                    int versions = Number(rest, 0, 20);
                    await CompareAsync(root, versions, image: false, Directory.Exists(Path.Combine(directory, ".git")) || File.Exists(Path.Combine(directory, ".git"))
                        ? History(root, directory, versions)
                        : Tree(root, directory));
                    return 0;
                case ["redis", .. var rest]:
                    using (var redis = new BusyRedis(root))
                    {
                        await CompareAsync(root, Number(rest, 0, 20), image: true, redis.Dump);
                    }

                    return 0;
                default:
                    return 2;
            }
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    private static async Task CompareAsync(string root, int steps, bool image, Action<int> advance)
    {
        string state = Path.Combine(root, "state");
        ITool[] tools = [new Own(root, image), new Restic(root), new Borg(root), new Rsync(root, image)];
        foreach (ITool tool in tools)
        {
            tool.Prepare();
        }

        double[] times = new double[tools.Length];
        for (int step = 0; step < steps; step++)
        {
            advance(step);
            for (int i = 0; i < tools.Length; i++)
            {
                // Taking turns at going first, so that nobody always finds the file in a warmer cache.
                int one = (i + step) % tools.Length;
                times[one] += Time(() => tools[one].Take(state, step));
            }
        }

        Console.WriteLine($"{steps} states of {Path.GetFileName(state)}, the last {Size(state):N0} bytes; ratios are to the first line");
        (double Time, long Stored, long Sent, double Restore)? own = null;
        for (int i = 0; i < tools.Length; i++)
        {
            string back = Path.Combine(root, "back");
            double restore = Time(() => tools[i].Restore(steps / 2, back));
            Shell.Run($"rm -rf '{back}'");
            var result = (times[i], Size(tools[i].Repository), await tools[i].SentAsync(), restore);
            own ??= result;
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{tools[i].Name,-8} take {result.Item1,7:F2} s ({result.Item1 / own.Value.Time:F2}), stored {result.Item2,14:N0} ({(double)result.Item2 / own.Value.Stored:F2}), sent {result.Item3,14:N0} ({(double)result.Item3 / own.Value.Sent:F2}), restore the middle {result.restore,6:F2} s ({result.restore / own.Value.Restore:F2})"));
        }
    }

    private static Action<int> Image(string root, int megabytes)
    {
        var random = new Random(1);
        byte[] piece = new byte[1 << 20];
        string state = Path.Combine(root, "state");
        return step =>
        {
            using FileStream file = new(state, FileMode.OpenOrCreate);
            for (int i = 0; step == 0 && i < megabytes; i++)
            {
                random.NextBytes(piece);
                file.Write(piece);
            }

            for (int i = 0; step > 0 && i < megabytes * 256 / 100; i++)
            {
                random.NextBytes(piece.AsSpan(0, 4096));
                file.Position = random.Next(megabytes * 256) * 4096L;
                file.Write(piece, 0, 4096);
            }
        };
    }

    /// <summary>Versions of a repository, evenly spaced over its history up to the one that is checked out.</summary>
    private static Action<int> History(string root, string from, int versions)
    {
        string git = $"git --git-dir='{root}/git' --work-tree='{root}/state'";
        Shell.Run($"git clone -q --bare '{from}' '{root}/git' && mkdir '{root}/state'");
        string[] commits = Shell.Run($"{git} rev-list --first-parent --reverse HEAD").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return step => Shell.Run($"{git} checkout -q -f {commits[(commits.Length * (step + 1) / versions) - 1]}");
    }

    /// <summary>Edits as a version of a program brings them: lines inserted and changed in some files, some new, some gone.</summary>
    private static Action<int> Tree(string root, string from)
    {
        var random = new Random(1);
        string state = Path.Combine(root, "state");
        Shell.Run($"cp -a '{from}' '{state}'");
        return step =>
        {
            if (step == 0)
            {
                return;
            }

            string[] files = [.. Directory.EnumerateFiles(state, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint }).Order(StringComparer.Ordinal)];
            for (int i = 0; i < files.Length / 50; i++)
            {
                string file = files[random.Next(files.Length)];
                if (!File.Exists(file))
                {
                    continue;
                }

                byte[] bytes = File.ReadAllBytes(file);
                int at = random.Next(bytes.Length + 1);
                File.WriteAllBytes(file, [.. bytes[..at], .. System.Text.Encoding.ASCII.GetBytes($"line {random.Next()} of version {step}\n"), .. bytes[at..]]);
                if (random.Next(20) == 0)
                {
                    File.Copy(file, file + random.Next(), overwrite: true);
                }

                if (random.Next(20) == 0)
                {
                    File.Delete(file);
                }
            }
        };
    }

    private static int Number(string[] args, int index, int otherwise) => args.Length > index ? int.Parse(args[index], CultureInfo.InvariantCulture) : otherwise;

    private static long Size(string path) => long.Parse(Shell.Run($"du -sk '{path}' | cut -f1"), CultureInfo.InvariantCulture) * 1024;

    private static double Time(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
