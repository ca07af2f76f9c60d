using System.Text;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Interception;

/// <summary>
/// The board of an intercepted application: a page that its processes only read, and on which they sleep (futex(2)). Nothing of it is ever read through a
/// mapping here: a process of the application that is root may cut the file off.
/// </summary>
internal sealed unsafe class InterceptBoard : IDisposable
{
    private const int Openat2 = 437, Futex = 202, FutexWakeBitset = 10;

    private const ulong NoMagicLinks = 2, NoSymbolicLinks = 4;

    private readonly SafeFileHandle file;

    private InterceptBoard(SafeFileHandle file)
    {
        this.file = file;
    }

    /// <summary>Opens it.</summary>
    /// <param name="pid">A process in the application's mount namespace.</param>
    /// <returns>The board; null when the application is not intercepted.</returns>
    /// <exception cref="BridgeException">There is something else in its place (<c>intercept.board</c>).</exception>
    public static InterceptBoard? TryOpen(int pid)
    {
        if (!SharedMemoryDirectory.HasOwn(pid))
        {
            return null;
        }

        int root = Libc.open(SharedMemoryDirectory.Root(pid), Libc.O_PATH | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
        if (root < 0)
        {
            return null;
        }

        int fd;
        int error;
        try
        {
            ulong* how = stackalloc ulong[3] { Libc.O_RDWR | Libc.O_CLOEXEC | Libc.O_NONBLOCK | Libc.O_NOCTTY, 0, NoMagicLinks | NoSymbolicLinks };
            fixed (byte* path = Encoding.UTF8.GetBytes(InterceptAbi.Board[1..] + "\0"))
            {
                fd = (int)Libc.Call(Openat2, root, (long)path, (long)how, 24);
                error = Libc.LastError;
            }
        }
        finally
        {
            _ = Libc.close(root);
        }

        const int ENOENT = 2, ENOTDIR = 20;
        if (fd < 0)
        {
            return error is ENOENT or ENOTDIR ? null : throw Changed();
        }

        InterceptBoard board = new(new SafeFileHandle(fd, true));
        if (!board.IsSound(fd))
        {
            board.Dispose();
            throw Changed();
        }

        return board;
    }

    /// <summary>Seccomp filters that every process had from its start.</summary>
    public int Filters => (int)Read().Filters;

    /// <summary>Tells every process.</summary>
    /// <param name="operation">What.</param>
    /// <param name="nonce">Of <see cref="BoardOperation.Gather"/>: where they find us.</param>
    /// <param name="leftOut">Of the same: the application's pids of processes that must not call.</param>
    /// <exception cref="BridgeException">It cannot be written.</exception>
    public void Publish(BoardOperation operation, ulong nonce = 0, IReadOnlyList<int>? leftOut = null)
    {
        BoardContents now = Read();
        // Odd while it changes: who reads meanwhile looks again. A supervisor that died in between left it odd.
        uint writing = now.Generation | 1;
        Write(8, &writing, sizeof(uint));
        Write(12, &operation, sizeof(uint));
        Write(16, &nonce, sizeof(ulong));
        uint[] list = [(uint)(leftOut?.Count ?? 0), .. (leftOut ?? []).Select(pid => (uint)pid)];
        fixed (uint* pids = list)
        {
            Write(28, pids, list.Length * sizeof(uint));
        }

        uint written = writing + 1;
        Write(8, &written, sizeof(uint));
        Wake();
    }

    public void Dispose() => file.Dispose();

    private static BridgeException Changed() => new(
        "intercept.board", $"reading {InterceptAbi.Board} of the application", "it is not what was put there", "leave that directory alone, or run the application without --intercept");

    private bool IsSound(int fd) =>
        FileIdentity.TryOf($"/proc/self/fd/{fd}") is { Type: FileIdentity.Regular, Links: 1, Size: InterceptAbi.BoardSize } && Read().Magic == InterceptAbi.Magic;

    private BoardContents Read()
    {
        BoardContents contents = default;
        return Libc.pread((int)file.DangerousGetHandle(), &contents, (nuint)sizeof(BoardContents), 0) == sizeof(BoardContents) ? contents : default;
    }

    private void Write(long offset, void* value, int length)
    {
        if (Libc.pwrite((int)file.DangerousGetHandle(), value, (nuint)length, offset) != length)
        {
            throw Changed();
        }
    }

    private void Wake()
    {
        const int shared = 1;
        nint page = Libc.mmap(0, InterceptAbi.BoardSize, Libc.PROT_READ | Libc.PROT_WRITE, shared, (int)file.DangerousGetHandle(), 0);
        if (page == -1)
        {
            throw Changed();
        }

        // Only its address is used: past a file's end the call fails, where a look at it would be SIGBUS.
        _ = Libc.Call(Futex, page + 8, FutexWakeBitset, int.MaxValue, 0, 0, InterceptAbi.WakeAll);
        _ = Libc.munmap(page, InterceptAbi.BoardSize);
    }
}
