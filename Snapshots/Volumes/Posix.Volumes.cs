using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <content>What volumes need beyond it.</content>
internal static unsafe partial class Posix
{
    private const int ETXTBSY = 26;
    private const int EACCES = 13;

    // statfs(2). On these, a store to a shared mapping changes the file's times once its page has been written out: page_mkwrite of the kernel's mm/memory.c.
    private static readonly HashSet<long> TellingFileSystems = [0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x794C7630];

    [LibraryImport("libc", SetLastError = true)]
    private static partial int syncfs(int fd);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fstatfs(int fd, long* into);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int rename(byte* from, byte* to);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int unlink(byte* path);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int rmdir(byte* path);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int lremovexattr(byte* path, byte* name);

    /// <summary>
    /// Writes out what is dirty in the file system of a directory. After it, whatever changes a file changes its times too, be it through a mapping.
    /// </summary>
    /// <returns>False where that cannot be relied on: memory and network file systems, or an error.</returns>
    internal static bool SyncFileSystem(byte[] directory)
    {
        using SafeFileHandle? file = TryOpen(directory);
        if (file is null)
        {
            return false;
        }

        // struct statfs: f_type comes first; 120 bytes on 64-bit machines.
        long* facts = stackalloc long[32];
        int fd = (int)file.DangerousGetHandle();
        return fstatfs(fd, facts) == 0 && TellingFileSystems.Contains(facts[0] & 0xFFFFFFFF) && syncfs(fd) == 0;
    }

    /// <summary>Whether files of a directory can be cloned. Nothing is left of the attempt.</summary>
    internal static bool CanClone(byte[] directory)
    {
        int fd;
        fixed (byte* name = Terminated(directory))
        {
            fd = open(name, NamelessFile | CloseOnExec | ReadWrite, 0x180);
        }

        if (fd < 0)
        {
            return false;
        }

        using var source = new SafeFileHandle(fd, ownsHandle: true);
        using SafeFileHandle? copy = TryClone(source, directory);
        return copy is not null;
    }

    /// <summary>Opens a file for reading and writing in place; null when it is gone, runs as a program, or may not be written to.</summary>
    internal static SafeFileHandle? TryOpenForWriting(byte[] path)
    {
        fixed (byte* name = Terminated(path))
        {
            int fd = open(name, CloseOnExec | NoFollowOpen | 0x2, 0);
            int error = Marshal.GetLastPInvokeError();
            return fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true)
                : error is ETXTBSY or EACCES or EPERM or Libc.ENOENT ? null
                : throw Failed("open", path, error);
        }
    }

    internal static void Rename(byte[] from, byte[] to)
    {
        fixed (byte* old = Terminated(from))
        fixed (byte* name = Terminated(to))
        {
            Check(rename(old, name), "rename to", to);
        }
    }

    /// <summary>Removes whatever has a name, with all that is in it; links are not followed. Nothing when it is gone.</summary>
    internal static void Remove(byte[] path)
    {
        if (Status(path) is not { } facts)
        {
            return;
        }

        if (facts.Type != FileFacts.Directory)
        {
            fixed (byte* name = Terminated(path))
            {
                Check(unlink(name), "remove", path);
            }

            return;
        }

        foreach (byte[] name in Names(path) ?? [])
        {
            Remove([.. path, (byte)'/', .. name]);
        }

        fixed (byte* name = Terminated(path))
        {
            Check(rmdir(name), "remove", path);
        }
    }

    internal static void RemoveAttribute(byte[] path, byte[] attribute)
    {
        fixed (byte* name = Terminated(path))
        fixed (byte* key = Terminated(attribute))
        {
            if (lremovexattr(name, key) != 0 && Marshal.GetLastPInvokeError() is var error and not ENODATA and not ENOTSUP)
            {
                throw Failed($"remove attribute {System.Text.Encoding.UTF8.GetString(attribute)} of", path, error);
            }
        }
    }
}
