using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

/// <summary>Single files and images on file systems with shared extents: only what changed is read, and it is all that changed.</summary>
public sealed partial class ReflinkTests : IDisposable
{
    private const string Xfs = "mkfs.xfs -q -m reflink=1";
    private const string XfsSmallBlocks = "mkfs.xfs -q -m reflink=1 -b size=1024";
    private const string Btrfs = "mkfs.btrfs -q";
    private const int Page = 4096;
    private const long FolioSize = 2 * 1024 * 1024;

    private readonly TestDirectory _directory = new();
    private readonly ITestOutputHelper _output;
    private readonly Random _random;
    private TestDisk? _disk;

    public ReflinkTests(ITestOutputHelper output)
    {
        _output = output;
        _random = TestSeed.Begin(output, out _);
    }

    public void Dispose()
    {
        _disk?.Dispose();
        _directory.Dispose();
    }

    [SharedExtentsTheory]
    [InlineData(Xfs, true, false)]
    [InlineData(Xfs, false, false)]
    [InlineData(XfsSmallBlocks, true, false)]
    [InlineData(Btrfs, true, false)]
    [InlineData(Btrfs, false, false)]
    [InlineData(Btrfs, true, true)]
    public void Whatever_is_done_to_a_file_its_snapshots_are_its_bytes_and_only_what_changed_is_read(string make, bool image, bool inPlace)
    {
        _disk = new TestDisk(_directory, make);
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        string file = _disk["file"];
        File.WriteAllBytes(file, []);
        if (inPlace)
        {
            // btrfs writes in place in such a file, unless an extent is shared.
            Assert.Equal(0, TestDisk.Run("/bin/sh", $"chattr +C {file}"));
        }

        using (FileStream stream = File.OpenWrite(file))
        {
            stream.Write(_random.Bytes(3_000_000 + _random.Next(5000)));
        }

        long whole = Take(store, file, image, out SnapshotInfo last);
        Assert.Equal(new FileInfo(file).Length, whole);
        var states = new List<(SnapshotInfo Info, byte[] Bytes)> { (last, File.ReadAllBytes(file)) };
        for (int round = 0; round < 10; round++)
        {
            HashSet<long> touched = [];
            for (int i = _random.Next(4); i >= 0; i--)
            {
                Change(file, touched);
            }

            byte[] now = File.ReadAllBytes(file);
            long read = Take(store, file, image, out last);
            _output.WriteLine($"round {round}: {touched.Count} pages touched, {read} of {now.Length} bytes read");

            // The pages at both ends of the file beside those that were written. Where blocks are smaller than pages, more is written elsewhere than was touched.
            Assert.InRange(read, 0, make == XfsSmallBlocks ? now.Length : (touched.Count + 2) * Page);
            states.Add((last, now));
        }

        // Of a page that is a hole in part only the whole can be said to be unchanged: where blocks are smaller than pages it is read.
        Assert.InRange(Take(store, file, image, out last), 0, make == XfsSmallBlocks ? new FileInfo(file).Length : 0);
        states.Add((last, File.ReadAllBytes(file)));
        foreach ((SnapshotInfo info, byte[] bytes) in states)
        {
            string back = _directory[$"back-{info.Id}"];
            using SnapshotReader reader = store.OpenSnapshot(info);
            StorageObject.Restore(reader, back);
            Assert.True(bytes.AsSpan().SequenceEqual(File.ReadAllBytes(back)), info.Address);
            File.Delete(back);
        }

        Assert.True(store.Verify().IsSound);
        Assert.Single(Clones());
    }

    [SharedExtentsTheory]
    [InlineData(Xfs)]
    [InlineData(Btrfs)]
    public void A_clone_goes_with_its_snapshot_or_when_none_is_wanted_and_what_a_dead_process_left_goes_too(string make)
    {
        _disk = new TestDisk(_directory, make);
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        string file = _disk["file"];
        File.WriteAllBytes(file, _random.Bytes(1_000_000));
        Take(store, file, true, out SnapshotInfo first);
        string clone = Assert.Single(Clones());

        // Of the same kind, of another object, and somebody's own.
        string left = clone[..^32] + new string('7', 32);
        string[] others = [clone[..^34] + "x-" + clone[^32..], clone + "0"];
        Array.ForEach([left, .. others], path => File.WriteAllBytes(path, []));
        Take(store, file, true, out SnapshotInfo second);
        string next = Assert.Single(Clones().Except(others));
        Assert.NotEqual(clone, next);
        Array.ForEach(others, File.Delete);

        // The snapshot of the clone before goes, and the clone stays.
        store.Forget(first);
        Assert.Equal([next], Clones());
        store.Forget(second);
        Assert.Empty(Clones());
        Take(store, file, true, out _);
        Assert.Single(Clones());
        StorageObject.Capture(store, "o", file, new CaptureOptions { AsBlockImage = true });
        Assert.Empty(Clones());
        Assert.Equal(1_000_000, Take(store, file, true, out _));
    }

