using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>Raw descriptors as owned handles. All are closed on exec.</summary>
internal static class Descriptors
{
    /// <summary>Takes ownership of what a system call returned.</summary>
    /// <exception cref="BridgeException">It returned an error.</exception>
    public static SafeFileHandle Own(int fd, string code, string what) =>
        fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true) : throw Failure(code, what, Marshal.GetLastPInvokeError());

    /// <summary>Opens a file; see open(2).</summary>
    public static SafeFileHandle Open(string path, int flags, uint mode = 0) =>
        Own(SpaceNative.Open(path, flags | O_CLOEXEC, mode), "file.open", path);

    /// <summary>A pipe.</summary>
    public static unsafe (SafeFileHandle Read, SafeFileHandle Write) Pipe()
    {
        int* fds = stackalloc int[2];
        if (Pipe2(fds, O_CLOEXEC) < 0)
        {
            throw Failure("space.pipe", "pipe2", Marshal.GetLastPInvokeError());
        }

        return (new SafeFileHandle(fds[0], true), new SafeFileHandle(fds[1], true));
    }

    /// <summary>A file in memory with these contents, sealed against change where that is possible.</summary>
    /// <param name="name">Shown in /proc/PID/maps and /proc/PID/exe.</param>
    /// <param name="contents">The bytes.</param>
    /// <param name="executable">Whether it is to be executed; kernels before 6.3 do not tell.</param>
    public static SafeFileHandle Memory(string name, ReadOnlySpan<byte> contents, bool executable)
    {
        uint flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
        int fd = MemfdCreate(name, executable ? flags | MFD_EXEC : flags);
        if (fd < 0 && executable && Marshal.GetLastPInvokeError() == EINVAL)
        {
            fd = MemfdCreate(name, flags);
        }

        if (fd < 0 && executable && Marshal.GetLastPInvokeError() == EACCES)
        {
            throw new BridgeException("space.memfd", "an executable memfd", "the sysctl vm.memfd_noexec forbids it", "set vm.memfd_noexec to 0 or 1");
        }

        SafeFileHandle handle = Own(fd, "space.memfd", "memfd_create");
        WriteAll(handle, contents);
        // A process must not be able to rewrite the program that its init runs.
        Fcntl(Number(handle), F_ADD_SEALS, F_SEAL_ALL);
        return handle;
    }

    /// <summary>Another number for the same open file, at least <paramref name="lowest"/>.</summary>
    public static SafeFileHandle DuplicateAbove(int fd, int lowest) =>
        Own(Fcntl(fd, F_DUPFD_CLOEXEC, lowest), "space.descriptor", $"descriptor {fd}");

    /// <summary>Writes all bytes at the descriptor's position.</summary>
    public static unsafe void WriteAll(SafeFileHandle handle, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* first = bytes)
        {
            for (int done = 0; done < bytes.Length;)
            {
                nint n = Write(Number(handle), first + done, (nuint)(bytes.Length - done));
                if (n < 0 && Marshal.GetLastPInvokeError() == EINTR)
                {
                    continue;
                }

                if (n < 0)
                {
                    throw Failure("file.write", "write", Marshal.GetLastPInvokeError());
                }

                done += (int)n;
            }
        }
    }

    /// <summary>Waits until one of two descriptors has an event.</summary>
    /// <param name="first">A descriptor.</param>
    /// <param name="second">Another one, or -1.</param>
    /// <param name="events">The events for both, such as <see cref="POLLIN"/>.</param>
    /// <param name="timeout">How long; infinite when negative.</param>
    /// <returns>0 on time-out, else bit 0 for the first and bit 1 for the second.</returns>
    public static unsafe int Wait(int first, int second, short events, TimeSpan timeout)
    {
        long end = timeout < TimeSpan.Zero ? long.MaxValue : Environment.TickCount64 + (long)Math.Ceiling(timeout.TotalMilliseconds);
        PollDescriptor* polled = stackalloc PollDescriptor[2];
        while (true)
        {
            polled[0] = new PollDescriptor { Fd = first, Events = events };
            polled[1] = new PollDescriptor { Fd = second, Events = events };
            int left = end == long.MaxValue ? -1 : (int)Math.Clamp(end - Environment.TickCount64, 0, int.MaxValue);
            int n = Poll(polled, 2, left);
            if (n >= 0)
            {
                return (polled[0].Revents != 0 ? 1 : 0) | (polled[1].Revents != 0 ? 2 : 0);
            }

            if (Marshal.GetLastPInvokeError() != EINTR)
            {
                throw Failure("space.poll", "poll", Marshal.GetLastPInvokeError());
            }
        }
    }

    /// <summary>The number behind a handle that the caller keeps alive.</summary>
    public static int Number(SafeFileHandle handle) => (int)handle.DangerousGetHandle();

    /// <summary>An exception for an error number.</summary>
    public static BridgeException Failure(string code, string what, int error) => new(code, what, Describe(error));
}
