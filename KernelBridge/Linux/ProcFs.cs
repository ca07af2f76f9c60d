using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Holdfast.KernelBridge.Linux;

/// <summary>Reads procfs; see proc(5).</summary>
internal static unsafe class ProcFs
{
    /// <summary>Threads of a process whose children are asked for one by one: to ask for what the kernel knows of all takes as long as that of so many.</summary>
    private const int MostAskedForChildren = 8;

    /// <summary>Bytes of a link of procfs that nearly all have room in.</summary>
    private const int ShortLink = 256;

    /// <summary>The whole of a file, or null when it (or its process) is not there or may not be read.</summary>
    public static byte[]? TryRead(string path)
    {
        if (TryRent(path, out int length) is not { } rented)
        {
            return null;
        }

        byte[] bytes = rented[..length];
        LargeArrays<byte>.Pool.Return(rented);
        return bytes;
    }

    /// <summary>
    /// The whole of a file in an array of <see cref="LargeArrays{T}"/>, which the caller gives back; null as with <see cref="TryRead"/>. Large files of every process
    /// are read while all of them stand: as new arrays they would bring on garbage collections at that time.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="length">How many bytes of the array mean something.</param>
    public static byte[]? TryRent(string path, out int length)
    {
        length = 0;
        if (ProcSnapshot.Current is { } ahead && ahead.TryFile(path, out byte[]? known, out int failure))
        {
            Marshal.SetLastPInvokeError(failure);
            if (known is null)
            {
                return null;
            }

            byte[] copy = LargeArrays<byte>.Pool.Rent(Math.Max(1, known.Length));
            known.CopyTo(copy, 0);
            length = known.Length;
            return copy;
        }

        int fd = Libc.open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            return null;
        }

        byte[] buffer = LargeArrays<byte>.Pool.Rent(4096);
        while (true)
        {
            if (length == buffer.Length)
            {
                byte[] larger = LargeArrays<byte>.Pool.Rent(buffer.Length * 4);
                buffer.CopyTo(larger, 0);
                LargeArrays<byte>.Pool.Return(buffer);
                buffer = larger;
            }

            nint count;
            fixed (byte* p = buffer)
            {
                count = Libc.read(fd, p + length, (nuint)(buffer.Length - length));
            }

            if (count <= 0)
            {
                // errno stays that of the read, for messages.
                int error = Libc.LastError;
                _ = Libc.close(fd);
                if (count == 0)
                {
                    return buffer;
                }

                LargeArrays<byte>.Pool.Return(buffer);
                Marshal.SetLastPInvokeError(error);
                return null;
            }

            length += (int)count;
        }
    }

    /// <summary>The text of a file.</summary>
    /// <exception cref="BridgeException"><c>process.gone</c> or <c>procfs.unreadable</c>.</exception>
    public static string Text(string path) => Encoding.UTF8.GetString(Bytes(path));

    /// <summary>The bytes of a file.</summary>
    /// <exception cref="BridgeException"><c>process.gone</c> or <c>procfs.unreadable</c>.</exception>
    public static byte[] Bytes(string path) => TryRead(path) ?? throw Unreadable(path);

    /// <summary>The text of a file, or null.</summary>
    public static string? TryText(string path)
    {
        if (TryRent(path, out int length) is not { } rented)
        {
            return null;
        }

        string text = Encoding.UTF8.GetString(rented, 0, length);
        LargeArrays<byte>.Pool.Return(rented);
        return text;
    }

    /// <summary>What a symbolic link says, or null.</summary>
    public static string? TryLink(string path)
    {
        if (ProcSnapshot.Current is { } ahead && ahead.TryLink(path, out string? known, out int failure))
        {
            Marshal.SetLastPInvokeError(failure);
            return known;
        }

        // Most are short, and a large buffer would be the first to touch the last pages of a thread's stack.
        byte* buffer = stackalloc byte[ShortLink];
        nint length = Libc.readlink(path, buffer, ShortLink);
        return length < 0 ? null : length < ShortLink ? Encoding.UTF8.GetString(buffer, (int)length) : LongLink(path);
    }

    private static string? LongLink(string path)
    {
        byte* buffer = stackalloc byte[4097];
        nint length = Libc.readlink(path, buffer, 4097);
        return length < 0 ? null : Encoding.UTF8.GetString(buffer, (int)length);
    }

    /// <summary>What a symbolic link says.</summary>
    public static string Link(string path) => TryLink(path) ?? throw Unreadable(path);

    /// <summary>Numeric names in a directory, ascending; empty when it is gone.</summary>
    public static List<int> Numbers(string directory)
    {
        if (ProcSnapshot.Current is { } ahead && ahead.TryNumbers(directory, out IReadOnlyList<int>? known))
        {
            return [.. known!];
        }

        int fd = Libc.open(directory, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            return [];
        }

        // struct linux_dirent64 of include/linux/dirent.h. (System.IO.Enumeration asks of each link what it leads to: two calls for every descriptor of a process.)
        const int size = 8 << 10, lengthAt = 16, nameAt = 19;
        List<int> numbers = [];
        byte[] rented = LargeArrays<byte>.Pool.Rent(size);
        nint count;
        fixed (byte* buffer = rented)
        {
            while ((count = Libc.getdents64(fd, buffer, size)) > 0)
            {
                for (byte* entry = buffer; entry < buffer + count; entry += *(ushort*)(entry + lengthAt))
                {
                    if (int.TryParse(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(entry + nameAt), NumberStyles.None, CultureInfo.InvariantCulture, out int number))
                    {
                        numbers.Add(number);
                    }
                }
            }
        }

        LargeArrays<byte>.Pool.Return(rented);
        _ = Libc.close(fd);
        if (count < 0)
        {
            // The process ended between two reads; what was read so far may be part of the truth, so nothing of it counts.
            return [];
        }

        numbers.Sort();
        return numbers;
    }

    /// <summary>Whether a number is that of a thread of this process.</summary>
    public static bool IsOwnThread(int tid) => Directory.Exists($"/proc/self/task/{tid}");

    /// <summary>The threads of a process.</summary>
    public static List<int> Threads(int pid) => Numbers($"/proc/{pid}/task");

    /// <summary>The children of a process by all its threads, in the order of their birth per thread.</summary>
    public static List<int> Children(int pid)
    {
        List<int> tids = Threads(pid);
        string?[] children = new string?[tids.Count];

        // Hardly ever has more than one a child.
        IReadOnlyDictionary<int, TaskRecord>? records = tids.Count > MostAskedForChildren && ProcSnapshot.Current is null ? TaskIterator.Own?.Threads(pid) : null;
        Beside.Each(tids.Count, i => children[i] = records?.TryGetValue(tids[i], out TaskRecord known) == true && !known.HasChildren ? null : TryText($"/proc/{pid}/task/{tids[i]}/children")).Finish();
        return [.. children.SelectMany(text => text?.Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? []).Select(word => int.Parse(word, CultureInfo.InvariantCulture))];
    }

    /// <summary>What to say of a file that could not be read, by errno.</summary>
    public static BridgeException Unreadable(string path)
    {
        int error = Libc.LastError;
        return error is Errno.ENOENT or Errno.ESRCH
            ? new BridgeException("process.gone", $"reading {path}", "the process ended")
            : new BridgeException("procfs.unreadable", $"reading {path}", Errno.Text(error), "run as root or with CAP_SYS_PTRACE");
    }
}
