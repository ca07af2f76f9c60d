using System.Runtime.InteropServices;

namespace Holdfast.KernelBridge.Linux;

/// <summary>Calls into the C library. Names and meanings are those of section 2 of the manual.</summary>
internal static unsafe partial class Libc
{
    public const int O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_ACCMODE = 3, O_CREAT = 0x40, O_EXCL = 0x80, O_NOCTTY = 0x100, O_TRUNC = 0x200,
        O_APPEND = 0x400, O_NONBLOCK = 0x800, O_DIRECT = 0x4000, O_DIRECTORY = 0x10000, O_NOFOLLOW = 0x20000, O_CLOEXEC = 0x80000, O_PATH = 0x200000, O_TMPFILE = 0x410000,
        O_LARGEFILE = 0x8000;

    public const int WNOHANG = 1, WALL = 0x40000000;

    public const int SIGKILL = 9, SIGTRAP = 5, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22;

    public const int CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_BOOTTIME = 7;

    public const int PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4;

    public const int MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20, MADV_FREE = 8, MADV_POPULATE_WRITE = 23, MADV_GUARD_INSTALL = 102;

    public const int KCMP_FILE = 0, KCMP_VM = 1, KCMP_FILES = 2, KCMP_FS = 3, KCMP_SIGHAND = 4, KCMP_EPOLL_TFD = 7;

    [LibraryImport("libc", SetLastError = true)]
    public static partial int open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int fd);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint read(int fd, void* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint write(int fd, void* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint pread(int fd, void* buffer, nuint count, long offset);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint pwrite(int fd, void* buffer, nuint count, long offset);

    [LibraryImport("libc", SetLastError = true)]
    public static partial long lseek(int fd, long offset, int whence);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int tgkill(int pid, int tid, int signal);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int kill(int pid, int signal);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int waitpid(int pid, int* status, int options);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int clock_gettime(int clock, Timespec* time);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int fcntl(int fd, int command, nint argument);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int ioctl(int fd, ulong request, void* argument);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int setns(int fd, int type);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int unshare(int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int mount(
        [MarshalAs(UnmanagedType.LPUTF8Str)] string source, [MarshalAs(UnmanagedType.LPUTF8Str)] string target, [MarshalAs(UnmanagedType.LPUTF8Str)] string? type, ulong flags, nint data);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int pipe2(int* fds, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint tee(int from, int to, nuint count, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint getdents64(int fd, void* buffer, nuint size);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint readlink([MarshalAs(UnmanagedType.LPUTF8Str)] string path, byte* buffer, nuint size);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint process_vm_readv(int pid, Iovec* local, nuint localCount, Iovec* remote, nuint remoteCount, nuint flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint process_vm_writev(int pid, Iovec* local, nuint localCount, Iovec* remote, nuint remoteCount, nuint flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial long syscall(long number, long a0, long a1, long a2, long a3, long a4, long a5);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int usleep(uint microseconds);

    /// <summary>A system call for which the C library may have no function: -1 and the error, as the others.</summary>
    public static long Call(long number, long a0, long a1, long a2 = 0, long a3 = 0, long a4 = 0, long a5 = 0) => syscall(number, a0, a1, a2, a3, a4, a5);

    public static int LastError => Marshal.GetLastPInvokeError();

    /// <summary>ptrace(2) itself: the C library's wrapper treats PEEK requests differently, the system call does not.</summary>
    public static long ptrace(long request, int tid, long address, long data) => syscall(101, request, tid, address, data, 0, 0);

    /// <summary>kcmp(2): 0 equal, 1 and 2 ordered, 3 unequal without order, -1 error.</summary>
    public static int kcmp(int pid1, int pid2, int type, long index1, long index2) =>
        ProcSnapshot.Current is { } ahead && ahead.TryCompare(pid1, pid2, type, index1, index2, out int known) ? known : (int)syscall(312, pid1, pid2, type, index1, index2, 0);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int poll(ulong* fds, nuint count, int timeout);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int statfs([MarshalAs(UnmanagedType.LPUTF8Str)] string path, long* buffer);

    /// <summary>What statfs(2) says of a tmpfs.</summary>
    public const long TmpfsMagic = 0x01021994;

    /// <summary>The magic number of the file system that holds a file (statfs(2)); 0 when it cannot be asked.</summary>
    public static long FileSystemType(string path)
    {
        if (ProcSnapshot.Current is { } ahead && ahead.TryFileSystem(path, out long known))
        {
            return known;
        }

        long* buffer = stackalloc long[32];
        return statfs(path, buffer) < 0 ? 0 : buffer[0];
    }

    /// <summary>Bytes of a block of the file system that holds a file: of a page, where it is made of memory (statfs(2)); 0 when it cannot be asked.</summary>
    public static long BlockSize(string path)
    {
        long* buffer = stackalloc long[32];
        return statfs(path, buffer) < 0 ? 0 : buffer[1];
    }

    public static int open_by_handle_at(int mount, int* handle, int flags) => (int)syscall(304, mount, (long)handle, flags, 0, 0, 0);

    public static long timerfd_gettime(int fd, void* value) => syscall(287, fd, (long)value, 0, 0, 0, 0);

    public static int mq_getsetattr(int queue, long* wanted, long* found) => (int)syscall(245, queue, (long)wanted, (long)found, 0, 0, 0);

    public static int userfaultfd(int flags) => (int)syscall(323, flags, 0, 0, 0, 0, 0);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint mmap(nint address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int munmap(nint address, nuint length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int madvise(nint address, nuint length, int advice);

    public static int pidfd_open(int pid) => (int)syscall(434, pid, 0, 0, 0, 0, 0);

    public static int pidfd_getfd(int pidfd, int fd) => (int)syscall(438, pidfd, fd, 0, 0, 0, 0);

    /// <summary>A descriptor of ours for what a process has under a number (pidfd_getfd(2)): the same open file description.</summary>
    /// <returns>The descriptor, to be closed by the caller; or -1 and the error.</returns>
    public static (int Descriptor, int Error) CopyDescriptor(int pid, int number)
    {
        int pidfd = pidfd_open(pid);
        int copy = pidfd < 0 ? -1 : pidfd_getfd(pidfd, number);
        int error = LastError;
        _ = pidfd >= 0 ? close(pidfd) : 0;
        return (copy, copy < 0 ? error : 0);
    }

    public static long get_robust_list(int tid, ulong* head, ulong* length) => syscall(274, tid, (long)head, (long)length, 0, 0, 0);

    public static long statx(int directory, byte* path, int flags, uint mask, byte* buffer) => syscall(332, directory, (long)path, flags, mask, (long)buffer, 0);

    public static long sched_getattr(int tid, byte* attributes, uint size) => syscall(315, tid, (long)attributes, size, 0, 0, 0);

    public static long sched_getaffinity(int tid, int size, byte* mask) => syscall(204, tid, size, (long)mask, 0, 0, 0);

    public static long sched_setaffinity(int tid, int size, byte* mask) => syscall(203, tid, size, (long)mask, 0, 0, 0);

    public static long ioprio_get(int which, int who) => syscall(252, which, who, 0, 0, 0, 0);

    /// <summary>Nanoseconds of a clock.</summary>
    public static long Nanoseconds(int clock)
    {
        Timespec time;
        _ = clock_gettime(clock, &time);
        return time.Seconds * 1_000_000_000 + time.Nanoseconds;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Iovec
    {
        public ulong Base;
        public ulong Length;
    }
}
