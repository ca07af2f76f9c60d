using System.Globalization;

namespace Holdfast.EndToEnd.Tests;

/// <summary>Files in the volumes of an application are of the same moment as its memory, after every restore.</summary>
public sealed class VolumeTests : IDisposable
{
    private readonly TestApplication _application = TestApplication.NotStarted("volumes");

    private string Volume => Path.Combine(_application.Work.Top, "volume");

    public void Dispose() => _application.Dispose();

    [Fact]
    public void Memory_and_files_agree_after_every_restore()
    {
        StartProgram();
        for (var round = 0; round < LongMode.Count(3, 20); round++)
        {
            var taken = _application.Checkpoint();
            Assert.Contains("\"volumes\":{\"count\":1", taken.Output, StringComparison.Ordinal);
            RunOn(20);
            _application.KillByForce();

            // What came of it after the snapshot goes, what went comes back, whoever did it.
            File.WriteAllText(Path.Combine(Volume, "appeared"), "since");
            File.Delete(Path.Combine(Volume, "log"));
            _application.Restore();
            Assert.False(File.Exists(Path.Combine(Volume, "appeared")));
            RunOn(20);

            // The same snapshot once more, from the middle of its work.
            _application.KillByForce();
            _application.Restore();
            RunOn(20);
        }

        _application.RequirePass();
    }

    [Fact]
    public void A_rehearsal_reads_the_volume_and_leaves_it_as_it_is()
    {
        StartProgram();
        _application.CheckpointAndStop();
        var before = Listing();
        Assert.Equal("1", _application.Rehearse().Text("volumes"));
        Assert.Equal(before, Listing());
        File.AppendAllText(Path.Combine(Volume, "state"), "more");
        before = Listing();
        _application.Rehearse();
        Assert.Equal(before, Listing());
        File.Delete(Path.Combine(Volume, "log"));
        Assert.Equal("file.missing", _application.Holdfast("restore", _application.Name, "--rehearse").RequiredToBeRefused().ErrorCode);
        _application.Restore();
        _application.RequirePass();
    }

    [Fact]
    public void A_file_that_somebody_writes_while_it_is_put_back_is_refused_by_name()
    {
        using var application = TestApplication.NotStarted("written");
        application.Volumes = [application.Work.Path];
        // Many that are put back before and after it, so that it is looked at some time later.
        string[] others = [.. Enumerable.Range(0, 1000).Select(i => application.Work.In($"{(i % 2 == 0 ? "after" : "zero")}-{i}"))];
        Array.ForEach(others, other => File.WriteAllText(other, "then"));
        application.Start([BuiltPrograms.StateProgram("private_file_mapping"), application.Work.Path]);
        application.CheckpointAndStop();
        Array.ForEach(others, other => File.WriteAllText(other, "now"));
        var ended = false;
        Thread writer = new(() =>
        {
            while (!Volatile.Read(ref ended))
            {
                try
                {
                    File.SetLastWriteTimeUtc(application.Work.In("mapped"), DateTime.UtcNow);
                }
                catch (IOException)
                {
                    // It is not there for a moment.
                }
            }
        });
        writer.Start();
        try
        {
            CommandResult? refused = null;
            for (var attempt = 0; attempt < 100 && (refused = application.Holdfast("restore", application.Name, "--detach")).Succeeded; attempt++)
            {
                // Nobody came between.
                application.Kill();
                Array.ForEach(others, other => File.WriteAllText(other, "now"));
            }

            Assert.Equal("volume.differs", refused!.RequiredToBeRefused().ErrorCode);
            Assert.Contains(application.Work.In("mapped"), refused.Error, StringComparison.Ordinal);
            application.RequireNoProcess();
        }
        finally
        {
            Volatile.Write(ref ended, true);
            writer.Join();
        }

        application.Restore();
        application.RequirePass();
    }