    [SharedExtentsTheory]
    [InlineData(Xfs)]
    [InlineData(Btrfs)]
    public void Without_a_clone_that_nobody_touched_everything_is_read(string make)
    {
        _disk = new TestDisk(_directory, make);
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        string file = _disk["file"];
        byte[] content = _random.Bytes(1_000_000);
        File.WriteAllBytes(file, content);
        Take(store, file, true, out _);
        string clone = Assert.Single(Clones());
        Assert.Equal(0, TestDisk.Run("/bin/sh", $"chmod 600 {clone}"));
        Assert.Equal(1_000_000, Take(store, file, true, out _));
        File.Delete(Clones().Single(c => c != clone));

        // The extents of the clone that went are free, and used again.
        File.WriteAllBytes(file, content = _random.Bytes(1_000_000));
        Assert.Equal(1_000_000, Take(store, file, true, out SnapshotInfo last));
        using SnapshotReader reader = store.OpenSnapshot(last);
        byte[] stored = new byte[content.Length];
        reader.Read("data", 0, stored);
        Assert.Equal(content, stored);
    }

    [SharedExtentsTheory]
    [InlineData(Xfs)]
    public void The_present_state_is_compared_by_extents_too_and_leaves_nothing(string make)
    {
        _disk = new TestDisk(_directory, make);
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        string file = _disk["file"];
        File.WriteAllBytes(file, _random.Bytes(1_000_000));
        Take(store, file, true, out SnapshotInfo taken);
        string clone = Assert.Single(Clones());
        HashSet<long> touched = [];
        Write(file, 300_000, _random.Bytes(10), touched);
        long read = 0;
        using (LiveSnapshot live = StorageObject.CaptureLive(store, "o", file, Options(true, n => read += n)))
        {
            Assert.Equal([new StreamRun(300_000 / Page * Page, Page)], SnapshotDifference.Compare(store.OpenSnapshot(taken), live.Reader).Changed("data"));
        }

        Assert.Equal(Page, read);
        Assert.Equal([clone], Clones());
    }

    [Fact]
    public void Where_extents_are_not_shared_it_is_refused_before_anything_is_stored()
    {
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        File.WriteAllBytes(_directory["file"], _random.Bytes(10_000));
        SnapshotStoreException e = Assert.Throws<SnapshotStoreException>(
            () => StorageObject.Capture(store, "o", _directory["file"], new CaptureOptions { AsBlockImage = true, CloneDirectory = "/proc" }));
        Assert.Contains(e.Code, (string[])["reflink.unsupported", "path.io"]);
        e = Assert.Throws<SnapshotStoreException>(() => StorageObject.Capture(store, "o", _directory.Root, new CaptureOptions { CloneDirectory = _directory.Root }));
        Assert.Equal("reflink.unsupported", e.Code);
        Assert.Empty(store.List("o"));
    }

