using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Pages that are write-protected until they are written to (<see cref="WriteProtection"/>), as PAGEMAP_SCAN shows and protects them in one step.</summary>
/// <remarks>
/// What a program does with its memory shows by itself:
/// <list type="bullet">
/// <item>munmap(2), mmap(2), brk(2): a new area is not registered. Its neighbour is not merged with it.</item>
/// <item>mremap(2): an area that was moved is not registered any more, nor one that it was merged with; one that has grown has new pages, which nobody protected.</item>
/// <item>MADV_DONTNEED, MADV_FREE: a page that is gone holds nothing, one that came back is not protected.</item>
/// <item>fork(2), execve(2): the child, the new program have no registered areas.</item>
/// </list>
/// </remarks>
internal sealed class ProtectedPages(WriteProtection protection) : IWriteNotes
{
    public bool TryScan(int pid, IReadOnlyList<Area> areas, out PageRanges untouched, out PageRanges touched)
    {
        (untouched, touched) = (new PageRanges(), new PageRanges());
        using PageMap map = new(pid);
        foreach (Area area in areas)
        {
            bool isNew = !map.IsWriteProtectedAsync(area.Map.Start);
            if (!protection.TryRegister(area.Map.Start, area.Map.End))
            {
                touched.Append(area.Map.Start, area.Map.End);
                continue;
            }

            if (isNew ? !TryBegin(map, area.Map, touched) : !TryContinue(map, area.Map, untouched, touched))
            {
                return false;
            }
        }

        return true;
    }

    public void Dispose() => protection.Dispose();

    /// <summary>All of a new area counts as written, and is protected.</summary>
    private bool TryBegin(PageMap map, MemoryMap area, PageRanges touched)
    {
        touched.Append(area.Start, area.End);
        ulong at = area.Start;
        while (map.TryNextWritten(ref at, area.End, out ReadOnlySpan<PageRegion> found))
        {
            if (found.IsEmpty)
            {
                return true;
            }

            foreach (PageRegion region in found)
            {
                if ((region.Categories & PageMap.Written) == 0)
                {
                    // Left over from a registration that ended by mremap(2) (before Linux 6.13 pages kept it, and may be writable with it): cleared by this, for the next time.
                    protection.Unregister(area.Start, area.End);
                    return true;
                }
            }
        }

        return false;
    }

    private static bool TryContinue(PageMap map, MemoryMap area, PageRanges untouched, PageRanges touched)
    {
        ulong at = area.Start;
        while (map.TryNextWritten(ref at, area.End, out ReadOnlySpan<PageRegion> found))
        {
            if (found.IsEmpty)
            {
                return true;
            }

            foreach (PageRegion region in found)
            {
                ((region.Categories & PageMap.Written) == 0 ? untouched : touched).Append(region.Start, region.End);
            }
        }

        return false;
    }
}
