using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>The system calls that the class library does not offer, or not without more work around them.</summary>
internal static unsafe partial class Libc
{
    internal const int LockShared = 1;
    internal const int LockExclusive = 2;
    internal const int LockNonBlocking = 4;

    internal const int ENOENT = 2;
    internal const int EINTR = 4;
    internal const int EWOULDBLOCK = 11;
    internal const int EEXIST = 17;
    internal const int ENOSPC = 28;
    internal const int EDQUOT = 122;

    private const int ReadOnly = 0;
    private const int ReadWrite = 2;
    private const int Create = 0x40;
    private const int Exclusive = 0x80;
    private const int Directory = 0x10000;
    private const int CloseOnExec = 0x80000;

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int OpenFile(string path, int flags, int mode);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int FileLock(int fd, int operation);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Sync(int fd);

    [LibraryImport("libc", EntryPoint = "pwrite", SetLastError = true)]
    private static partial nint PositionedWrite(int fd, byte* data, nint count, long offset);

    [LibraryImport("libc", EntryPoint = "pread", SetLastError = true)]
    private static partial nint PositionedRead(int fd, byte* data, nint count, long offset);

    [LibraryImport("libc", EntryPoint = "rename", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int RenameFile(string from, string to);

    [LibraryImport("libc", EntryPoint = "link", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int LinkFile(string from, string to);

    [LibraryImport("libc", EntryPoint = "fstat", SetLastError = true)]
    private static partial int FileStatus(int fd, long* stat);

    [LibraryImport("libc", EntryPoint = "mkdir", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int MakeDirectory(string path, int mode);

    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    private static partial int Allocate(int fd, int mode, long offset, long length);

    /// <summary>Opens an existing file; null when there is none.</summary>
    internal static SafeFileHandle? TryOpen(string path, bool write = false)
    {
        int fd = OpenFile(path, (write ? ReadWrite : ReadOnly) | CloseOnExec, 0);
        if (fd >= 0)
        {
            return new SafeFileHandle(fd, ownsHandle: true);
        }

        int error = Marshal.GetLastPInvokeError();
        return error == ENOENT ? null : throw Failed("open", path, error);
    }

    /// <summary>Makes a file that must not exist yet, mode 0600.</summary>
    internal static SafeFileHandle CreateNew(string path)
    {
        int fd = OpenFile(path, ReadWrite | Create | Exclusive | CloseOnExec, 0x180);
        return fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true) : throw Failed("create", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>
    /// Makes a file under a name of its own and locks it, which tells garbage collection that somebody is at it.
    /// </summary>
    /// <param name="name">Gives a new path each time: the collector may have taken the one before in the moment before it was locked.</param>
    /// <param name="path">The path that it got.</param>
    internal static SafeFileHandle CreateLocked(Func<string> name, out string path)
    {
        while (true)
        {
            path = name();
            SafeFileHandle file = CreateNew(path);
            if (Lock(file, LockExclusive | LockNonBlocking, path) && File.Exists(path))
            {
                return file;
            }

            file.Dispose();
        }
    }

    /// <summary>mkdir(2), mode 0700. False when the name is taken.</summary>
    internal static bool TryMakeDirectory(string path)
    {
        if (MakeDirectory(path, 0x1C0) == 0)
        {
            return true;
        }

        int error = Marshal.GetLastPInvokeError();
        return error == EEXIST ? false : throw Failed("make directory", path, error);
    }

    /// <summary>Opens a file that is only locked, making it when there is none.</summary>
    internal static SafeFileHandle OpenLockFile(string path)
    {
        int fd = OpenFile(path, ReadWrite | Create | CloseOnExec, 0x180);
        return fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true) : throw Failed("open", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>flock(2). False when it is taken and <see cref="LockNonBlocking"/> was asked for.</summary>
    internal static bool Lock(SafeFileHandle file, int operation, string path)
    {
        while (FileLock(Descriptor(file), operation) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            if (error == EWOULDBLOCK)
            {
                return false;
            }

            if (error != EINTR)
            {
                throw Failed("lock", path, error);
            }
        }

        return true;
    }

    /// <summary>fsync(2) of a file.</summary>
    internal static void Flush(SafeFileHandle file, string path)
    {
        if (Sync(Descriptor(file)) != 0)
        {
            throw Failed("fsync", path, Marshal.GetLastPInvokeError());
        }
    }

    /// <summary>fsync(2) of a directory: makes renames and new files in it durable.</summary>
    internal static void FlushDirectory(string path)
    {
        int fd = OpenFile(path, ReadOnly | Directory | CloseOnExec, 0);
        if (fd < 0)
        {
            throw Failed("open", path, Marshal.GetLastPInvokeError());
        }

        using var handle = new SafeFileHandle(fd, ownsHandle: true);
        Flush(handle, path);
    }

    /// <summary>Writes all of it at a position.</summary>
    internal static void Write(SafeFileHandle file, ReadOnlySpan<byte> data, long position, string path)
    {
        int fd = Descriptor(file);
        fixed (byte* start = data)
        {
            nint done = 0;
            while (done < data.Length)
            {
                nint count = PositionedWrite(fd, start + done, data.Length - done, position + done);
                if (count < 0)
                {
                    int error = Marshal.GetLastPInvokeError();
                    if (error == EINTR)
                    {
                        continue;
                    }

                    throw Failed("write", path, error);
                }

                done += count;
            }
        }
    }

    /// <summary>Reads until the span is full or the file ends.</summary>
    /// <returns>How many bytes were read.</returns>
    internal static int Read(SafeFileHandle file, Span<byte> into, long position, string path)
    {
        int fd = Descriptor(file);
        fixed (byte* start = into)
        {
            nint done = 0;
            while (done < into.Length)
            {
                nint count = PositionedRead(fd, start + done, into.Length - done, position + done);
                if (count == 0)
                {
                    break;
                }

                if (count < 0)
                {
                    int error = Marshal.GetLastPInvokeError();
                    if (error == EINTR)
                    {
                        continue;
                    }

                    throw Failed("read", path, error);
                }

                done += count;
            }

            return (int)done;
        }
    }

    /// <summary>rename(2): replaces what is there.</summary>
    internal static void Rename(string from, string to)
    {
        if (RenameFile(from, to) != 0)
        {
            throw Failed("rename", $"{from} to {to}", Marshal.GetLastPInvokeError());
        }
    }

    /// <summary>link(2). False when the new name is taken.</summary>
    internal static bool TryLink(string from, string to)
    {
        if (LinkFile(from, to) == 0)
        {
            return true;
        }

        int error = Marshal.GetLastPInvokeError();
        return error == EEXIST ? false : throw Failed("link", $"{from} to {to}", error);
    }

    /// <summary>fallocate(2) with FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE: gives the blocks of a range back. False where it is not supported.</summary>
    internal static bool TryPunch(SafeFileHandle file, long offset, long length) => Allocate(Descriptor(file), 3, offset, length) == 0;

    /// <summary>Bytes that a file takes on its device: st_blocks of fstat(2), at the same place in the structure on x86-64 and arm64.</summary>
    internal static long AllocatedBytes(SafeFileHandle file, string path)
    {
        long* stat = stackalloc long[32];
        return FileStatus(Descriptor(file), stat) == 0 ? stat[8] * 512 : throw Failed("stat", path, Marshal.GetLastPInvokeError());
    }

    private static int Descriptor(SafeFileHandle file) => (int)file.DangerousGetHandle();

    private static SnapshotStoreException Failed(string what, string path, int error)
    {
        bool full = error is ENOSPC or EDQUOT;
        return new SnapshotStoreException(
            full ? "store.full" : "store.io",
            $"cannot {what} {path}: {Marshal.GetPInvokeErrorMessage(error)}" + (full ? "; free space or forget snapshots and run gc" : string.Empty));
    }
}
