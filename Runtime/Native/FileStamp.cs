using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Holdfast.Runtime.Native;

/// <summary>What tells one content of a file from another without reading it; links are followed.</summary>
/// <param name="Inode">A file that was replaced has another.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Changed">When the inode last changed: whatever writes, renames or touches it moves this on.</param>
/// <param name="Device">The file system.</param>
internal sealed unsafe partial record FileStamp(ulong Inode, ulong Size, (long Seconds, uint Nanoseconds) Changed, ulong Device)
{
    private const int AT_FDCWD = -100;
    private const uint STATX_BASIC_STATS = 0x7ff;

    /// <summary>Looks at a file; null when there is none. See statx(2).</summary>
    /// <exception cref="IOException">It cannot be looked at.</exception>
    public static FileStamp? Of(string path)
    {
        // struct statx, include/uapi/linux/stat.h: ino at 32, size at 40, ctime at 96, dev at 136.
        byte* buffer = stackalloc byte[256];
        if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, buffer) != 0)
        {
            const int ENOENT = 2;
            const int ENOTDIR = 20;
            return Marshal.GetLastPInvokeError() is ENOENT or ENOTDIR ? null : throw new IOException($"{path}: {Libc.LastError()}");
        }

        ReadOnlySpan<byte> s = new(buffer, 256);
        return new FileStamp(
            BinaryPrimitives.ReadUInt64LittleEndian(s[32..]), BinaryPrimitives.ReadUInt64LittleEndian(s[40..]),
            (BinaryPrimitives.ReadInt64LittleEndian(s[96..]), BinaryPrimitives.ReadUInt32LittleEndian(s[104..])),
            BinaryPrimitives.ReadUInt64LittleEndian(s[136..]));
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int statx(int directory, string path, int flags, uint mask, void* buffer);
}
