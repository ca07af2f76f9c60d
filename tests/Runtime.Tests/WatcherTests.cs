using Holdfast.Actors.Protection;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Protection.Triggers;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Tests;

/// <summary>The sources of triggers, on this process and files of their own.</summary>
public sealed class WatcherTests : IDisposable
{
    private static readonly ApplicationRecord Self = new()
    {
        Name = "self", Command = [], MainPid = Environment.ProcessId, WorkingDirectory = "/",
        Target = new ApplicationTarget(ApplicationScope.Space, Environment.ProcessId, 0, ""),
    };

    private readonly string _directory = Directory.CreateTempSubdirectory("holdfast-watch-").FullName;

    public void Dispose() => Directory.Delete(_directory, true);

    [Fact]
    public async Task A_file_that_is_written_replaced_made_or_removed_has_changed_once()
    {
        string path = Path.Combine(_directory, "f");
        string link = Path.Combine(_directory, "link");
        File.CreateSymbolicLink(link, path);
        using FileWatcher watcher = new(path);
        using FileWatcher throughLink = new(link);
        foreach (Action change in (Action[])[
            () => File.WriteAllText(path, "1"), () => File.WriteAllText(path, "22"),
            () =>
            {
                File.WriteAllText(path + ".new", "33");
                File.SetLastWriteTimeUtc(path + ".new", File.GetLastWriteTimeUtc(path));
                File.Move(path + ".new", path, true);
            },
            () => File.Delete(path)])
        {
            Assert.False((await watcher.ObserveAsync()).Happened);
            Assert.False((await throughLink.ObserveAsync()).Happened);
            change();
            Assert.True((await watcher.ObserveAsync()).Happened);
            Assert.True((await throughLink.ObserveAsync()).Happened);
        }

        Assert.False((await watcher.ObserveAsync()).Happened);
    }

    [Fact]
    public async Task A_program_fires_by_its_exit_status_and_is_killed_when_it_outlasts_its_turn()
    {
        using ProgramWatcher watcher = new("echo much; exit 3", 3, TimeSpan.FromMinutes(1));
        Assert.True((await watcher.ObserveAsync()).Happened);
        using ProgramWatcher other = new("exit 4", 3, TimeSpan.FromMinutes(1));
        Assert.False((await other.ObserveAsync()).Happened);
        using ProgramWatcher endless = new("sleep 1000", 0, TimeSpan.FromMilliseconds(100));
        await Assert.ThrowsAsync<TimeoutException>(endless.ObserveAsync);
    }

    [Fact]
    public async Task A_busy_process_shows_in_the_share_of_the_processors()
    {
        CpuWatcher watcher = new(() => Self);
        await watcher.ObserveAsync();
        TimeSpan before = Environment.CpuUsage.TotalTime;
        using CancellationTokenSource source = new();
        Task busy = Task.Run(() =>
        {
            while (!source.IsCancellationRequested)
            {
            }
        });
        // Ticks of 10 ms are counted: it takes some of them to be a share.
        HoldfastProgram.Until(() => (Environment.CpuUsage.TotalTime - before).TotalSeconds > 0.5, "some use of the processors");
        TriggerObservation observed = await watcher.ObserveAsync();
        await source.CancelAsync();
        await busy;
        Assert.InRange(observed.Value, 0.5, 110);
    }

    [Fact]
    public async Task Memory_that_grows_counts_from_the_last_point()
    {
        MemoryWatcher watcher = new(() => Self);
        await watcher.ObserveAsync();
        byte[] grown = new byte[256 << 20];
        Array.Fill(grown, (byte)1);

        Assert.True((await watcher.ObserveAsync()).Value > 64 << 20);
        watcher.PointTaken();
        Assert.Equal(0, (await watcher.ObserveAsync()).Value);
        GC.KeepAlive(grown);
    }

    [Fact]
    public async Task Storage_and_network_are_read_from_the_host()
    {
        Assert.InRange((await new StorageWatcher(() => Self).ObserveAsync()).Value, 0.0001, 100);
        NetworkWatcher network = new(() => Self);
        await network.ObserveAsync();
        Assert.True((await network.ObserveAsync()).Value >= 0);
        InvalidOperationException unknown = await Assert.ThrowsAsync<InvalidOperationException>(() => new StorageWatcher(() => null).ObserveAsync());
        Assert.Contains("does not run yet", unknown.Message);
    }

    [Fact]
    public async Task Pressure_is_read_from_the_control_group_and_its_absence_is_said()
    {
        ApplicationRecord grouped = Self with { Target = Self.Target with { CgroupPath = _directory } };
        using PressureWatcher watcher = new(() => grouped, "memory");
        Assert.Contains("CONFIG_PSI", (await Assert.ThrowsAsync<InvalidOperationException>(watcher.ObserveAsync)).Message);

        await File.WriteAllTextAsync(Path.Combine(_directory, "memory.pressure"), "some avg10=12.34 avg60=1.00 avg300=0.10 total=99\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=9\n");

        Assert.Equal(12.34, (await watcher.ObserveAsync()).Value);
    }
}
