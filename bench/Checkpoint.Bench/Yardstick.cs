using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Holdfast.Checkpoint.Bench;

/// <summary>What a checkpoint and a restore are held against: one plain write(2) of as many random bytes to a fresh file, one plain read(2) of them into fresh memory.</summary>
internal sealed unsafe partial class Yardstick : IDisposable
{
    private const int O_RDONLY = 0, O_WRONLY = 1, O_CREAT = 0x40, O_EXCL = 0x80, O_CLOEXEC = 0x80000;
    private const int PROT_READ = 1, PROT_WRITE = 2, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20;

    // What one call of write(2) or read(2) moves at most is a page less than 2 GiB.
    private const long MostPerCall = 1L << 30;

    private readonly byte* memory;
    private readonly nuint size;
    private readonly string file;

    /// <summary>Fills memory of its own with random bytes.</summary>
    public Yardstick(long bytes, string file)
    {
        this.file = file;
        size = (nuint)bytes;
        memory = Map(size);
        for (long at = 0; at < bytes; at += 1 << 20)
        {
            Random.Shared.NextBytes(new Span<byte>(memory + at, (int)Math.Min(1 << 20, bytes - at)));
        }
    }

    /// <summary>Milliseconds for one plain write to a fresh file. With fsync(2), which costs nothing in memory: the store's commit does one too.</summary>
    public double Write()
    {
        File.Delete(file);
        long start = Stopwatch.GetTimestamp();
        int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0x180);
        Check(fd >= 0, "opened");
        for (nuint at = 0; at < size;)
        {
            nint done = write(fd, memory + at, (nuint)Math.Min(MostPerCall, (long)(size - at)));
            Check(done > 0, "written");
            at += (nuint)done;
        }

        Check(fsync(fd) == 0, "made durable");
        _ = close(fd);
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    /// <summary>Milliseconds for one plain read of what <see cref="Write"/> wrote into memory that was never touched.</summary>
    public double Read()
    {
        long start = Stopwatch.GetTimestamp();
        byte* fresh = Map(size);
        int fd = open(file, O_RDONLY | O_CLOEXEC, 0);
        Check(fd >= 0, "opened");
        for (nuint at = 0; at < size;)
        {
            nint done = read(fd, fresh + at, (nuint)Math.Min(MostPerCall, (long)(size - at)));
            Check(done > 0, "read");
            at += (nuint)done;
        }

        _ = close(fd);
        double elapsed = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        _ = munmap(fresh, size);
        return elapsed;
    }

    /// <summary>
    /// Touches memory and frees it: on a virtual machine, pages that the host has taken back cost seconds per GiB at the first touch,
    /// which is nobody's doing that is measured here.
    /// </summary>
    public static void Warm(long bytes)
    {
        byte* room = Map((nuint)bytes);
        for (long at = 0; at < bytes; at += 4096)
        {
            room[at] = 1;
        }

        _ = munmap(room, (nuint)bytes);
    }

    public void Dispose()
    {
        _ = munmap(memory, size);
        File.Delete(file);
    }

    private static byte* Map(nuint size)
    {
        void* room = mmap(null, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return (nint)room == -1 ? throw new BenchException($"{size >> 20} MiB of memory cannot be had: {Marshal.GetLastPInvokeErrorMessage()}") : (byte*)room;
    }

    private void Check(bool good, string what)
    {
        if (!good)
        {
            throw new BenchException($"{file} could not be {what}: {Marshal.GetLastPInvokeErrorMessage()}");
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial void* mmap(void* address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int munmap(void* address, nuint length);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int close(int fd);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(int fd, byte* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(int fd, byte* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(int fd);
}
