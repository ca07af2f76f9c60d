using System.Numerics;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// A userfaultfd(2) of another process in the mode in which the kernel itself lifts the write protection of a page at the first write (UFFD_FEATURE_WP_ASYNC,
/// Linux 6.7): nobody waits, and nobody is told. See ioctl_userfaultfd(2) and Documentation/admin-guide/mm/userfaultfd.rst of the kernel.
/// </summary>
internal sealed unsafe class WriteProtection : IDisposable
{
    /// <summary>O_CLOEXEC, and UFFD_USER_MODE_ONLY, which needs no right: no fault is ever handed over, so that those of the kernel do not matter.</summary>
    public const ulong Flags = 0x80000 | 1;

    private const ulong WP_UNPOPULATED = 1 << 13, WP_ASYNC = 1 << 15, ModeWriteProtect = 2;

    private readonly int descriptor;

    private WriteProtection(int descriptor)
    {
        this.descriptor = descriptor;
    }

    /// <summary>Takes a new userfaultfd into use, and closes it where that is not possible.</summary>
    /// <returns>Null when this kernel cannot do it.</returns>
    public static WriteProtection? TryUse(int descriptor)
    {
        WriteProtection protection = new(descriptor);
        if (Userfaultfd.Enable(descriptor, WP_ASYNC | WP_UNPOPULATED) == 0)
        {
            return protection;
        }

        protection.Dispose();
        return null;
    }

    /// <summary>Makes writes in an area noticeable from the first scan on. Does nothing where they are so already.</summary>
    /// <returns>False where that is not possible, as where somebody else does the same.</returns>
    public bool TryRegister(ulong start, ulong end) => Userfaultfd.Register(descriptor, start, end, ModeWriteProtect, out _) == 0;

    /// <summary>Undoes it, and forgets which pages were protected.</summary>
    public void Unregister(ulong start, ulong end) => Userfaultfd.Unregister(descriptor, start, end);

    /// <summary>Undoes all: the kernel forgets every area and page.</summary>
    public void Dispose() => _ = Libc.close(descriptor);

    /// <summary>Tries in memory of this process whether a write is noticed, once and only once.</summary>
    /// <returns>Null when it works, else what is missing.</returns>
    public static string? Try() => OnOwnPage(
        missing => missing,
        (protection, page) =>
        {
            // Of Linux 6.13 and 6.14, which have guard pages and do not show them.
            if (!PageMap.ShowsGuards && Libc.madvise((nint)page, PagePump.PageSize, Libc.MADV_GUARD_INSTALL) == 0)
            {
                return "this kernel does not show guard pages";
            }

            using PageMap map = new(Environment.ProcessId);
            *(byte*)page = 1;
            return protection.TryRegister(page, page + PagePump.PageSize) && WasWritten(map, page) && !WasWritten(map, page) && WriteIsNoticed(map, page)
                ? null : "PAGEMAP_SCAN does not show what was written";
        });

    /// <summary>The bit of <c>vm_flags</c> that <see cref="TryRegister"/> sets, as it shows on memory of this process.</summary>
    /// <param name="kernel">Tells the flags.</param>
    /// <returns>0 where this kernel cannot do it, or does not tell.</returns>
    public static ulong AreaFlag(TaskIterator? kernel)
    {
        return kernel is null ? 0 : OnOwnPage(
            _ => 0UL,
            (protection, page) =>
            {
                ulong? before = FlagsOf(page);
                ulong? changed = protection.TryRegister(page, page + PagePump.PageSize) ? before ^ FlagsOf(page) : null;
                return changed is { } bit && BitOperations.IsPow2(bit) ? bit : 0;
            });

        ulong? FlagsOf(ulong page) => kernel.Areas(Environment.ProcessId)?.Find(area => area.Start <= page && page < area.End) is { End: > 0 } own ? own.Flags : null;
    }

    /// <summary>Looks at what a new one does with a page of this process.</summary>
    private static T OnOwnPage<T>(Func<string, T> cannot, Func<WriteProtection, ulong, T> look)
    {
        int descriptor = Libc.userfaultfd((int)Flags);
        if (descriptor < 0)
        {
            return cannot($"userfaultfd(2): {Errno.Text(Libc.LastError)}");
        }

        using WriteProtection? protection = TryUse(descriptor);
        if (protection is null)
        {
            return cannot("no UFFD_FEATURE_WP_ASYNC (Linux 6.7)");
        }

        nint page = Libc.mmap(0, PagePump.PageSize, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        if (page == -1)
        {
            return cannot($"mmap(2): {Errno.Text(Libc.LastError)}");
        }

        try
        {
            return look(protection, (ulong)page);
        }
        finally
        {
            _ = Libc.munmap(page, PagePump.PageSize);
        }
    }

    private static bool WriteIsNoticed(PageMap map, ulong page)
    {
        *(byte*)page = 2;
        return WasWritten(map, page);
    }

    private static bool WasWritten(PageMap map, ulong page)
    {
        ulong at = page;
        return map.TryNextWritten(ref at, page + PagePump.PageSize, out ReadOnlySpan<PageRegion> found) && found.Length == 1 && (found[0].Categories & PageMap.Written) != 0;
    }
}
