using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>Pumps the private memory of a process that stands from the device into a sink: the same pages as <see cref="PagePump"/> would, in few calls.</summary>
/// <param name="session">The session.</param>
/// <param name="pid">The process.</param>
internal sealed class DevicePages(CkptSession session, int pid)
{
    // As much as a call gives (CKPT_BUFFER_MAX). What of it is not needed takes no memory.
    private const int BufferSize = 64 << 20;

    private const int RunSize = 1 << 20;

    private static readonly byte[] zeros = new byte[PagePump.PageSize];

    private byte[] run = [];
    private long start;
    private int length;

    /// <summary>Pumps areas.</summary>
    /// <param name="areas">Ascending.</param>
    /// <param name="stream">The stream that they belong to.</param>
    /// <param name="sink">Where pages go.</param>
    public unsafe PageCounts Pump(IReadOnlyList<Area> areas, string stream, IPageSink sink)
    {
        CkptStructures.Range[] ranges = [.. areas.Select(area => new CkptStructures.Range { Start = area.Map.Start, End = area.Map.End })];
        PageCounts counts = new(0, 0, 0, 0, 0);
        nint room = Libc.mmap(0, BufferSize, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        if (room == -1)
        {
            throw new BridgeException("device.pages", $"making room for pages of process {pid}", Errno.Text(Libc.LastError));
        }

        Span<byte> buffer = new((void*)room, BufferSize);
        run = LargeArrays<byte>.Pool.Rent(RunSize);
        int at = 0;
        long own = 0, filled = 0;
        try
        {
            for (ulong next = 0; next != ulong.MaxValue && ranges.Length > 0;)
            {
                ReadOnlySpan<byte> records = buffer[..session.Pages(pid, ranges, ref next, buffer)];
                while (records.Length > 0)
                {
                    CkptStructures.Page page = MemoryMarshal.Read<CkptStructures.Page>(records);
                    ReadOnlySpan<byte> contents = records[Marshal.SizeOf<CkptStructures.Page>()..(int)page.Size];
                    records = records[(int)page.Size..];
                    while (areas[at].Map.End <= page.Address)
                    {
                        at++;
                    }

                    Area area = areas[at];
                    bool ofFile = area.Kind == AreaKind.File;
                    if ((page.Flags & CkptAbi.PageUnreadable) != 0)
                    {
                        // A guard, which was found by other means; or memory that is broken.
                        _ = area.Guards.Exists(guard => page.Address >= guard.Start && page.Address < guard.End)
                            ? 0
                            : throw new BridgeException("memory.unreadable", $"reading memory of process {pid} at {page.Address:x}", "the kernel does not give it out");
                    }
                    else if (!ofFile || (page.Flags & CkptAbi.PageFile) == 0)
                    {
                        // Zeros over a page of a file are stored: the file has other bytes.
                        ReadOnlySpan<byte> stored = contents.Length > 0 ? contents : ofFile ? zeros : default;
                        own += ofFile ? 1 : 0;
                        filled += !ofFile && stored.Length > 0 ? 1 : 0;
                        counts = counts with { BytesScanned = counts.BytesScanned + PagePump.PageSize };
                        Add((long)page.Address, stored, stream, sink, ref counts);
                    }
                }
            }

            Flush(stream, sink, ref counts);
        }
        finally
        {
            LargeArrays<byte>.Pool.Return(run);
            _ = Libc.munmap(room, BufferSize);
        }

        long Pages(Func<Area, bool> which) => areas.Where(which).Sum(area => (long)area.Map.Length) / PagePump.PageSize;
        return counts with { PagesZero = Pages(area => area.Kind != AreaKind.File) - filled, PagesUnchanged = Pages(area => area.Kind == AreaKind.File) - own };
    }

    private void Add(long address, ReadOnlySpan<byte> contents, string stream, IPageSink sink, ref PageCounts counts)
    {
        if (contents.Length == 0)
        {
            return;
        }

        if (length > 0 && (address != start + length || length + contents.Length > RunSize))
        {
            Flush(stream, sink, ref counts);
        }

        if (length == 0)
        {
            start = address;
        }

        contents.CopyTo(run.AsSpan(length));
        length += contents.Length;
    }

    private void Flush(string stream, IPageSink sink, ref PageCounts counts)
    {
        if (length > 0)
        {
            sink.Write(stream, start, run.AsSpan(0, length));
            counts = counts with { BytesWritten = counts.BytesWritten + length };
            length = 0;
        }
    }
}
