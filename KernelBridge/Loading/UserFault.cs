using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Loading;

/// <summary>
/// A userfaultfd for missing pages that also reports fork, mremap, munmap and MADV_DONTNEED: userfaultfd(2), ioctl_userfaultfd(2), include/uapi/linux/userfaultfd.h.
/// </summary>
internal static class UserFault
{
    /// <summary>Codes of the refusals of a lazy restore.</summary>
    public const string Rights = "lazy.rights", Kernel = "lazy.kernel", Space = "lazy.space";

    // EVENT_FORK, EVENT_REMAP, EVENT_REMOVE, EVENT_UNMAP.
    private const ulong Events = 0x2 | 0x4 | 0x8 | 0x40;

    private const ulong ModeMissing = 1, OffersCopyZeroWake = 1 << 2 | 1 << 3 | 1 << 4;

    /// <summary>Why there can be none here; null when there can.</summary>
    public static Refusal? Check()
    {
        int fd = Libc.userfaultfd(Libc.O_CLOEXEC | Libc.O_NONBLOCK);
        int error = fd < 0 ? Libc.LastError : Userfaultfd.Enable(fd, Events);
        _ = fd >= 0 ? Libc.close(fd) : 0;
        return error switch
        {
            0 => null,
            // Without the host's rights faults in system calls, and children of fork, would go without their pages.
            Errno.EPERM or Errno.EACCES => new Refusal(Rights, 0, null, "lazy restore", "userfaultfd with faults in the kernel takes CAP_SYS_PTRACE of the host", "restore without --lazy, or as root"),
            _ => new Refusal(Kernel, 0, null, "lazy restore", $"this kernel has no userfaultfd with events ({Errno.Text(error)})", "restore without --lazy, or use a kernel with CONFIG_USERFAULTFD (4.11)"),
        };
    }

    /// <summary>Composes what makes one inside a process, at a given number.</summary>
    public static void Make(SyscallTape tape, int number)
    {
        tape.Add("making a userfaultfd", X64.Userfaultfd, Libc.O_CLOEXEC | Libc.O_NONBLOCK);
        RestoreContext.Place(tape, "the userfaultfd", number);
    }

    /// <summary>Takes a copy of the one that a process has made, ready to register.</summary>
    public static SafeFileHandle Take(int pid, int number)
    {
        (int fd, int error) = Libc.CopyDescriptor(pid, number);
        SafeFileHandle handle = fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true)
            : throw new BridgeException("lazy.failed", $"taking the userfaultfd of process {pid}", Errno.Text(error));
        if (Userfaultfd.Enable(fd, Events) is var problem and not 0)
        {
            handle.Dispose();
            throw new BridgeException("lazy.failed", $"enabling the userfaultfd of process {pid}", Errno.Text(problem), "restore without --lazy");
        }

        return handle;
    }

    /// <summary>From now on whoever touches a page there that is missing waits for it.</summary>
    public static void Register(SafeFileHandle handle, ulong start, ulong end)
    {
        if (Userfaultfd.Register(Descriptors.Number(handle), start, end, ModeMissing, out ulong requests) is var error and not 0)
        {
            throw new BridgeException("lazy.failed", $"registering {start:x}-{end:x} with userfaultfd", Errno.Text(error), "restore without --lazy");
        }

        if ((requests & OffersCopyZeroWake) != OffersCopyZeroWake)
        {
            throw new BridgeException("lazy.failed", $"registering {start:x}-{end:x} with userfaultfd", "its pages cannot be filled", "restore without --lazy");
        }
    }
}