    [Fact]
    public void Only_equal_addresses_that_mean_something_are_equal_and_only_up_to_the_common_end()
    {
        static PlacedExtent At(long logical, long physical, long length, uint flags = 0x2000) => new(logical, physical, length, flags);
        static StreamRun[] Same(PlacedExtent[] before, PlacedExtent[] now, long sizeBefore, long size) => [.. ReflinkClone.Same([.. before], [.. now], sizeBefore, size)];
        PlacedExtent[] plain = [At(0, 1 << 20, 64 * 1024), At(64 * 1024, 9 << 20, 64 * 1024)];
        Assert.Equal([new StreamRun(0, 100_000)], Same(plain, plain, 100_000, 100_000));
        Assert.Equal([new StreamRun(0, 98_304)], Same(plain, plain, 100_000, 110_000));
        Assert.Equal([new StreamRun(0, 98_304)], Same(plain, plain, 110_000, 100_000));

        // One block in the middle was written: extents of 1024 bytes are cut to whole pages.
        PlacedExtent[] written = [At(0, 1 << 20, 5 * 1024), At(5 * 1024, 3 << 20, 1024), At(6 * 1024, (1 << 20) + (6 * 1024), 58 * 1024), plain[1]];
        Assert.Equal([new StreamRun(0, 4096), new StreamRun(8192, 100_000 - 8192)], Same(plain, written, 100_000, 100_000));
        Assert.Equal([new StreamRun(64 * 1024, 100_000 - (64 * 1024))], Same(plain, [At(0, 2 << 20, 64 * 1024), plain[1]], 100_000, 100_000));

        // UNKNOWN, DELALLOC, ENCODED, DATA_ENCRYPTED, NOT_ALIGNED, DATA_INLINE, DATA_TAIL, UNWRITTEN.
        foreach (uint flag in (uint[])[0x2, 0x4, 0x8, 0x80, 0x100, 0x200, 0x400, 0x800])
        {
            Assert.Empty(Same([At(0, 0, 8192, flag)], [At(0, 0, 8192, flag)], 8192, 8192));
            Assert.Empty(Same([At(0, 0, 8192)], [At(0, 0, 8192, flag)], 8192, 8192));
        }
    }

    private List<string> Clones() => [.. Directory.EnumerateFiles(_disk!.Root, ".holdfast-*", new EnumerationOptions { AttributesToSkip = 0 })];

    private CaptureOptions Options(bool image, Action<long> read) => new() { AsBlockImage = image, CloneDirectory = _disk!.Root, Read = read };

    private long Take(SnapshotStore store, string file, bool image, out SnapshotInfo info)
    {
        long read = 0;
        info = StorageObject.Capture(store, "o", file, Options(image, n => read += n));
        return read;
    }

    private void Change(string file, HashSet<long> touched)
    {
        long size = new FileInfo(file).Length;
        long at = _random.NextInt64(size);
        int length = (int)Math.Min(size - at, _random.Next(1, 60_000));
        switch (_random.Next(8))
        {
            case 0:
                // The same bytes again: other extents, and no other content.
                Write(file, at, File.ReadAllBytes(file).AsSpan((int)at, length).ToArray(), touched);
                return;
            case 1:
                using (FileStream stream = File.OpenWrite(file))
                {
                    stream.SetLength(size - Math.Min(_random.Next(50_000), size / 4));
                }

                return;
            case 2:
                Write(file, size + _random.Next(20_000), _random.Bytes(length), touched);
                for (long page = size / Page; page * Page < new FileInfo(file).Length; page++)
                {
                    touched.Add(page);
                }

                return;
            case 3:
                // PUNCH_HOLE and KEEP_SIZE, or ZERO_RANGE, of fallocate(2).
                using (FileStream stream = File.OpenWrite(file))
                {
                    Assert.Equal(0, fallocate((int)stream.SafeFileHandle.DangerousGetHandle(), _random.Next(2) == 0 ? 3 : 0x10, at, length));
                }

                Touch(at, length, touched);
                return;
            case 4:
                using (var mapped = MemoryMappedFile.CreateFromFile(file, FileMode.Open))
                using (MemoryMappedViewAccessor view = mapped.CreateViewAccessor())
                {
                    view.WriteArray(at, _random.Bytes(length), 0, length);
                }

                // A fault makes the whole folio dirty, of up to 2 MiB: all of it is written elsewhere.
                Touch(at & -FolioSize, (int)Math.Min(size, ((at + length + FolioSize - 1) & -FolioSize)) - (int)(at & -FolioSize), touched);
                return;
            case 5:
                Touch(at, 0, touched);
                File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddDays(-_random.Next(100)));
                return;
            default:
                Write(file, at, _random.Bytes(length), touched);
                return;
        }
    }

    private static void Write(string file, long at, byte[] bytes, HashSet<long> touched)
    {
        using FileStream stream = File.OpenWrite(file);
        stream.Position = at;
        stream.Write(bytes);
        Touch(at, bytes.Length, touched);
    }

    private static void Touch(long at, int length, HashSet<long> touched)
    {
        for (long page = at / Page; page * Page < at + length; page++)
        {
            touched.Add(page);
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fallocate(int fd, int mode, long offset, long length);
}
