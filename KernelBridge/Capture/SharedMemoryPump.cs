using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Pumps the contents of shared anonymous memory, once per object.</summary>
internal static unsafe class SharedMemoryPump
{
    private const int SEEK_DATA = 3, ENXIO = 6;

    /// <summary>Reads the object.</summary>
    /// <param name="shared">The object.</param>
    /// <param name="users">Who has it mapped; at least one.</param>
    /// <param name="sink">Takes what is not zero.</param>
    public static PageCounts Pump(SharedMemoryImage shared, IReadOnlyList<SegmentUser> users, IPageSink sink) =>
        Authority.Own.FollowsMappedFiles ? PumpFile(shared, users[0].Path, sink) : PumpMemory(shared, users, sink);

    /// <summary>
    /// Reads what is mapped of it in the memory of those who have it: nobody can reach the rest any more. Its holes are filled by that, since memory does not show them.
    /// </summary>
    private static PageCounts PumpMemory(SharedMemoryImage shared, IReadOnlyList<SegmentUser> users, IPageSink sink)
    {
        PageCounts counts = default;
        byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 20);
        for (long at = 0; at < shared.Size;)
        {
            SegmentUser? user = users.FirstOrDefault(user => user.Covers(at));
            if (user is null)
            {
                long next = users.Select(user => (long)user.Offset).Where(offset => offset > at).DefaultIfEmpty(shared.Size).Min();
                counts = counts with { PagesZero = counts.PagesZero + (Math.Min(next, shared.Size) - at) / PagePump.PageSize };
                at = next;
                continue;
            }

            ulong from = user.Start + ((ulong)at - user.Offset);
            using TargetMemory memory = new(user.Pid);
            Span<byte> part = buffer.AsSpan(0, (int)Math.Min((ulong)Math.Min(buffer.Length, shared.Size - at), user.End - from));
            memory.Read(from, part);
            counts += PagePump.WriteNonZero(part, at, shared.Stream, sink, keepZeros: false);
            at += part.Length;
        }

        return counts;
    }

    /// <summary>Reads it through /proc/PID/map_files; holes cost nothing.</summary>
    private static PageCounts PumpFile(SharedMemoryImage shared, string path, IPageSink sink)
    {
        int fd = Libc.open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            throw new BridgeException(
                "memory.unreadable", $"opening shared memory {path}", Errno.Text(Libc.LastError), "run as root or with CAP_CHECKPOINT_RESTORE");
        }

        try
        {
            PageCounts counts = default;
            byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 20);
            for (long at = 0; at < shared.Size;)
            {
                long data = Libc.lseek(fd, at, SEEK_DATA);
                if (data < 0)
                {
                    return Libc.LastError == ENXIO
                        ? counts with { PagesZero = counts.PagesZero + (shared.Size - at) / PagePump.PageSize }
                        : throw new BridgeException("memory.unreadable", $"seeking in shared memory {shared.Id}", Errno.Text(Libc.LastError));
                }

                counts = counts with { PagesZero = counts.PagesZero + (data - at) / PagePump.PageSize };
                at = data;
                nint count;
                fixed (byte* p = buffer)
                {
                    count = Libc.pread(fd, p, (nuint)Math.Min(buffer.Length, shared.Size - at), at);
                }

                if (count <= 0)
                {
                    throw new BridgeException("memory.unreadable", $"reading shared memory {shared.Id} at {at}", count == 0 ? "it became shorter" : Errno.Text(Libc.LastError));
                }

                counts += PagePump.WriteNonZero(buffer.AsSpan(0, (int)count), at, shared.Stream, sink, keepZeros: false);
                at += count;
            }

            return counts;
        }
        finally
        {
            _ = Libc.close(fd);
        }
    }
}
