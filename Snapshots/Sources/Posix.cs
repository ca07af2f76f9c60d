using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>What statx(2) says of a file.</summary>
internal readonly record struct FileFacts(
    uint Mode, uint Links, uint Uid, uint Gid, ulong Inode, long Size, long ModifiedSeconds, uint ModifiedNanoseconds, long ChangedSeconds, uint ChangedNanoseconds, ulong FileSystem, ulong Device)
{
    internal const uint TypeMask = 0xF000;
    internal const uint Directory = 0x4000;
    internal const uint Regular = 0x8000;
    internal const uint Link = 0xA000;
    internal const uint Block = 0x6000;
    internal const uint Character = 0x2000;

    internal uint Type => Mode & TypeMask;
}

/// <summary>File system calls with names as bytes, which is what they are. Paths are without the closing zero.</summary>
internal static unsafe partial class Posix
{
    private const int AtCwd = -100;
    private const int NoFollow = 0x100;
    private const int CloseOnExec = 0x80000;
    private const int NoFollowOpen = 0x20000;
    private const int NoAccessTime = 0x40000;
    private const int SeekData = 3;
    private const int SeekHole = 4;
    private const int ENXIO = 6;
    private const int EPERM = 1;
    private const int ENOTDIR = 20;
    private const int ENODATA = 61;
    private const int ENOTSUP = 95;

    [LibraryImport("libc", SetLastError = true)]
    private static partial int statx(int directory, byte* path, int flags, uint mask, byte* into);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint opendir(byte* path);

    [LibraryImport("libc", SetLastError = true)]
    private static partial byte* readdir(nint directory);

    [LibraryImport("libc")]
    private static partial int closedir(nint directory);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint readlink(byte* path, byte* into, nint size);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int open(byte* path, int flags, int mode);

