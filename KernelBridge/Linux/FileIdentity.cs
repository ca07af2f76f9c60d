using System.Runtime.InteropServices;
using System.Text;

namespace Holdfast.KernelBridge.Linux;

/// <summary>What statx(2) says of a file.</summary>
/// <param name="Device">Major and minor as <c>major &lt;&lt; 32 | minor</c>.</param>
/// <param name="Inode">Inode number.</param>
/// <param name="Mode">Type and permissions as in st_mode.</param>
/// <param name="Links">Number of hard links.</param>
/// <param name="Size">Bytes.</param>
/// <param name="ModifiedNanoseconds">mtime since the epoch.</param>
/// <param name="ChangedNanoseconds">ctime since the epoch.</param>
/// <param name="RawDevice">For device files, the device, in the form of <paramref name="Device"/>.</param>
internal sealed record FileIdentity(
    ulong Device, ulong Inode, uint Mode, uint Links, long Size, long ModifiedNanoseconds, long ChangedNanoseconds, ulong RawDevice)
{
    private const int AT_FDCWD = -100, AT_EMPTY_PATH = 0x1000, AT_SYMLINK_NOFOLLOW = 0x100;

    public const uint TypeMask = 0xF000, Regular = 0x8000, DirectoryType = 0x4000, CharacterDevice = 0x2000, Fifo = 0x1000, Socket = 0xC000, SymbolicLink = 0xA000;

    public uint Type => Mode & TypeMask;

    /// <summary>Follows symbolic links; null when there is no such file.</summary>
    public static FileIdentity? TryOf(string path) =>
        ProcSnapshot.Current is { } ahead && ahead.TryIdentity(path, out FileIdentity? known) ? known : Stat(AT_FDCWD, path, 0);

    public static FileIdentity? TryOfLink(string path) => Stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);

    public static FileIdentity? TryOf(int fd) => Stat(fd, string.Empty, AT_EMPTY_PATH);

    /// <summary>The same inode on the same device.</summary>
    public bool SameFile(FileIdentity other) => Device == other.Device && Inode == other.Inode;

    /// <summary>The device of the file system that is mounted at a path, as <c>Device</c> has it; null where nothing is mounted, or nobody may look.</summary>
    public static unsafe ulong? DeviceOfMount(string path)
    {
        const ulong STATX_ATTR_MOUNT_ROOT = 0x2000;
        byte* buffer = stackalloc byte[256];
        ReadOnlySpan<byte> s = new(buffer, 256);
        return Fill(AT_FDCWD, path, 0, buffer) && (U64(s, 8) & STATX_ATTR_MOUNT_ROOT) != 0 ? Of(s).Device : null;
    }

    /// <summary>User and group that own a file; zeros when it is gone.</summary>
    public static unsafe (uint Owner, uint Group) OwnerOf(string path)
    {
        byte* buffer = stackalloc byte[256];
        new Span<byte>(buffer, 256).Clear();
        _ = Fill(AT_FDCWD, path, 0, buffer);
        ReadOnlySpan<byte> s = new(buffer, 256);
        return (U32(s, 0x14), U32(s, 0x18));
    }

    private static unsafe bool Fill(int directory, string path, int flags, byte* buffer)
    {
        byte[] name = Encoding.UTF8.GetBytes(path + "\0");
        fixed (byte* p = name)
        {
            // STATX_BASIC_STATS; offsets as in struct statx of include/uapi/linux/stat.h.
            return Libc.statx(directory, p, flags, 0x7ff, buffer) >= 0;
        }
    }

    private static unsafe FileIdentity? Stat(int directory, string path, int flags)
    {
        byte* buffer = stackalloc byte[256];
        if (!Fill(directory, path, flags, buffer))
        {
            return null;
        }

        return Of(new ReadOnlySpan<byte>(buffer, 256));
    }

    private static FileIdentity Of(ReadOnlySpan<byte> s) => new(
        ((ulong)U32(s, 0x88) << 32) | U32(s, 0x8c), U64(s, 0x20), MemoryMarshal.Read<ushort>(s[0x1c..]), U32(s, 0x10), (long)U64(s, 0x28),
        Time(s, 0x70), Time(s, 0x60), ((ulong)U32(s, 0x80) << 32) | U32(s, 0x84));

    private static long Time(ReadOnlySpan<byte> s, int offset) => (long)U64(s, offset) * 1_000_000_000 + U32(s, offset + 8);

    private static uint U32(ReadOnlySpan<byte> s, int offset) => MemoryMarshal.Read<uint>(s[offset..]);

    private static ulong U64(ReadOnlySpan<byte> s, int offset) => MemoryMarshal.Read<ulong>(s[offset..]);
}
