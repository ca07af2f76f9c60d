using System.Text;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Asks for the host name of another process's UTS namespace.</summary>
internal static unsafe partial class UtsName
{
    /// <summary>The host name, or null when the namespace may not be entered.</summary>
    public static string? Of(int pid)
    {
        try
        {
            return NamespaceVisitor.Ask(pid, "uts", Own);
        }
        catch (BridgeException e) when (e.Code == "rights.missing")
        {
            return null;
        }
    }

    private static string? Own()
    {
        Span<byte> name = stackalloc byte[256];
        fixed (byte* buffer = name)
        {
            return gethostname(buffer, (nuint)name.Length) == 0 ? Encoding.UTF8.GetString(name[..name.IndexOf((byte)0)]) : null;
        }
    }

    [System.Runtime.InteropServices.LibraryImport("libc", SetLastError = true)]
    private static partial int gethostname(byte* name, nuint length);
}
