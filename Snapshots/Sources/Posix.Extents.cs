using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>A run of a file and where it is on the device.</summary>
/// <param name="Logical">Offset in the file.</param>
/// <param name="Physical">Byte address on the device, as the file system counts.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Flags">FIEMAP_EXTENT_* of linux/fiemap.h.</param>
internal readonly record struct PlacedExtent(long Logical, long Physical, long Length, uint Flags)
{
    /// <summary>
    /// UNKNOWN, DELALLOC, ENCODED, DATA_ENCRYPTED, NOT_ALIGNED, DATA_INLINE, DATA_TAIL and UNWRITTEN: the address is none, or does not say which bytes are read.
    /// </summary>
    private const uint Unclear = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800;

    /// <summary>True when the same address means the same bytes.</summary>
    internal bool IsClear => (Flags & Unclear) == 0;

    internal long End => Logical + Length;
}

/// <content>Shared extents: FICLONE of ioctl_ficlone(2), FIEMAP of Documentation/filesystems/fiemap.rst, files without a name of open(2).</content>
internal static unsafe partial class Posix
{
    private const nuint FileClone = 0x40049409;
    private const nuint FileExtents = 0xC020660B;
    private const nuint FileFlags = 0x801C581F;
    private const nuint GetAttributes = 0x80086601;
    private const nuint SetAttributes = 0x40086602;
    private const uint NoCopyOnWrite = 0x800000;
    private const uint OnRealTimeDevice = 0x1;
    private const uint LastExtent = 0x1;
    private const int ExtentsAtOnce = 512;
    private const int NamelessFile = 0x410000;
    private const int ReadWrite = 0x2;
    private const int FollowLink = 0x400;

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ioctl(int fd, nuint request, nint argument);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int linkat(int fromDirectory, byte* from, int toDirectory, byte* to, int flags);

    /// <summary>Makes a file without a name that shares all extents with another. Its content is that of one moment, and durable.</summary>
    /// <returns>Null when the file system of the directory cannot, or is not that of the file.</returns>
    internal static SafeFileHandle? TryClone(SafeFileHandle from, byte[] directory)
    {
        int fd;
        fixed (byte* name = Terminated(directory))
        {
            fd = open(name, CloseOnExec | NamelessFile | ReadWrite, 0x100);
        }

        if (fd < 0)
        {
            // EISDIR and EOPNOTSUPP: there are no files without a name.
            int error = Marshal.GetLastPInvokeError();
            return error is 21 or ENOTSUP ? null : throw Failed("make a file in", directory, error);
        }

        var clone = new SafeFileHandle(fd, ownsHandle: true);
        ulong attributes = 0;
        if (ioctl((int)from.DangerousGetHandle(), GetAttributes, (nint)(&attributes)) == 0 && (attributes & NoCopyOnWrite) != 0)
        {
            // btrfs shares extents only between files that are alike in this. What is shared is written elsewhere all the same.
            attributes = NoCopyOnWrite;
            _ = ioctl(fd, SetAttributes, (nint)(&attributes));
        }

        if (ioctl(fd, FileClone, from.DangerousGetHandle()) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            clone.Dispose();

            // EXDEV, EINVAL, ENOTTY, EOPNOTSUPP, EPERM: another file system, one without shared extents, or a file that it cannot share.
            return error is 18 or 22 or 25 or ENOTSUP or EPERM ? null : throw Failed("clone into", directory, error);
        }

        Libc.Flush(clone, "a clone");
        return clone;
    }

    /// <summary>Gives a file without a name one.</summary>
    internal static void Name(SafeFileHandle file, byte[] path)
    {
        fixed (byte* from = Terminated(System.Text.Encoding.ASCII.GetBytes($"/proc/self/fd/{file.DangerousGetHandle()}")), to = Terminated(path))
        {
            Check(linkat(AtCwd, from, AtCwd, to, FollowLink), "make", path);
        }
    }

    /// <summary>Where a file is on the device. What is in memory only is written first.</summary>
    /// <returns>Null when the file system does not say.</returns>
    internal static List<PlacedExtent>? Extents(SafeFileHandle file)
    {
        const int Head = 32;
        const int Entry = 56;
        const uint WriteFirst = 1;
        byte[] memory = new byte[Head + (ExtentsAtOnce * Entry)];
        var extents = new List<PlacedExtent>();
        long start = 0;
        while (true)
        {
            Array.Clear(memory);
            Span<byte> map = memory;
            BinaryPrimitives.WriteInt64LittleEndian(map, start);
            BinaryPrimitives.WriteInt64LittleEndian(map[8..], long.MaxValue - start);
            BinaryPrimitives.WriteUInt32LittleEndian(map[16..], WriteFirst);
            BinaryPrimitives.WriteUInt32LittleEndian(map[24..], ExtentsAtOnce);
            fixed (byte* pointer = memory)
            {
                if (ioctl((int)file.DangerousGetHandle(), FileExtents, (nint)pointer) != 0)
                {
                    return null;
                }
            }

            int count = (int)BinaryPrimitives.ReadUInt32LittleEndian(map[20..]);
            for (int i = 0; i < count; i++)
            {
                ReadOnlySpan<byte> entry = map.Slice(Head + (i * Entry), Entry);
                var extent = new PlacedExtent(
                    BinaryPrimitives.ReadInt64LittleEndian(entry),
                    BinaryPrimitives.ReadInt64LittleEndian(entry[8..]),
                    BinaryPrimitives.ReadInt64LittleEndian(entry[16..]),
                    BinaryPrimitives.ReadUInt32LittleEndian(entry[40..]));
                if (extent.Length <= 0 || extent.Logical < start)
                {
                    return null;
                }

                extents.Add(extent);
                start = extent.End;
                if ((extent.Flags & LastExtent) != 0)
                {
                    return extents;
                }
            }

            if (count == 0)
            {
                return extents;
            }
        }
    }

    /// <summary>True when a file's bytes are on the real-time device of its file system, whose addresses are others; null when that is not known.</summary>
    internal static bool? IsOnRealTimeDevice(SafeFileHandle file)
    {
        byte* flags = stackalloc byte[28];
        return ioctl((int)file.DangerousGetHandle(), FileFlags, (nint)flags) == 0 ? (*(uint*)flags & OnRealTimeDevice) != 0 : null;
    }

    /// <summary>Facts about an open file.</summary>
    internal static FileFacts Status(SafeFileHandle file)
    {
        byte* buffer = stackalloc byte[256];
        byte nothing = 0;
        const int EmptyPath = 0x1000;
        return statx((int)file.DangerousGetHandle(), &nothing, EmptyPath, 0x7ff, buffer) == 0
            ? Facts(new ReadOnlySpan<byte>(buffer, 256))
            : throw Failed("stat", [], Marshal.GetLastPInvokeError());
    }
}
