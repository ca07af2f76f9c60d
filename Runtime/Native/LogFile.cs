namespace Holdfast.Runtime.Native;

/// <summary>A file that an application's output is appended to.</summary>
internal static class LogFile
{
    private const int Mode = 0x1A4;

    public static int Open(string path)
    {
        int fd = Libc.open(path, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_APPEND | Libc.O_CLOEXEC, Mode);
        return fd >= 0 ? fd : throw new HoldfastException("log.unwritable", $"the log {path} cannot be opened: {Libc.LastError()}");
    }
}
