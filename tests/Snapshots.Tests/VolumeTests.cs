using System.Diagnostics;
using System.IO.MemoryMappedFiles;
using System.Text;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

/// <summary>Volumes: copied while they change, brought up to date while they stand, put back over whatever came of them.</summary>
public sealed class VolumeTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly string _onDisk = Path.Combine(Path.GetTempPath(), $"holdfast-volumes-{Guid.NewGuid():N}");
    private readonly ITestOutputHelper _output;
    private readonly Random _random;
    private bool _mounted;
    private int _names;
    private VolumeCounts? _counts;

    public VolumeTests(ITestOutputHelper output)
    {
        _output = output;
        _random = TestSeed.Begin(output, out _);
    }

    public void Dispose()
    {
        if (_mounted)
        {
            Run($"umount '{_onDisk}/mount'");
        }

        Process.Start("rm", ["-rf", _onDisk]).WaitForExit();
        _directory.Dispose();
    }

    [Theory]
    [InlineData("memory")]
    [InlineData("disk")]
    [InlineData("reflink")]
    public void Every_snapshot_is_the_directory_as_it_stood(string fileSystem)
    {
        if (Place(fileSystem) is not { } volume)
        {
            return;
        }

        Run($"mkdir -p '{volume}/sub/deeper' && cd '{volume}' && ln -s sub link && mkfifo pipe && printf a > first && ln first sub/second && truncate -s 5M sparse && touch -d 2001-02-03 old");
        for (int i = 0; i < 40; i++)
        {
            Change(volume);
        }

        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        var states = new List<(SnapshotInfo Info, string State)>();
        int clones = 0;
        for (int round = 0; round < TestSeed.Count(6, 60); round++)
        {
            SnapshotInfo? parent = store.List("a").LastOrDefault();
            using SnapshotWriter writer = store.BeginSnapshot("a", "application", parent, new SnapshotWriterOptions());
            using VolumeCapture capture = new(writer, [volume]);
            capture.CopyFirst(CancellationToken.None);
            Change(volume, _random.Next(30));
            if (round == 0)
            {
                // Large enough to be cloned where that is possible.
                File.WriteAllBytes(New(volume, 'f'), _random.Bytes(600_000));
            }

            capture.CaptureChanges(CancellationToken.None);
            string state = Describe(volume);

            // Whoever works on afterwards does not change what was captured.
            Change(volume, _random.Next(30));
            clones += capture.Complete(CancellationToken.None).Clones;
            states.Add((writer.Commit(), state));
            Assert.True(store.Verify().IsSound);
        }

        Assert.Equal(fileSystem == "reflink", clones > 0);
        for (int i = 0; i < states.Count; i++)
        {
            (SnapshotInfo info, string state) = states[_random.Next(states.Count)];
            using SnapshotReader reader = store.OpenSnapshot(info);
            Change(volume, _random.Next(30));
            Volumes.PutBack(reader, CancellationToken.None);
            Assert.Equal(state, Describe(volume));
        }
    }

    [Theory]
    [InlineData("memory")]
    [InlineData("disk")]
    [InlineData("reflink")]
    public void A_store_through_a_mapping_is_seen_although_the_times_stay(string fileSystem)
    {
        if (Place(fileSystem) is not { } volume)
        {
            return;
        }

        string file = Path.Combine(volume, "mapped");
        File.WriteAllBytes(file, _random.Bytes(1 << 20));
        using var mapped = MemoryMappedFile.CreateFromFile(file, FileMode.Open);
        using MemoryMappedViewAccessor view = mapped.CreateViewAccessor();
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        SnapshotInfo? last = null;
        for (int round = 0; round < 3; round++)
        {
            // The page is dirty from here on; later stores to it need not change the times.
            view.Write(5000, _random.NextInt64());
            UntilItsTimesAreOld(file);
            using SnapshotWriter writer = store.BeginSnapshot("a", "application", last, new SnapshotWriterOptions());
            using VolumeCapture capture = new(writer, [volume]);
            capture.CopyFirst(CancellationToken.None);
            view.Write(5008, _random.NextInt64());
            capture.CaptureChanges(CancellationToken.None);
            long captured = view.ReadInt64(5008);
            string state = Describe(volume);
            view.Write(5008, ~captured);
            capture.Complete(CancellationToken.None);
            last = writer.Commit();
            using SnapshotReader reader = store.OpenSnapshot(last);
            Volumes.PutBack(reader, CancellationToken.None);
            Assert.Equal(state, Describe(volume));
        }
    }

    [Fact]
    public void Putting_back_that_was_called_off_anywhere_is_done_again_from_the_beginning()
    {
        string volume = Place("disk")!;
        for (int i = 0; i < 60; i++)
        {
            Change(volume);
        }

        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        (SnapshotInfo info, string state) = Take(store, volume);
        using SnapshotReader reader = store.OpenSnapshot(info);
        for (int round = 0; round < TestSeed.Count(8, 80); round++)
        {
            Change(volume, 40);
            string mark = Path.Combine(volume, Volumes.UnfinishedMark);
            using CancellationTokenSource soon = new(TimeSpan.FromMicroseconds(_random.Next(20_000)));
            try
            {
                Volumes.PutBack(reader, soon.Token);
            }
            catch (OperationCanceledException)
            {
                _output.WriteLine($"round {round}: {(File.Exists(mark) ? "in the middle" : "before anything was touched")}");
            }

            Volumes.PutBack(reader, CancellationToken.None);
            Assert.False(File.Exists(mark));
            Assert.Equal(state, Describe(volume));
        }
    }

    [Fact]
    public void A_little_change_in_a_large_file_costs_little_and_so_does_a_rename()
    {
        string volume = Place("disk")!;
        string file = Path.Combine(volume, "data");
        File.WriteAllBytes(file, _random.Bytes(20 << 20));
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        Take(store, volume);
        using (FileStream stream = new(file, FileMode.Open))
        {
            stream.Position = 9 << 20;
            stream.Write(_random.Bytes(1000));
            stream.Position = stream.Length;
            stream.Write(_random.Bytes(1000));
        }

        File.Move(file, Path.Combine(volume, "renamed"));
        File.WriteAllBytes(file, _random.Bytes(1000));
        (SnapshotInfo info, string state) = Take(store, volume);
        Assert.InRange(info.NewBytes, 3000, 40_000);
        using SnapshotReader reader = store.OpenSnapshot(info);
        Run($"rm -r '{volume}'");
        Volumes.PutBack(reader, CancellationToken.None);
        Assert.Equal(state, Describe(volume));
    }

    [Fact]
    public void What_did_not_change_is_not_read_again()
    {
        string volume = Place("disk")!;
        string file = Path.Combine(volume, "data");
        File.WriteAllBytes(file, _random.Bytes(5 << 20));
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        UntilItsTimesAreOld(file);
        Take(store, volume);
        Assert.Equal(0, _counts!.BytesInside);
        File.WriteAllText(Path.Combine(volume, "new"), "new");
        (SnapshotInfo info, string state) = Take(store, volume);
        Assert.True(_counts is { BytesBefore: 3, Files: 2 }, $"{_counts}");
        File.AppendAllText(file, "since");
        using SnapshotReader reader = store.OpenSnapshot(info);
        Volumes.PutBack(reader, CancellationToken.None);
        Assert.Equal(state, Describe(volume));
    }

    [Fact]
    public void A_file_that_is_linked_from_outside_is_not_written_to()
    {
        string volume = Place("disk")!;
        File.WriteAllText(Path.Combine(volume, "f"), "then");
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        (SnapshotInfo info, string state) = Take(store, volume);
        File.WriteAllText(Path.Combine(volume, "f"), "now");
        string outside = Path.Combine(_onDisk, "outside");
        Run($"ln '{volume}/f' '{outside}'");
        using SnapshotReader reader = store.OpenSnapshot(info);
        Volumes.PutBack(reader, CancellationToken.None);
        Assert.Equal(state, Describe(volume));
        Assert.Equal("now", File.ReadAllText(outside));
    }

    private (SnapshotInfo Info, string State) Take(SnapshotStore store, string volume)
    {
        using SnapshotWriter writer = store.BeginSnapshot("a", "application", store.List("a").LastOrDefault(), new SnapshotWriterOptions());
        using VolumeCapture capture = new(writer, [volume]);
        capture.CopyFirst(CancellationToken.None);
        capture.CaptureChanges(CancellationToken.None);
        string state = Describe(volume);
        _counts = capture.Complete(CancellationToken.None);
        return (writer.Commit(), state);
    }

    /// <summary>An empty directory on such a file system; null where the machine cannot have one.</summary>
    private string? Place(string fileSystem)
    {
        if (fileSystem == "memory")
        {
            Directory.CreateDirectory(_directory["volume"]);
            return _directory["volume"];
        }

        Directory.CreateDirectory(_onDisk);
        string volume = Path.Combine(_onDisk, "volume");
        if (fileSystem == "reflink")
        {
            if (!File.Exists("/usr/sbin/mkfs.xfs") || !Environment.IsPrivilegedProcess)
            {
                _output.WriteLine("no mkfs.xfs here: the package xfsprogs");
                return null;
            }

            Run($"truncate -s 400M '{_onDisk}/image' && mkfs.xfs -q -m reflink=1 '{_onDisk}/image' && mkdir '{_onDisk}/mount' && mount -o loop '{_onDisk}/image' '{_onDisk}/mount'");
            _mounted = true;
            volume = Path.Combine(_onDisk, "mount", "volume");
        }

        Directory.CreateDirectory(volume);
        return volume;
    }

    /// <summary>Waits until the clock is past the moment in which a change would show as the same time.</summary>
    private static void UntilItsTimesAreOld(string file)
    {
        while (DateTime.UtcNow < File.GetLastWriteTimeUtc(file).AddMilliseconds(150))
        {
            Thread.Yield();
        }
    }

    private void Change(string volume, int times)
    {
        for (int i = 0; i < times; i++)
        {
            Change(volume);
        }
    }

    /// <summary>Something that applications do to files.</summary>
    private void Change(string volume)
    {
        string[] files = [.. Directory.EnumerateFiles(volume, "f*", SearchOption.AllDirectories)];
        string? some = files.Length == 0 ? null : files[_random.Next(files.Length)];
        string[] directories = [volume, .. Directory.EnumerateDirectories(volume, "d*", SearchOption.AllDirectories)];
        string directory = directories[_random.Next(directories.Length)];
        switch (_random.Next(some is null ? 2 : 13))
        {
            case 0:
                File.WriteAllBytes(New(directory, 'f'), _random.Bytes(_random.Next(3) == 0 ? _random.Next(900_000) : _random.Next(9_000)));
                break;
            case 1:
                Directory.CreateDirectory(New(directory, 'd'));
                break;
            case 2 or 3:
                using (FileStream file = new(some!, FileMode.Open))
                {
                    file.Position = _random.NextInt64(file.Length + 10_000);
                    file.Write(_random.Bytes(_random.Next(5_000)));
                }

                break;
            case 4:
                File.Delete(some!);
                break;
            case 5:
                File.Move(some!, New(directory, 'f'));
                break;
            case 6:
                File.Move(some!, files[_random.Next(files.Length)], overwrite: true);
                break;
            case 7:
                using (FileStream file = new(some!, FileMode.Open))
                {
                    file.SetLength(_random.NextInt64(file.Length * 2));
                }

                break;
            case 8:
                Run($"ln '{some}' '{New(directory, 'f')}'");
                break;
            case 9:
                File.CreateSymbolicLink(New(directory, 'l'), some!);
                break;
            case 10:
                Run($"chmod {_random.Next(8)}{_random.Next(8)}{_random.Next(8)} '{some}' && chown {_random.Next(9)}:{_random.Next(9)} '{some}'");
                break;
            case 11 when directory != volume:
                Directory.Delete(directory, recursive: true);
                break;
            case 12:
                using (FileStream file = new(some!, FileMode.Append))
                {
                    file.Write(Encoding.UTF8.GetBytes($"line {_names}\n"));
                }

                break;
        }
    }

    private string New(string directory, char kind) => Path.Combine(directory, $"{kind}{++_names}");

    private static string Describe(string path) => Run(
        $"cd '{path}' && find . -printf '%P %y %m %U %G %T@ %s %l %n\\n' | sed 's/^\\(.* d [^ ]* [^ ]* [^ ]* [^ ]*\\) [0-9]* /\\1 /; s/^ d \\(.*\\) [0-9]* /d \\1/' | sort;"
        + " find . -type f -exec sha256sum {} + | sort -k2; find . -type f -links +1 -printf '%i %P\\n' | sort | awk '{ if (!($1 in n)) n[$1] = $2; print $2, n[$1] }' | sort");

    private static string Run(string command)
    {
        using var process = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", command]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string output = process.StandardOutput.ReadToEnd();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error);
        return output;
    }
}
