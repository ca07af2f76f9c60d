using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Processors that wait without halting: a stop of a process is a chain of short waits, and waking a halted processor takes longer than most of them (tens of microseconds in a virtual
/// machine). It concerns all processors of the host (Documentation/power/pm_qos_interface.rst of Linux, "CPU latency QoS"), and lasts for as long as the file is open, so no longer than this
/// process.
/// </summary>
internal static class CpuLatency
{
    /// <summary>Root may write to it; it has an effect on kernels with CONFIG_CPU_IDLE.</summary>
    private const string Device = "/dev/cpu_dma_latency";

    /// <summary>Begins it.</summary>
    /// <returns>What ends it; null where this kernel, or these rights, do not let us.</returns>
    public static IDisposable? Hold()
    {
        SafeFileHandle? request = null;
        try
        {
            request = File.OpenHandle(Device, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);

            // A 32-bit number of microseconds.
            RandomAccess.Write(request, stackalloc byte[sizeof(int)], 0);
            return request;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            request?.Dispose();
            return null;
        }
    }
}
