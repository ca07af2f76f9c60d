using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Ptrace;

/// <summary>The restriction of ptrace(2) that not even root passes (Documentation/admin-guide/LSM/Yama.rst): <c>kernel.yama.ptrace_scope</c> 3, until the next start.</summary>
internal static class Yama
{
    public const string Code = "host.yama", Remedy = "set kernel.yama.ptrace_scope below 3 and boot again";

    /// <summary>What is set, as text; null in a kernel without Yama.</summary>
    public static string? Scope => ProcFs.TryText("/proc/sys/kernel/yama/ptrace_scope")?.Trim();

    /// <summary>Whether nobody may trace anybody.</summary>
    public static bool ForbidsAll => Scope == "3";
}