    [LibraryImport("libc", SetLastError = true)]
    private static partial long lseek(int fd, long offset, int whence);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint llistxattr(byte* path, byte* list, nint size);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint lgetxattr(byte* path, byte* name, byte* value, nint size);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int lsetxattr(byte* path, byte* name, byte* value, nint size, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int mkdir(byte* path, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int symlink(byte* target, byte* path);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int link(byte* from, byte* to);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int mknod(byte* path, uint mode, ulong device);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int lchown(byte* path, uint uid, uint gid);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int chmod(byte* path, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int utimensat(int directory, byte* path, long* times, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ftruncate(int fd, long length);

    /// <summary>Facts about a file, links not followed; null when there is none.</summary>
    internal static FileFacts? Status(byte[] path)
    {
        byte* buffer = stackalloc byte[256];
        fixed (byte* name = Terminated(path))
        {
            if (statx(AtCwd, name, NoFollow, 0x7ff, buffer) != 0)
            {
                int error = Marshal.GetLastPInvokeError();
                return error is Libc.ENOENT or ENOTDIR ? null : throw Failed("stat", path, error);
            }
        }

        return Facts(new ReadOnlySpan<byte>(buffer, 256));
    }

    /// <summary>struct statx of statx(2): the same on every architecture.</summary>
    private static FileFacts Facts(ReadOnlySpan<byte> s) =>
        new(
            BinaryPrimitives.ReadUInt16LittleEndian(s[28..]),
            BinaryPrimitives.ReadUInt32LittleEndian(s[16..]),
            BinaryPrimitives.ReadUInt32LittleEndian(s[20..]),
            BinaryPrimitives.ReadUInt32LittleEndian(s[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(s[32..]),
            BinaryPrimitives.ReadInt64LittleEndian(s[40..]),
            BinaryPrimitives.ReadInt64LittleEndian(s[112..]),
            BinaryPrimitives.ReadUInt32LittleEndian(s[120..]),
            BinaryPrimitives.ReadInt64LittleEndian(s[96..]),
            BinaryPrimitives.ReadUInt32LittleEndian(s[104..]),
            ((ulong)BinaryPrimitives.ReadUInt32LittleEndian(s[136..]) << 32) | BinaryPrimitives.ReadUInt32LittleEndian(s[140..]),
            ((ulong)BinaryPrimitives.ReadUInt32LittleEndian(s[128..]) << 32) | BinaryPrimitives.ReadUInt32LittleEndian(s[132..]));

    /// <summary>The names in a directory, in no order; null when it is gone.</summary>
    internal static List<byte[]>? Names(byte[] path)
    {
        nint directory;
        fixed (byte* name = Terminated(path))
        {
            directory = opendir(name);
        }

        if (directory == 0)
        {
            int error = Marshal.GetLastPInvokeError();
            return error is Libc.ENOENT or ENOTDIR ? null : throw Failed("read directory", path, error);
        }

        try
        {
            var names = new List<byte[]>();
            while (true)
            {
                Marshal.SetLastSystemError(0);
                byte* entry = readdir(directory);
                if (entry is null)
                {
                    int error = Marshal.GetLastPInvokeError();
                    return error == 0 ? names : throw Failed("read directory", path, error);
                }

                // struct dirent of readdir(3), 64-bit glibc and musl: the name follows 19 bytes.
                ReadOnlySpan<byte> found = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(entry + 19);
                if (!found.SequenceEqual("."u8) && !found.SequenceEqual(".."u8))
                {
                    names.Add(found.ToArray());
                }
            }
        }
        finally
        {
            _ = closedir(directory);
        }
    }

    internal static byte[] ReadLink(byte[] path)
    {
        byte* buffer = stackalloc byte[4097];
        fixed (byte* name = Terminated(path))
        {
            nint length = readlink(name, buffer, 4097);
            return length >= 0 ? new ReadOnlySpan<byte>(buffer, (int)length).ToArray() : throw Failed("read link", path, Marshal.GetLastPInvokeError());
        }
    }

    /// <summary>Opens for reading, without following a link at the end; null when it is gone.</summary>
    internal static SafeFileHandle? TryOpen(byte[] path)
    {
        fixed (byte* name = Terminated(path))
        {
            // The access time is left alone where that is allowed, which is for the owner and root.
            int fd = open(name, CloseOnExec | NoFollowOpen | NoAccessTime, 0);
            if (fd < 0 && Marshal.GetLastPInvokeError() == EPERM)
            {
                fd = open(name, CloseOnExec | NoFollowOpen, 0);
            }

            int error = Marshal.GetLastPInvokeError();
            return fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true) : error == Libc.ENOENT ? null : throw Failed("open", path, error);
        }
    }

    /// <summary>Makes a file that must not exist.</summary>
    internal static SafeFileHandle Create(byte[] path)
    {
        fixed (byte* name = Terminated(path))
        {
            int fd = open(name, CloseOnExec | 0x2 | 0x40 | 0x80, 0x180);
            return fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true) : throw Failed("create", path, Marshal.GetLastPInvokeError());
        }
    }

    /// <summary>The data runs of a file up to a size: SEEK_DATA and SEEK_HOLE of lseek(2).</summary>
    internal static List<StreamRun> DataRuns(SafeFileHandle file, long size)
    {
        int fd = (int)file.DangerousGetHandle();
        var runs = new List<StreamRun>();
        for (long at = 0; at < size;)
        {
            long start = lseek(fd, at, SeekData);
            if (start < 0)
            {
                if (Marshal.GetLastPInvokeError() != ENXIO)
                {
                    // No holes are known here.
                    return [new StreamRun(0, size)];
                }

                break;
            }

            long end = lseek(fd, start, SeekHole);
            end = end < 0 ? size : Math.Min(end, size);
            if (start >= end)
            {
                break;
            }

            runs.Add(new StreamRun(start, end - start));
            at = end;
        }

        return runs;
    }

    /// <summary>The size of an open file or block device.</summary>
    internal static long SizeOf(SafeFileHandle file) => lseek((int)file.DangerousGetHandle(), 0, 2);

    internal static List<(byte[] Name, byte[] Value)> Attributes(byte[] path)
    {
        var attributes = new List<(byte[], byte[])>();
        fixed (byte* name = Terminated(path))
        {
            nint length = llistxattr(name, null, 0);
            if (length <= 0)
            {
                return attributes;
            }

            // Both are at most 64 KiB: xattr(7).
            byte[] list = new byte[65536];
            byte[] value = new byte[65536];
            fixed (byte* names = list)
            fixed (byte* bytes = value)
            {
                length = llistxattr(name, names, list.Length);
                for (int at = 0; at < length;)
                {
                    ReadOnlySpan<byte> attribute = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(names + at);
                    nint size = lgetxattr(name, names + at, bytes, value.Length);
                    if (size >= 0)
                    {
                        attributes.Add((attribute.ToArray(), value.AsSpan(0, (int)size).ToArray()));
                    }

                    at += attribute.Length + 1;
                }
            }
        }

        attributes.Sort(static (a, b) => a.Item1.AsSpan().SequenceCompareTo(b.Item1));
        return attributes;
    }

    internal static void SetAttribute(byte[] path, byte[] attribute, byte[] value)
    {
        fixed (byte* name = Terminated(path))
        fixed (byte* key = Terminated(attribute))
        fixed (byte* bytes = Terminated(value))
        {
            if (lsetxattr(name, key, bytes, value.Length, 0) != 0 && Marshal.GetLastPInvokeError() is var error and not ENOTSUP and not ENODATA)
            {
                throw Failed($"set attribute {Encoding.UTF8.GetString(attribute)} of", path, error);
            }
        }
    }

    internal static void MakeDirectory(byte[] path)
    {
        fixed (byte* name = Terminated(path))
        {
            Check(mkdir(name, 0x1C0), "make directory", path);
        }
    }

    internal static void MakeSymbolicLink(byte[] target, byte[] path)
    {
        fixed (byte* to = Terminated(target))
        fixed (byte* name = Terminated(path))
        {
            Check(symlink(to, name), "make link", path);
        }
    }

    internal static void MakeHardLink(byte[] first, byte[] path)
    {
        fixed (byte* from = Terminated(first))
        fixed (byte* name = Terminated(path))
        {
            Check(link(from, name), "make link", path);
        }
    }

    internal static void MakeNode(byte[] path, uint mode, ulong device)
    {
        // makedev(3) of glibc and musl.
        ulong major = device >> 32;
        ulong minor = device & 0xffffffff;
        ulong number = ((major & 0xfffff000) << 32) | ((major & 0xfff) << 8) | ((minor & 0xffffff00) << 12) | (minor & 0xff);
        fixed (byte* name = Terminated(path))
        {
            Check(mknod(name, mode, number), "make node", path);
        }
    }

    internal static void SetOwner(byte[] path, uint uid, uint gid)
    {
        fixed (byte* name = Terminated(path))
        {
            Check(lchown(name, uid, gid), "change the owner of", path);
        }
    }

    internal static void SetMode(byte[] path, uint mode)
    {
        fixed (byte* name = Terminated(path))
        {
            Check(chmod(name, mode & 0xfff), "change the mode of", path);
        }
    }

    internal static void SetModified(byte[] path, long seconds, uint nanoseconds)
    {
        long* times = stackalloc long[] { seconds, nanoseconds, seconds, nanoseconds };
        fixed (byte* name = Terminated(path))
        {
            Check(utimensat(AtCwd, name, times, NoFollow), "set the time of", path);
        }
    }

    internal static void SetLength(SafeFileHandle file, long length, byte[] path) =>
        Check(ftruncate((int)file.DangerousGetHandle(), length), "set the length of", path);

    private static void Check(int result, string what, byte[] path)
    {
        if (result != 0)
        {
            throw Failed(what, path, Marshal.GetLastPInvokeError());
        }
    }

    private static byte[] Terminated(byte[] path)
    {
        byte[] terminated = new byte[path.Length + 1];
        path.CopyTo(terminated, 0);
        return terminated;
    }

    private static SnapshotStoreException Failed(string what, byte[] path, int error) =>
        new(error is Libc.ENOSPC or Libc.EDQUOT ? "store.full" : "path.io", $"cannot {what} {Encoding.UTF8.GetString(path)}: {Marshal.GetPInvokeErrorMessage(error)}");
}
