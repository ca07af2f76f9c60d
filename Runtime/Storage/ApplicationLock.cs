using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Storage;

/// <summary>A held flock(2); the kernel lets go of it when this process dies, however it does.</summary>
internal sealed class ApplicationLock(int fd) : IDisposable
{
    private int _fd = fd;

    public void Dispose()
    {
        int fd = Interlocked.Exchange(ref _fd, -1);
        if (fd >= 0)
        {
            _ = Libc.close(fd);
        }
    }
}
