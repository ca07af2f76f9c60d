using System.Runtime.InteropServices;

namespace Holdfast.KernelBridge.Linux;

/// <summary>Requests of ioctl(2) to terminals; names and meanings are those of ioctl_tty(2).</summary>
internal static class TerminalCalls
{
    public const ulong TCGETS2 = 0x802c542a, TCSETS2 = 0x402c542b, TIOCGPTN = 0x80045430, TIOCSPTLCK = 0x40045431, TIOCGDEV = 0x80045432, TIOCGPKT = 0x80045438,
        TIOCGPTLCK = 0x80045439, TIOCGEXCL = 0x80045440, TIOCGPTPEER = 0x5441, TIOCEXCL = 0x540c, TIOCSCTTY = 0x540e, TIOCGPGRP = 0x540f, TIOCSPGRP = 0x5410,
        TIOCGWINSZ = 0x5413, TIOCSWINSZ = 0x5414, FIONREAD = 0x541b, TIOCPKT = 0x5420, TIOCNOTTY = 0x5422, TIOCGETD = 0x5424, TIOCGSID = 0x5429;

    /// <summary>Bytes of <c>struct termios2</c>.</summary>
    public const int SettingsSize = 44;

    /// <summary>ICANON of c_lflag, termios(3).</summary>
    public const uint ICANON = 2;

    public const short POLLIN = 1, POLLPRI = 2, POLLOUT = 4, POLLHUP = 0x10;

    /// <summary>A request that gives a number; null when it fails.</summary>
    public static int? Number(int fd, ulong request) => TryAsk(fd, request, out int value) ? value : null;

    /// <summary>A request that gives a value; false when it fails.</summary>
    public static unsafe bool TryAsk<T>(int fd, ulong request, out T value)
        where T : unmanaged
    {
        T answer = default;
        bool good = Libc.ioctl(fd, request, &answer) >= 0;
        value = answer;
        return good;
    }

    /// <summary>The settings as <c>struct termios2</c>; null when they cannot be read.</summary>
    public static unsafe byte[]? Settings(int fd)
    {
        byte[] settings = new byte[SettingsSize];
        fixed (byte* p = settings)
        {
            return Libc.ioctl(fd, TCGETS2, p) < 0 ? null : settings;
        }
    }

    /// <summary>What poll(2) says at once. It first lets what was written arrive.</summary>
    public static unsafe short Poll(int fd, short wanted)
    {
        ulong entry = (uint)fd | (ulong)(ushort)wanted << 32;
        return Libc.poll(&entry, 1, 0) > 0 ? (short)(entry >> 48) : (short)0;
    }

    /// <summary>c_lflag of settings.</summary>
    public static uint LocalModes(ReadOnlySpan<byte> settings) => MemoryMarshal.Read<uint>(settings[12..]);
}