    [Fact]
    public void A_changed_file_outside_is_refused_by_name_and_the_volume_is_not_touched()
    {
        Directory.CreateDirectory(Volume);
        var outside = Path.Combine(_application.Work.Top, "outside");
        _application.Volumes = [Volume];
        _application.Start(["bash", "-c", $"exec 3>>{outside} 4>>{Volume}/inside; for ((i = 0; ; i++)); do echo $i >&3; echo $i >&4; [ $i != 20 ] || : >{_application.Work.In("ready")}; sleep 0.01; done"]);
        _application.Checkpoint();
        var length = new FileInfo(outside).Length;
        Until.Required(() => new FileInfo(outside).Length > length + 20, () => "it does not go on");
        _application.KillByForce();
        var before = Listing();
        var refused = _application.Holdfast("restore", _application.Name, "--detach").RequiredToBeRefused();
        Assert.Equal("file.changed", refused.ErrorCode);
        Assert.Contains(outside, refused.Text("message"), StringComparison.Ordinal);
        Assert.DoesNotContain("inside", refused.Text("message"), StringComparison.Ordinal);
        Assert.Equal(before, Listing());
        _application.Holdfast("restore", _application.Name, "--detach", "--files", "truncate").Required();
        Until.Required(() => new FileInfo(outside).Length > length + 20, () => "it does not go on after the restore");
        _application.KillByForce();
        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"{i}"), File.ReadLines(Path.Combine(Volume, "inside")).Take(20));
        Assert.True(Math.Abs(File.ReadLines(outside).Count() - File.ReadLines(Path.Combine(Volume, "inside")).Count()) <= 1);
    }

    [Theory]
    [InlineData("volume.missing", "TOP/nowhere")]
    [InlineData("volume.missing", "TOP/file")]
    [InlineData("volume.overlap", "TOP/volume", "TOP/volume/sub")]
    [InlineData("volume.overlap", "TOP/volume/sub", "TOP/volume")]
    [InlineData("volume.overlap", "TOP/volume", "TOP/link")]
    [InlineData("volume.store", "TOP")]
    [InlineData("volume.store", "TOP/store/apps")]
    [InlineData("volume.place", "/")]
    [InlineData("volume.place", "/dev/shm")]
    [InlineData("volume.unfinished", "TOP/half")]
    public void What_cannot_be_a_volume_is_refused_before_anything_runs(string code, params string[] volumes)
    {
        var top = _application.Work.Top;
        Directory.CreateDirectory(Path.Combine(Volume, "sub"));
        Directory.CreateDirectory(Path.Combine(top, "half"));
        Directory.CreateDirectory(Path.Combine(_application.Work.Store, "apps"));
        File.WriteAllText(Path.Combine(top, "file"), "");
        File.WriteAllText(Path.Combine(top, "half", ".holdfast-restore-unfinished"), "");
        File.CreateSymbolicLink(Path.Combine(top, "link"), Volume);
        List<string> arguments = ["--name", _application.Name, "--detach", .. volumes.SelectMany(v => (string[])["--volume", v.Replace("TOP", top, StringComparison.Ordinal)]), "--", "sleep", "1000"];
        Assert.Equal(code, _application.Holdfast("run", arguments).RequiredToBeRefused().ErrorCode);
        Assert.Empty(_application.Processes());
        Assert.Equal("", _application.Holdfast("list").Required().Output);
    }

    [Fact]
    public void A_restore_that_is_killed_while_it_puts_back_is_done_again()
    {
        StartProgram();
        for (var i = 0; i < 200; i++)
        {
            File.WriteAllText(Path.Combine(Volume, $"other{i}"), $"as it was {i} {new string('x', i * 100)}");
        }

        _application.CheckpointAndStop();
        var snapshot = Contents();
        var mark = Path.Combine(Volume, ".holdfast-restore-unfinished");
        var log = Path.Combine(_application.Work.Scratch, "strace.log");
        Random random = new(7);
        var inTheMiddle = 0;
        for (var round = 0; round < LongMode.Count(8, 60); round++)
        {
            for (var i = 0; i < 200; i++)
            {
                File.WriteAllText(Path.Combine(Volume, $"other{i}"), $"{round} {i}");
                File.WriteAllText(Path.Combine(Volume, $"appeared{i}"), $"{round} {i}");
            }

            string call = random.GetItems(["utimensat", "unlink", "ftruncate", "pwrite64"], 1)[0];
            var when = random.Next(1, 180).ToString(CultureInfo.InvariantCulture);
            _application.HoldfastUnder(
                ["strace", "-f", "-b", "execve", "-qq", "-o", log, "-e", $"trace={call}", "-e", $"inject={call}:signal=KILL:when={when}"], "restore", _application.Name);
            Assert.Empty(_application.Processes());
            if (File.Exists(mark))
            {
                inTheMiddle++;
                Assert.Equal("volume.unfinished", _application.Holdfast("run", "--name", "another", "--detach", "--volume", Volume, "--", "true").ErrorCode);
            }

            _application.Restore();
            Assert.False(File.Exists(mark));
            RunOn(5);
            _application.KillByForce();
            Assert.Equal(snapshot.Where(IsOther), Contents().Where(IsOther));
            Assert.DoesNotContain(Contents(), line => line.Contains("appeared", StringComparison.Ordinal) || line.Contains(".holdfast", StringComparison.Ordinal));
        }

        Assert.True(inTheMiddle >= 4, $"only {inTheMiddle} were killed in the middle");
        _application.Restore();
        _application.RequirePass();

        static bool IsOther(string line) => line.Contains("other", StringComparison.Ordinal);
    }

    [Fact]
    public void Snapshots_with_volumes_are_compared_verified_collected_and_restored_from_another_store()
    {
        StartProgram();
        _application.Checkpoint();
        RunOn(20);
        _application.Checkpoint();
        Assert.Contains("volume/1/data", _application.Holdfast("diff", $"{_application.Name}@1st", _application.Name).Required().Output, StringComparison.Ordinal);
        _application.Holdfast("diff", _application.Name, $"live:{_application.Name}").Required();
        Assert.Equal("true", _application.Holdfast("verify").Required().Text("sound"));
        Assert.Contains(Volume, _application.Holdfast("inspect", _application.Name).Required().Output, StringComparison.Ordinal);
        Assert.Contains(Volume, _application.Holdfast("show", _application.Name).Required().Output, StringComparison.Ordinal);
        Assert.Contains($"volume {Volume}", _application.Holdfast("check", _application.Name).Output, StringComparison.Ordinal);
        _application.Holdfast("forget", $"{_application.Name}@1st").Required();
        _application.Holdfast("gc").Required();
        RunOn(20);
        var stopped = _application.CheckpointAndStop();
        var there = Path.Combine(_application.Work.Top, "there");
        _application.Holdfast("migrate", _application.Name, "--to", there).Required();

        // The old store is gone; in the other one the application never ran, so that files in its place are somebody else's.
        Directory.Move(there, Path.Combine(_application.Work.Top, "moved"));
        Directory.Delete(_application.Work.Store, recursive: true);
        Directory.Move(Path.Combine(_application.Work.Top, "moved"), _application.Work.Store);
        Assert.Equal("true", _application.Holdfast("verify").Required().Text("sound"));
        Assert.Equal("volume.foreign", _application.Holdfast("restore", _application.Name, "--detach").RequiredToBeRefused().ErrorCode);
        Assert.True(File.Exists(Path.Combine(Volume, "log")));
        Directory.Delete(Volume, recursive: true);
        _application.Restore(stopped.Text("snapshot"));
        RunOn(20);
        _application.KillByForce();

        // From here on it is known.
        _application.Restore();
        _application.RequirePass();
    }

    private void StartProgram()
    {
        Directory.CreateDirectory(Volume);
        _application.Volumes = [Volume];
        _application.Start([BuiltPrograms.StateProgram("volume_files"), _application.Work.Path, Volume]);
    }

    private long Steps()
    {
        FileInfo log = new(Path.Combine(Volume, "log"));
        return log.Exists ? log.Length / sizeof(long) : 0;
    }

    /// <summary>Lets it go on for so many steps.</summary>
    private void RunOn(int steps)
    {
        var before = Steps();
        Until.Required(() => _application.Work.Result is not null || Steps() >= before + steps, () => $"it stands still: {_application.Describe()}");
        Assert.Null(_application.Work.Result);
    }

    private List<string> Contents() =>
        [.. Directory.EnumerateFiles(Volume).Order(StringComparer.Ordinal).Select(file => $"{Path.GetFileName(file)} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file)))}")];

    private List<string> Listing() =>
        [.. new DirectoryInfo(Volume).EnumerateFileSystemInfos("*", SearchOption.AllDirectories).OrderBy(e => e.FullName, StringComparer.Ordinal)
            .Select(e => $"{e.FullName} {e.UnixFileMode} {e.LastWriteTimeUtc.Ticks} {(e as FileInfo)?.Length}")];
}
