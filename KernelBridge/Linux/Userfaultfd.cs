namespace Holdfast.KernelBridge.Linux;

/// <summary>Requests of ioctl_userfaultfd(2) on x86-64; include/uapi/linux/userfaultfd.h.</summary>
internal static unsafe class Userfaultfd
{
    private const ulong UFFDIO_API = 0xc018aa3f, UFFDIO_REGISTER = 0xc020aa00, UFFDIO_UNREGISTER = 0x8010aa01;

    private const ulong Version = 0xaa;

    /// <summary>Takes a new one into use.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="features">UFFD_FEATURE_ bits, all of which it must have.</param>
    /// <returns>0, or the error.</returns>
    public static int Enable(int fd, ulong features)
    {
        ulong* request = stackalloc ulong[3] { Version, features, 0 };
        return Libc.ioctl(fd, UFFDIO_API, request) < 0 ? Libc.LastError : 0;
    }

    /// <summary>Registers addresses.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="start">The first.</param>
    /// <param name="end">The one after the last.</param>
    /// <param name="mode">UFFDIO_REGISTER_MODE_ bits.</param>
    /// <param name="requests">What can be done there, a bit for each request.</param>
    /// <returns>0, or the error.</returns>
    public static int Register(int fd, ulong start, ulong end, ulong mode, out ulong requests)
    {
        ulong* request = stackalloc ulong[4] { start, end - start, mode, 0 };
        int error = Libc.ioctl(fd, UFFDIO_REGISTER, request) < 0 ? Libc.LastError : 0;
        requests = request[3];
        return error;
    }

    /// <summary>Takes a registration back.</summary>
    public static void Unregister(int fd, ulong start, ulong end)
    {
        ulong* range = stackalloc ulong[2] { start, end - start };
        _ = Libc.ioctl(fd, UFFDIO_UNREGISTER, range);
    }
}
