using System.Buffers;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Pumps the contents of a stopped process's private memory into a sink. Pages that were never touched, that equal their file or
/// that are all zero are not stored. See Documentation/admin-guide/mm/pagemap.rst of the kernel.
/// </summary>
internal sealed unsafe class PagePump : IDisposable
{
    public const int PageSize = 4096;

    private const int ChunkSize = 1 << 20;

    /// <summary>A run shorter than this is written before a thread for it has started.</summary>
    private const ulong WorthRelay = 8 << 20;

    private const int EntryCount = 8192;

    // Bits of a pagemap entry.
    private const ulong Present = 1ul << 63, Swapped = 1ul << 62, FileOrShared = 1ul << 61, Guard = 1ul << 58;

    private readonly TargetMemory memory;
    private readonly int pagemap;
    private readonly ulong[] entries = ArrayPool<ulong>.Shared.Rent(EntryCount);
    private byte[]? buffer;
    private PageRelay? relay;

    public PagePump(int pid, TargetMemory memory)
    {
        this.memory = memory;
        pagemap = Libc.open($"/proc/{pid}/pagemap", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (pagemap < 0)
        {
            throw new BridgeException("memory.unreadable", $"opening /proc/{pid}/pagemap", Errno.Text(Libc.LastError));
        }
    }

    /// <summary>Pumps one area.</summary>
    public PageCounts Pump(Area area, string stream, IPageSink sink)
    {
        PageCounts counts = default;
        bool fileBacked = area.Kind == AreaKind.File;
        ulong runStart = 0, runEnd = 0;
        ulong guardStart = 0;
        for (ulong at = area.Map.Start; at < area.Map.End;)
        {
            int count = (int)Math.Min((ulong)EntryCount, (area.Map.End - at) / PageSize);
            ReadEntries(at, count);
            for (int i = 0; i < count;)
            {
                // Never-touched memory is the most frequent: skip runs of zero words at once.
                int empty = entries.AsSpan(i, count - i).IndexOfAnyExcept(0ul);
                empty = empty < 0 ? count - i : empty;
                if (empty > 0)
                {
                    counts = fileBacked ? counts with { PagesUnchanged = counts.PagesUnchanged + empty } : counts with { PagesZero = counts.PagesZero + empty };
                    EndGuard(area, ref guardStart, at + (ulong)i * PageSize);
                    i += empty;
                    continue;
                }

                ulong entry = entries[i];
                ulong address = at + (ulong)i * PageSize;
                i++;
                if ((entry & Guard) != 0)
                {
                    guardStart = guardStart == 0 ? address : guardStart;
                    continue;
                }

                EndGuard(area, ref guardStart, address);
                if ((entry & (Present | Swapped)) == 0 || (fileBacked && (entry & (FileOrShared | Swapped)) == FileOrShared))
                {
                    counts = counts with { PagesUnchanged = counts.PagesUnchanged + 1 };
                    continue;
                }

                if (address != runEnd)
                {
                    counts += Flush(runStart, runEnd, stream, sink, fileBacked);
                    runStart = address;
                }

                runEnd = address + PageSize;
            }

            at += (ulong)count * PageSize;
        }

        EndGuard(area, ref guardStart, area.Map.End);
        return counts + Flush(runStart, runEnd, stream, sink, fileBacked);
    }

    /// <summary>Finds guard ranges only: they belong to the image, which is put together before pages are pumped.</summary>
    public void FindGuards(Area area)
    {
        ulong guardStart = 0;
        for (ulong at = area.Map.Start; at < area.Map.End;)
        {
            int count = (int)Math.Min((ulong)EntryCount, (area.Map.End - at) / PageSize);
            ReadEntries(at, count);
            for (int i = 0; i < count; i++)
            {
                ulong address = at + (ulong)i * PageSize;
                if ((entries[i] & Guard) == 0)
                {
                    EndGuard(area, ref guardStart, address);
                }
                else if (guardStart == 0)
                {
                    guardStart = address;
                }
            }

            at += (ulong)count * PageSize;
        }

        EndGuard(area, ref guardStart, area.Map.End);
    }

    /// <summary>Waits until the sink has everything.</summary>
    /// <returns>What was not counted yet.</returns>
    public PageCounts Complete() => relay?.Complete() ?? default;

    /// <summary>
    /// Pumps a run of pages, leaving out those that are zero (a zero page over a file's page is stored: the file has other bytes).
    /// Of a long run, one piece is read while those before it are written: the application stands for as long as the slower of the two takes.
    /// </summary>
    private PageCounts Flush(ulong start, ulong end, string stream, IPageSink sink, bool keepZeros)
    {
        PageCounts counts = default;
        while (start < end)
        {
            int length = (int)Math.Min(end - start, ChunkSize);
            byte[] piece = relay is null ? buffer ??= ArrayPool<byte>.Shared.Rent(ChunkSize) : relay.Take();
            try
            {
                memory.Read(start, piece.AsSpan(0, length));
            }
            catch
            {
                relay?.Return(piece);
                throw;
            }

            if (relay is not null)
            {
                relay.Post(new PagePiece(piece, length, (long)start, stream, keepZeros));
            }
            else
            {
                counts += WriteNonZero(piece.AsSpan(0, length), (long)start, stream, sink, keepZeros);
                relay = end - start > WorthRelay ? new PageRelay(sink, ChunkSize) : null;
            }

            start += (ulong)length;
        }

        return counts;
    }

    /// <summary>Hands runs of pages that are not zero to the sink.</summary>
    public static PageCounts WriteNonZero(ReadOnlySpan<byte> bytes, long offset, string stream, IPageSink sink, bool keepZeros)
    {
        PageCounts counts = new(bytes.Length, 0, 0, 0, 0);
        int from = 0;
        for (int at = 0; at < bytes.Length; at += PageSize)
        {
            ReadOnlySpan<byte> page = bytes.Slice(at, Math.Min(PageSize, bytes.Length - at));
            if (keepZeros || page.ContainsAnyExcept((byte)0))
            {
                continue;
            }

            if (at > from)
            {
                sink.Write(stream, offset + from, bytes[from..at]);
                counts = counts with { BytesWritten = counts.BytesWritten + at - from };
            }

            from = at + page.Length;
            counts = counts with { PagesZero = counts.PagesZero + 1 };
        }

        if (from < bytes.Length)
        {
            sink.Write(stream, offset + from, bytes[from..]);
            counts = counts with { BytesWritten = counts.BytesWritten + bytes.Length - from };
        }

        return counts;
    }

    public void Dispose()
    {
        relay?.Dispose();
        _ = Libc.close(pagemap);
        ArrayPool<ulong>.Shared.Return(entries);
        if (buffer is not null)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static void EndGuard(Area area, ref ulong guardStart, ulong address)
    {
        if (guardStart != 0)
        {
            GuardRange range = new(guardStart, address);
            if (!area.Guards.Contains(range))
            {
                area.Guards.Add(range);
            }

            guardStart = 0;
        }
    }

    private void ReadEntries(ulong address, int count)
    {
        fixed (ulong* p = entries)
        {
            nint expected = count * 8;
            if (Libc.pread(pagemap, p, (nuint)expected, (long)(address / PageSize * 8)) != expected)
            {
                throw new BridgeException("memory.unreadable", $"reading the page map at 0x{address:x}", Errno.Text(Libc.LastError));
            }
        }

        // Bits 0–55 (frame numbers) and soft-dirty (55), exclusive (56) and write-protection (57) bits do not matter here.
        Span<ulong> span = MemoryMarshal.CreateSpan(ref entries[0], count);
        for (int i = 0; i < count; i++)
        {
            span[i] &= Present | Swapped | FileOrShared | Guard;
        }
    }
}
