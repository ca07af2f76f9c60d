using System.Globalization;
using System.Text.RegularExpressions;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>
/// Limits as this process was started with. The .NET runtime raises its soft limit of open files to the hard one at start; a program that
/// inherited that would behave otherwise than when started from the shell (select(2) takes 1024 descriptors, some close all up to the limit).
/// </summary>
internal static partial class InheritedLimits
{
    /// <summary>The parent's soft RLIMIT_NOFILE, which is what we had before the runtime raised it.</summary>
    /// <returns>0 when it cannot be known, or need not be put back.</returns>
    public static uint OpenFiles()
    {
        (ulong soft, ulong hard)? ours = Read("self");
        int parent = ProcessIdentity.Read(Environment.ProcessId)?.ParentPid ?? 0;
        (ulong soft, ulong hard)? theirs = Read(parent.ToString(CultureInfo.InvariantCulture));
        return ours is { } o && theirs is { } t && o.soft == o.hard && t.hard == o.hard && t.soft < o.soft ? (uint)Math.Min(t.soft, uint.MaxValue) : 0;
    }

    private static (ulong Soft, ulong Hard)? Read(string process)
    {
        try
        {
            Match match = OpenFilesLine().Match(File.ReadAllText($"/proc/{process}/limits"));
            return match.Success ? (Value(match.Groups[1].Value), Value(match.Groups[2].Value)) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static ulong Value(string text) => text == "unlimited" ? ulong.MaxValue : ulong.Parse(text, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^Max open files\s+(\S+)\s+(\S+)", RegexOptions.Multiline)]
    private static partial Regex OpenFilesLine();
}
