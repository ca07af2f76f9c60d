using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Holdfast.Snapshots.Bench;

/// <summary>A program that keeps states.</summary>
internal interface ITool
{
    string Name { get; }

    string Repository { get; }

    void Prepare();

    void Take(string state, int step);

    void Restore(int step, string to);

    /// <summary>Bytes that bring the chain to another machine.</summary>
    Task<long> SentAsync();
}

internal static class Shell
{
    public static string Run(string command)
    {
        var start = new ProcessStartInfo("/bin/sh", ["-c", command]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["RESTIC_PASSWORD"] = "bench";
        start.Environment["BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK"] = "yes";
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{command}: {errors.Result}");
    }
}

/// <summary>This library, in this process.</summary>
internal sealed class Own(string root, bool image) : ITool
{
    private readonly List<SnapshotInfo> _taken = [];

    public string Name => "holdfast";

    public string Repository { get; } = Path.Combine(root, "own");

    public void Prepare() => SnapshotStore.Open(Repository).Dispose();

    public void Take(string state, int step)
    {
        using SnapshotStore store = SnapshotStore.Open(Repository);
        _taken.Add(StorageObject.Capture(store, "state", state, new CaptureOptions { AsBlockImage = image }));
    }

    public void Restore(int step, string to)
    {
        using SnapshotStore store = SnapshotStore.Open(Repository);
        using SnapshotReader reader = store.OpenSnapshot(_taken[step]);
        StorageObject.Restore(reader, to);
    }

    public async Task<long> SentAsync()
    {
        string copy = Path.Combine(root, "copy");
        using SnapshotStore store = SnapshotStore.Open(Repository);
        using SnapshotStore other = SnapshotStore.Open(copy);
        await using var device = new StoreDevice(other);
        long sent = (await new Migration(store, device).RunAsync("state")).BytesSent;
        Directory.Delete(copy, recursive: true);
        return sent;
    }
}

internal sealed class Restic(string root) : ITool
{
    public string Name => "restic";

    public string Repository { get; } = Path.Combine(root, "restic");

    public void Prepare() => Shell.Run($"restic -r '{Repository}' init --no-cache");

    public void Take(string state, int step) => Shell.Run($"cd '{root}' && restic -r '{Repository}' --no-cache backup --tag s{step} state");

    public void Restore(int step, string to) => Shell.Run($"restic -r '{Repository}' --no-cache restore latest --tag s{step} --target '{to}'");

    /// <summary>What it adds to a repository is what would go over the network.</summary>
    public Task<long> SentAsync() => Task.FromResult(long.Parse(Shell.Run($"du -sb '{Repository}' | cut -f1"), CultureInfo.InvariantCulture));
}

internal sealed class Borg(string root) : ITool
{
    public string Name => "borg";

    public string Repository { get; } = Path.Combine(root, "borg");

    public void Prepare() => Shell.Run($"borg init --encryption=none '{Repository}'");

    public void Take(string state, int step) => Shell.Run($"cd '{root}' && borg create --compression zstd,3 '{Repository}::s{step}' state");

    public void Restore(int step, string to) => Shell.Run($"mkdir '{to}' && cd '{to}' && borg extract '{Repository}::s{step}'");

    public Task<long> SentAsync() => Task.FromResult(long.Parse(Shell.Run($"du -sb '{Repository}' | cut -f1"), CultureInfo.InvariantCulture));
}

/// <summary>A directory for each state, unchanged files linked; an image is sent as its difference.</summary>
internal sealed partial class Rsync(string root, bool image) : ITool
{
    private long _sent;

    public string Name => "rsync";

    public string Repository { get; } = Path.Combine(root, "rsync");

    public void Prepare() => Directory.CreateDirectory(Repository);

    public void Take(string state, int step)
    {
        string before = Path.Combine(Repository, $"s{step - 1}");
        string into = Path.Combine(Repository, $"s{step}");
        string link = step == 0 ? string.Empty : $"--link-dest='{before}'";
        if (image && step > 0)
        {
            // An image would be written anew: a copy of the one before is brought up to date instead.
            Shell.Run($"cp -r '{before}' '{into}'");
            link = "--inplace";
        }

        string output = Shell.Run($"rsync -aHX --no-whole-file --stats {link} '{state}' '{into}/'");
        _sent += long.Parse(SentLine().Match(output).Groups[1].Value.Replace(",", string.Empty, StringComparison.Ordinal), CultureInfo.InvariantCulture);
    }

    public void Restore(int step, string to) => Shell.Run($"cp -a '{Path.Combine(Repository, $"s{step}")}' '{to}'");

    public Task<long> SentAsync() => Task.FromResult(_sent);

    [GeneratedRegex("Total bytes sent: ([0-9,]+)")]
    private static partial Regex SentLine();
}

/// <summary>A redis server that is written to while its memory is dumped into the file of the state.</summary>
internal sealed partial class BusyRedis : IDisposable
{
    private readonly Process _server;
    private readonly string _state;
    private readonly string _socket;

    public BusyRedis(string root)
    {
        _state = Path.Combine(root, "state");
        _socket = Path.Combine(root, "redis.sock");
        _server = Process.Start(new ProcessStartInfo("redis-server", ["--port", "0", "--unixsocket", _socket, "--save", "", "--daemonize", "no"]) { RedirectStandardOutput = true })!;
        while (!File.Exists(_socket))
        {
            Thread.Yield();
        }

        Shell.Run($"redis-benchmark -s '{_socket}' -q -n 300000 -r 200000 -d 300 -P 16 -t set");
    }

    /// <summary>Some work, then the writable private memory of the process, each mapping at its place.</summary>
    public void Dump(int step)
    {
        Shell.Run($"redis-benchmark -s '{_socket}' -q -n 20000 -r 200000 -d 300 -P 16 -t set,incr,lpush");
        using FileStream into = new(_state, FileMode.Create);
        using FileStream memory = File.OpenRead($"/proc/{_server.Id}/mem");
        long at = 0;
        byte[] buffer = new byte[1 << 20];
        foreach (string line in File.ReadLines($"/proc/{_server.Id}/maps"))
        {
            Match map = Writable().Match(line);
            if (!map.Success)
            {
                continue;
            }

            long start = Convert.ToInt64(map.Groups[1].Value, 16);
            long end = Convert.ToInt64(map.Groups[2].Value, 16);
            memory.Position = start;
            into.Position = at;
            for (long left = end - start; left > 0;)
            {
                int count = memory.Read(buffer, 0, (int)Math.Min(buffer.Length, left));
                into.Write(buffer, 0, count);
                left -= count;
            }

            at += end - start;
        }
    }

    public void Dispose()
    {
        _server.Kill();
        _server.WaitForExit();
        _server.Dispose();
    }

    [GeneratedRegex("^([0-9a-f]+)-([0-9a-f]+) rw.p (?!.*\\[v)")]
    private static partial Regex Writable();
}
