using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Processors wait without halting for as long as one of these is there: a stop of a process is a chain of short waits, and waking a halted processor takes longer than most of them (tens of
/// microseconds in a virtual machine). It concerns all processors (Documentation/power/pm_qos_interface.rst of Linux, "CPU latency QoS"), so that none lasts longer than was asked for, nor
/// than this process.
/// </summary>
internal sealed class CpuLatency : IDisposable
{
    /// <summary>Root may write to it; it has an effect on kernels with CONFIG_CPU_IDLE.</summary>
    private const string Device = "/dev/cpu_dma_latency";

    private readonly SafeFileHandle _request;
    private readonly Timer _end;

    private CpuLatency(SafeFileHandle request, TimeSpan most)
    {
        _request = request;
        _end = new Timer(static request => ((SafeFileHandle)request!).Dispose(), request, most, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Begins one.</summary>
    /// <param name="most">How long it may last.</param>
    /// <returns>Null where this kernel, or these rights, do not let us.</returns>
    public static CpuLatency? Hold(TimeSpan most)
    {
        SafeFileHandle? request = null;
        try
        {
            request = File.OpenHandle(Device, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);

            // A 32-bit number of microseconds.
            RandomAccess.Write(request, stackalloc byte[sizeof(int)], 0);
            return new CpuLatency(request, most);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            request?.Dispose();
            return null;
        }
    }

    public void Dispose()
    {
        _end.Dispose();
        _request.Dispose();
    }
}
