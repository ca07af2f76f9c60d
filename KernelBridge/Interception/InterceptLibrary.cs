using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Interception;

/// <summary>
/// Puts the interceptor (<c>ckpt-kmod/intercept</c>) into the /dev/shm of a space, before anything runs there: every process of the application reaches it,
/// whatever its user and wherever the space is restored, and it belongs to the snapshot as everything there does.
/// </summary>
internal static class InterceptLibrary
{
    private const string Preload = "LD_PRELOAD=";

    /// <summary>The library, compiled ahead of time by <c>build-intercept.sh</c>.</summary>
    public static byte[] Code { get; } = Load();

    /// <summary>An environment in which programs load the library.</summary>
    public static IReadOnlyList<string> Environment(IReadOnlyList<string> environment)
    {
        string? before = environment.LastOrDefault(variable => variable.StartsWith(Preload, StringComparison.Ordinal));
        string ours = Preload + InterceptAbi.Library + (before is null || before.Length == Preload.Length ? "" : $":{before[Preload.Length..]}");
        return [.. environment.Where(variable => !variable.StartsWith(Preload, StringComparison.Ordinal)), ours];
    }

    /// <summary>Writes library and board.</summary>
    /// <param name="pid">The space's main process, which does not run yet.</param>
    /// <exception cref="BridgeException">The space has no /dev/shm of its own (<c>intercept.shm</c>), or it cannot be written there.</exception>
    public static void Install(int pid)
    {
        if (!SharedMemoryDirectory.HasOwn(pid))
        {
            throw new BridgeException("intercept.shm", "intercepting the application", "it has no /dev/shm of its own", "leave shm in --isolate");
        }

        string root = SharedMemoryDirectory.Root(pid);
        BoardContents board = new() { Magic = InterceptAbi.Magic, Filters = (uint)ProcessStatus.Read(pid).Number("Seccomp_filters") };
        byte[] page = new byte[InterceptAbi.BoardSize];
        MemoryMarshal.Write(page, board);
        try
        {
            Directory.CreateDirectory(root + InterceptAbi.Directory);
            Write(root + InterceptAbi.Library, Code, UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead
                | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
            Write(root + InterceptAbi.Board, page, UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead | UnixFileMode.UserWrite);
            // Whatever this process' file mode mask is.
            File.SetUnixFileMode(root + InterceptAbi.Directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
                | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BridgeException("intercept.install", "intercepting the application", e.Message, inner: e);
        }
    }

    private static void Write(string path, byte[] contents, UnixFileMode mode)
    {
        File.WriteAllBytes(path, contents);
        File.SetUnixFileMode(path, mode);
    }

    private static byte[] Load()
    {
        using Stream stream = typeof(InterceptLibrary).Assembly.GetManifestResourceStream("Holdfast.KernelBridge.Interception.library")
            ?? throw new InvalidOperationException("the interceptor is missing from the assembly");
        byte[] code = new byte[stream.Length];
        stream.ReadExactly(code);
        return code;
    }
}
