using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// A file whose contents are part of the image (stream <c>file/ID</c>): one without a name that is still open or mapped, or one of the application's own
/// /dev/shm.
/// </summary>
/// <param name="Id">Number in the image.</param>
/// <param name="Path">The name that it has or had.</param>
/// <param name="Identity">What it was.</param>
/// <param name="Owner">User id.</param>
/// <param name="Group">Group id.</param>
internal sealed record GhostFileImage(int Id, string Path, FileIdentity Identity, uint Owner, uint Group)
{
    /// <summary>The stream that holds the contents.</summary>
    public string Stream => $"file/{Id}";

    /// <summary>It has its name still: it lies in the application's own /dev/shm.</summary>
    public bool Named { get; init; }

    /// <summary>Set when it is a memfd.</summary>
    public MemfdImage? Memfd { get; init; }
}

/// <summary>Pumps the contents of such files.</summary>
internal static class GhostFiles
{
    private const int SEEK_DATA = 3, SEEK_HOLE = 4, ENXIO = 6;

    /// <summary>Reads the file through a holder of it and hands what is not zero to the sink.</summary>
    public static unsafe PageCounts Pump(GhostFileImage ghost, string magicPath, IPageSink sink)
    {
        int fd = Libc.open(magicPath, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            throw new BridgeException("file.unreadable", $"reading deleted file {ghost.Path}", Errno.Text(Libc.LastError));
        }

        try
        {
            byte[] buffer = new byte[1 << 20];
            PageCounts counts = default;
            for (long offset = 0; offset < ghost.Identity.Size;)
            {
                // Holes cost nothing, where the file system knows them.
                long data = Libc.lseek(fd, offset, SEEK_DATA);
                if (data < 0 && Libc.LastError == ENXIO)
                {
                    break;
                }

                offset = Math.Max(offset, data);
                long end = data < 0 ? ghost.Identity.Size : Math.Clamp(Libc.lseek(fd, offset, SEEK_HOLE), offset + 1, ghost.Identity.Size);
                nint count;
                fixed (byte* p = buffer)
                {
                    count = Libc.pread(fd, p, (nuint)Math.Min(buffer.Length, end - offset), offset);
                }

                if (count <= 0)
                {
                    throw new BridgeException("file.unreadable", $"reading deleted file {ghost.Path} at {offset}", count == 0 ? "it became shorter" : Errno.Text(Libc.LastError));
                }

                ReadOnlySpan<byte> bytes = buffer.AsSpan(0, (int)count);
                counts += new PageCounts(count, 0, 0, 0, 0);
                if (bytes.ContainsAnyExcept((byte)0))
                {
                    sink.Write(ghost.Stream, offset, bytes);
                    counts += new PageCounts(0, count, 0, 0, 0);
                }

                offset += count;
            }

            return counts;
        }
        finally
        {
            _ = Libc.close(fd);
        }
    }
}
